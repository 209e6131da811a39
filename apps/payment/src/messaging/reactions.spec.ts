import { expect, test } from 'vitest';
import type { OrderMessage, OrderReminder } from '#contracts';
import { paymentReaction } from './reactions.js';
import type { PaymentCommand } from '../domain/payment.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const total = { amountMinor: 2598, currency: 'EUR' };

const reminder = (
  wants: OrderReminder['wants'],
  refusalsKnown: OrderReminder['refusalsKnown'],
): Extract<OrderMessage, { type: 'OrderReminder' }> => {
  const lines = [{ sku: 'olive-oil', quantity: 2 }];
  const known = refusalsKnown === undefined ? {} : { refusalsKnown };
  return { type: 'OrderReminder', data: { orderId, wants, lines, total, paymentToken: 'tok_approved', ...known } };
};

test.each<[OrderMessage, PaymentCommand | undefined]>([
  [
    { type: 'OrderStockReserved', data: { orderId, total, paymentToken: 'tok_approved' } },
    { type: 'Request', amount: total, token: 'tok_approved' },
  ],
  [
    { type: 'OrderStockReserved', data: { orderId, total, paymentToken: 'tok_approved', customerId: 'ada' } },
    { type: 'Request', amount: total, token: 'tok_approved', customerId: 'ada' },
  ],
  [{ type: 'OrderConfirmed', data: { orderId } }, { type: 'Capture' }],
  [{ type: 'OrderConfirmed', data: { orderId, nothingToPay: true } }, undefined],
  [{ type: 'OrderCancelled', data: { orderId, reason: 'customer' } }, { type: 'Return' }],
  [reminder('payment', 1), { type: 'Request', amount: total, token: 'tok_approved' }],
  [reminder('fulfilment', 1), { type: 'Capture', refusalsKnown: 1 }],
  [reminder('return', 0), { type: 'Return', refusalsKnown: 0 }],
  // From an order service that does not count refusals yet: what was refused is tried again, as it was then.
  [reminder('return', undefined), { type: 'Return', refusalsKnown: Infinity }],
  [reminder('stock', 0), undefined],
  [{ type: 'OrderRejected', data: { orderId, reason: 'payment-declined' } }, undefined],
  [{ type: 'OrderPlaced', data: { orderId, lines: [{ sku: 'olive-oil', quantity: 2 }] } }, undefined],
  [{ type: 'OrderCompleted', data: { orderId } }, undefined],
  [{ type: 'OrderSettled', data: { orderId } }, undefined],
])('what payment does about $type', (message, command) => expect(paymentReaction(message)).toEqual(command));
