import { expect, test } from 'vitest';
import type { OrderMessage } from '#contracts';
import { type CheckoutCommand, inventoryReaction } from './reactions.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const lines = [{ sku: 'olive-oil', quantity: 2 }];
const total = { amountMinor: 2598, currency: 'EUR' };

test.each<[OrderMessage, CheckoutCommand | undefined]>([
  [
    { type: 'OrderPlaced', data: { orderId, lines } },
    { type: 'Reserve', lines },
  ],
  [{ type: 'OrderConfirmed', data: { orderId } }, { type: 'Ship' }],
  [{ type: 'OrderRejected', data: { orderId, reason: 'payment-declined' } }, { type: 'Release' }],
  [{ type: 'OrderCancelled', data: { orderId, reason: 'customer' } }, { type: 'Release' }],
  [{ type: 'OrderStockReserved', data: { orderId, total, paymentToken: 'tok_approved' } }, undefined],
  [{ type: 'OrderCompleted', data: { orderId } }, undefined],
  [{ type: 'OrderSettled', data: { orderId } }, undefined],
])('what inventory does about $type', (message, command) => expect(inventoryReaction(message)).toEqual(command));
