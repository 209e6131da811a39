/**
 * Stock that is held until the order decides: one row per reservation that is neither shipped nor released. Of one that
 * waited for a person it stays.
 */
import { idOf } from '#event-store';
import { type Attended, projection, rowAtRest } from '#projections';
import type { ReservationEvent } from '../domain/reservation.js';

export interface StockHoldRow extends Attended {
  order_id: string;
  held_since: string;
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

  apply(row, event) {
    if (event.type === 'ReservationMade') {
      const attention_at = new Date(Date.parse(event.recordedAt) + ATTENTION_AFTER_MS).toISOString();
      return { order_id: idOf(event.stream), held_since: event.recordedAt, attention_at, attended_at: null };
    }
    return rowAtRest(row, event);
  },
});
