/** Stock that is held until the order decides: one row per reservation that is neither shipped nor released. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { ReservationEvent } from '../domain/reservation.js';

export interface StockHoldRow {
  order_id: string;
  held_since: string;
  /** From then on it waits for a person. */
  attention_at: string;
}

/** How long a reservation waits for its order's decision before a person is asked. */
const ATTENTION_AFTER_MS = 24 * 60 * 60_000;

export const stockHold = projection<StockHoldRow, ReservationEvent>({
  name: 'stock-hold',
  table: 'stock_hold',
  categories: ['reservation'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(_row, event) {
    if (event.type !== 'ReservationMade') return undefined;
    const attentionAt = new Date(Date.parse(event.recordedAt) + ATTENTION_AFTER_MS);
    return { order_id: idOf(event.stream), held_since: event.recordedAt, attention_at: attentionAt.toISOString() };
  },
});
