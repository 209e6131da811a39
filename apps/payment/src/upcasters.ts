/**
 * Every event that the payment service stores, with the steps that lift older shapes of its data to the current one,
 * oldest first. All are at version 1 so far. A changed shape gets a step here, and a golden file next to the old one:
 * `PaymentRequested: [(data) => ({ ...data, method: 'card' })]`.
 */
import type { Upcasters } from '#event-store';
import type { PaymentEvent } from './domain/payment.js';

export const upcasters: Upcasters<PaymentEvent> = {
  PaymentRequested: [],
  PaymentAuthorized: [],
  PaymentDeclined: [],
  PaymentCaptureRequested: [],
  PaymentCaptured: [],
  PaymentMiscaptured: [],
  PaymentReturnRequested: [],
  PaymentVoided: [],
  PaymentRefunded: [],
  PaymentRefundedInPart: [],
  PaymentCaptureRefused: [],
  PaymentRefundRefused: [],
  PaymentBlocked: [],
  PaymentHeldTwice: [],
  PaymentHoldReleased: [],
  PaymentMovedByProvider: [],
};
