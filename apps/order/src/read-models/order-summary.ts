/** One row per order: what `GET /orders` shows. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { CalledOffOrder, OrderEvent, OrderLine, PlacedOrder } from '../domain/order.js';

export interface OrderSummaryRow {
  order_id: string;
  customer_id: string;
  status: PlacedOrder['status'];
  reason: CalledOffOrder['reason'] | null;
  settled: boolean;
  lines: readonly OrderLine[];
  total_minor: number;
  currency: string;
  /** Sealed, as the event has it. Null when nobody was named. */
  recipient: string | null;
  placed_at: string;
  updated_at: string;
}

export const orderSummary = projection<OrderSummaryRow, OrderEvent>({
  name: 'order-summary',
  table: 'order_summary',
  categories: ['order'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(row, event) {
    const updated_at = event.recordedAt;
    if (event.type === 'OrderPlaced') {
      const { customerId, lines, total, placedAt, recipient = null } = event.data;
      return {
        order_id: idOf(event.stream),
        customer_id: customerId,
        status: 'placed',
        reason: null,
        settled: false,
        lines,
        total_minor: total.amountMinor,
        currency: total.currency,
        recipient,
        placed_at: placedAt,
        updated_at,
      };
    }
    if (!row) return undefined;
    switch (event.type) {
      case 'OrderStockReserved':
        return { ...row, status: 'stock-reserved', updated_at };
      case 'OrderConfirmed':
        return { ...row, status: 'confirmed', updated_at };
      case 'OrderCompleted':
        return { ...row, status: 'completed', settled: true, updated_at };
      case 'OrderRejected':
        return { ...row, status: 'rejected', reason: event.data.reason, updated_at };
      case 'OrderCancelled':
        return { ...row, status: 'cancelled', reason: event.data.reason, updated_at };
      case 'OrderSettled':
        return { ...row, settled: true, updated_at };
      case 'OrderStockShipped':
      case 'OrderPaymentCaptured':
      case 'OrderStockReleased':
      case 'OrderPaymentReturned':
      case 'OrderPaymentMoved':
      case 'OrderPaymentMoveAccepted':
      case 'OrderReminded':
        return { ...row, updated_at };
      case 'OrderPaymentRefused': // The money is held, even if the order was settled before it arrived.
        return { ...row, settled: false, updated_at };
    }
  },
});
