import { expect, test } from 'vitest';
import { goldenEvents } from '../../../../test/golden.js';
import { rowAfter } from '../../../../test/rows.js';
import type { OrderEvent } from '../order.js';
import { orderDeadline } from './order-deadline.js';

const golden = await goldenEvents<OrderEvent>(new URL('../golden/', import.meta.url));
const after = (history: string) =>
  rowAfter(orderDeadline, 'order-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

test.each(['OrderPlaced', 'OrderPlaced OrderStockReserved'])('an order has a deadline after %s', (history) =>
  expect(after(history)).toEqual({ order_id: 'o1', due_at: '2026-11-21T12:15:00.000Z' }),
);

test.each([
  'OrderPlaced OrderStockReserved OrderConfirmed',
  'OrderPlaced OrderRejected.out-of-stock OrderSettled',
  'OrderPlaced OrderStockReserved OrderRejected.payment-declined',
  'OrderPlaced OrderCancelled',
  'OrderPlaced OrderCancelled OrderStockReleased OrderPaymentReturned OrderSettled',
  'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured OrderCompleted',
])('an order that is decided has none: %s', (history) => expect(after(history)).toBeUndefined());
