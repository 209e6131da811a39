/** What other services may know of a payment: its events → messages on `payment.events.v1`. */
import type { PaymentMessage } from '#contracts';
import type { PaymentEvent } from '../domain/payment.js';

export function paymentMessageOf(orderId: string, event: PaymentEvent): PaymentMessage | undefined {
  switch (event.type) {
    case 'PaymentAuthorized':
      return { type: 'PaymentAuthorized', data: { orderId, amount: event.data.amount } };
    case 'PaymentDeclined':
      return { type: 'PaymentDeclined', data: { orderId, ...event.data } };
    case 'PaymentCaptured':
      return { type: 'PaymentCaptured', data: { orderId, amount: event.data.amount } };
    case 'PaymentVoided': {
      const outcome = event.data.authorizationId === null ? 'nothing-held' : 'voided';
      return { type: 'PaymentReturned', data: { orderId, outcome } };
    }
    case 'PaymentRefunded':
      return { type: 'PaymentReturned', data: { orderId, outcome: 'refunded' } };
    case 'PaymentBlocked':
      return { type: 'PaymentReturned', data: { orderId, outcome: 'nothing-held' } };
    case 'PaymentCaptureRefused':
      return { type: 'PaymentRefused', data: { orderId, step: 'capture', ...event.data } };
    case 'PaymentRefundRefused':
      return { type: 'PaymentRefused', data: { orderId, step: 'refund', ...event.data } };
    case 'PaymentMiscaptured':
      return { type: 'PaymentRefused', data: { orderId, step: 'capture', ...otherSum(event.data) } };
    case 'PaymentRefundedInPart':
      return { type: 'PaymentRefused', data: { orderId, step: 'refund', ...otherSum(event.data) } };
    case 'PaymentMovedByProvider': {
      const { how, amount } = event.data;
      return { type: 'PaymentMovedByProvider', data: { orderId, how, amount } };
    }
    case 'PaymentHeldTwice': // It goes back by itself, and the order has its money.
    case 'PaymentHoldReleased':
      return undefined;
    case 'PaymentRequested':
    case 'PaymentCaptureRequested':
    case 'PaymentReturnRequested':
      return undefined; // Our own intents: the provider has not answered yet.
  }
}

function otherSum({ amount, ...numbered }: Extract<PaymentEvent, { type: 'PaymentMiscaptured' }>['data']) {
  return { reason: 'amount-mismatch', moved: amount, ...numbered };
}
