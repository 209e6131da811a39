/** One row per order that asked for stock: what `GET /reservations/{orderId}` shows. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { Reservation, ReservationEvent, ReservationLine } from '../domain/reservation.js';

export interface ReservationSummaryRow {
  order_id: string;
  status: Exclude<Reservation['status'], 'none'>;
  /** What is, or was, held. */
  lines: readonly ReservationLine[];
  updated_at: string;
}

export const reservationSummary = projection<ReservationSummaryRow, ReservationEvent>({
  name: 'reservation-summary',
  table: 'reservation_summary',
  categories: ['reservation'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(_row, event) {
    const row = { order_id: idOf(event.stream), updated_at: event.recordedAt };
    switch (event.type) {
      case 'ReservationMade':
        return { ...row, status: 'made', lines: event.data.lines };
      case 'ReservationRejected':
        return { ...row, status: 'rejected', lines: [] };
      case 'ReservationReleased':
        return { ...row, status: 'released', lines: event.data.lines };
      case 'ReservationShipped':
        return { ...row, status: 'shipped', lines: event.data.lines };
      case 'ReservationReturned':
        return { ...row, status: 'returned', lines: event.data.lines };
      case 'ReservationBlocked':
        return { ...row, status: 'blocked', lines: [] };
    }
  },
});
