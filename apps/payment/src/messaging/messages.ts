/** What other services may know of a payment: its events → messages on `payment.events.v1`. */
import type { PaymentMessage } from '#contracts';
import type { PaymentEvent } from '../domain/payment.js';

export function paymentMessageOf(orderId: string, event: PaymentEvent): PaymentMessage | undefined {
  switch (event.type) {
    case 'PaymentAuthorized':
      return { type: 'PaymentAuthorized', data: { orderId, amount: event.data.amount } };
    case 'PaymentDeclined':
      return { type: 'PaymentDeclined', data: { orderId, reason: event.data.reason } };
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
    case 'PaymentRequested':
    case 'PaymentCaptureRequested':
    case 'PaymentReturnRequested':
      return undefined; // Our own intents: the provider has not answered yet.
  }
}
