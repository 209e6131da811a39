/**
 * Every event that the order service stores, with the steps that lift older shapes of its data to the current one,
 * oldest first. A changed shape gets a step here, and a golden file next to the old one:
 * `OrderPlaced: [(data) => ({ ...data, channel: 'web' })]`.
 */
import type { Upcasters } from '#event-store';
import type { CustomerEvent } from './domain/customer.js';
import type { OrderEvent } from './domain/order.js';
import type { PriceEvent } from './domain/price.js';
import type { QuotaEvent } from './domain/quota.js';

export const upcasters: Upcasters<OrderEvent | PriceEvent | CustomerEvent | QuotaEvent> = {
  // Before payment tokens were sealed, a repeated request was compared by the token itself.
  OrderPlaced: [(data) => ({ ...data, tokenDigest: data['paymentToken'] })],
  OrderStockReserved: [],
  OrderConfirmed: [],
  OrderStockShipped: [],
  OrderPaymentCaptured: [],
  OrderCompleted: [],
  OrderRejected: [],
  OrderCancelled: [],
  OrderStockReleased: [],
  OrderPaymentReturned: [],
  OrderSettled: [],
  OrderPaymentRefused: [],
  OrderPaymentMoved: [],
  OrderPaymentMoveAccepted: [],
  OrderReminded: [],
  PriceSet: [],
  PriceWithdrawn: [],
  CustomerRecipientKept: [],
  CustomerErasureRequested: [],
  CustomerErased: [],
  QuotaTaken: [],
};
