import { expect, test } from 'vitest';
import type { InventoryMessage, PaymentMessage } from '#contracts';
import { orderReaction } from './reactions.js';
import type { OrderCommand } from '../domain/order.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const amount = { amountMinor: 3048, currency: 'EUR' };

test.each<[InventoryMessage | PaymentMessage, OrderCommand]>([
  [{ type: 'StockReserved', data: { orderId } }, { type: 'RecordStockReserved' }],
  [
    { type: 'StockRejected', data: { orderId, short: ['sea-salt'] } },
    { type: 'RecordStockRejected', short: ['sea-salt'] },
  ],
  [
    { type: 'StockReleased', data: { orderId, outcome: 'released' } },
    { type: 'RecordStockReleased', outcome: 'released' },
  ],
  [{ type: 'StockShipped', data: { orderId } }, { type: 'RecordStockShipped' }],
  [
    { type: 'PaymentAuthorized', data: { orderId, amount } },
    { type: 'RecordPaymentAuthorized', amount },
  ],
  [
    { type: 'PaymentDeclined', data: { orderId, reason: 'declined' } },
    { type: 'RecordPaymentDeclined', reason: 'declined' },
  ],
  [{ type: 'PaymentCaptured', data: { orderId, amount } }, { type: 'RecordPaymentCaptured' }],
  [
    { type: 'PaymentDeclined', data: { orderId, reason: 'amount-mismatch', held: amount } },
    { type: 'RecordPaymentDeclined', reason: 'amount-mismatch', held: amount },
  ],
  [
    { type: 'PaymentRefused', data: { orderId, step: 'capture', reason: 'amount-mismatch', moved: amount } },
    { type: 'RecordPaymentRefused', step: 'capture', reason: 'amount-mismatch', moved: amount, number: 1 },
  ],
  [
    { type: 'PaymentMovedByProvider', data: { orderId, how: 'refunded', amount } },
    { type: 'RecordPaymentMoved', how: 'refunded', amount },
  ],
  [
    { type: 'PaymentReturned', data: { orderId, outcome: 'voided' } },
    { type: 'RecordPaymentReturned', outcome: 'voided' },
  ],
  [
    { type: 'PaymentRefused', data: { orderId, step: 'refund', reason: 'closed', number: 2 } },
    { type: 'RecordPaymentRefused', step: 'refund', reason: 'closed', number: 2 },
  ],
  [
    { type: 'PaymentRefused', data: { orderId, step: 'capture', reason: 'expired' } },
    { type: 'RecordPaymentRefused', step: 'capture', reason: 'expired', number: 1 },
  ],
])('the order records what $type reports', (message, command) => expect(orderReaction(message)).toEqual(command));
