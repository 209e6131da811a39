/** What other services may know of an order: its events → messages on `order.events.v1`. */
import type { OrderMessage } from '#contracts';
import type { OrderEvent } from '../domain/order.js';

export function orderMessageOf(orderId: string, event: OrderEvent): OrderMessage | undefined {
  switch (event.type) {
    case 'OrderPlaced': {
      const lines = event.data.lines.map(({ sku, quantity }) => ({ sku, quantity }));
      return { type: 'OrderPlaced', data: { orderId, lines } };
    }
    case 'OrderStockReserved': {
      const { total, paymentToken, customerId } = event.data;
      return { type: 'OrderStockReserved', data: { orderId, total, paymentToken, ...(customerId && { customerId }) } };
    }
    case 'OrderConfirmed':
      return { type: 'OrderConfirmed', data: { orderId, ...event.data } };
    case 'OrderCompleted':
      return { type: 'OrderCompleted', data: { orderId } };
    case 'OrderRejected':
      return { type: 'OrderRejected', data: { orderId, reason: event.data.reason } };
    case 'OrderCancelled':
      return { type: 'OrderCancelled', data: { orderId, reason: event.data.reason } };
    case 'OrderSettled':
      return { type: 'OrderSettled', data: { orderId } };
    case 'OrderReminded': {
      const { wants, total, paymentToken, customerId, refusalsKnown = 0 } = event.data;
      const lines = event.data.lines.map(({ sku, quantity }) => ({ sku, quantity }));
      // Who reserves or ships has no use for it.
      const token = wants === 'payment' ? paymentToken : '';
      const data = {
        orderId,
        wants,
        lines,
        total,
        paymentToken: token,
        ...(customerId && { customerId }),
        refusalsKnown,
      };
      return { type: 'OrderReminder', data };
    }
    case 'OrderStockShipped':
    case 'OrderPaymentCaptured':
    case 'OrderStockReleased':
    case 'OrderPaymentReturned':
    case 'OrderPaymentRefused':
    case 'OrderPaymentMoved':
    case 'OrderPaymentMoveAccepted':
      return undefined; // The order's own records of what other services reported.
  }
}
