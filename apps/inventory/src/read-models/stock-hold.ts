/** Stock that is held until the order decides: one row per reservation that is neither shipped nor released. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { ReservationEvent } from '../domain/reservation.js';

export interface StockHoldRow {
  order_id: string;
  held_since: string;
}

export const stockHold = projection<StockHoldRow, ReservationEvent>({
  name: 'stock-hold',
  table: 'stock_hold',
  categories: ['reservation'],
  keyColumns: ['order_id'],
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(_row, event) {
    if (event.type !== 'ReservationMade') return undefined;
    return { order_id: idOf(event.stream), held_since: event.recordedAt };
  },
});
