import fc from 'fast-check';
import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import { isSettled, order, type OrderCommand, type OrderEvent } from '../domain/order.js';
import { orderSummary } from './order-summary.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<OrderEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(orderSummary, 'order-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

test('a placed order has a row', () =>
  expect(after('OrderPlaced')).toEqual({
    order_id: 'o1',
    customer_id: '7c1b0f0e-7a52-4c3e-9a54-0c6a2c1f7b11',
    status: 'placed',
    reason: null,
    settled: false,
    lines: [
      { sku: 'olive-oil', quantity: 2, unitPrice: { amountMinor: 1299, currency: 'EUR' } },
      { sku: 'sea-salt', quantity: 1, unitPrice: { amountMinor: 450, currency: 'EUR' } },
    ],
    total_minor: 3048,
    currency: 'EUR',
    recipient: null,
    placed_at: '2026-11-21T12:00:00.000Z',
    updated_at: recordedAt(0),
  }));

test.each([
  ['stock-reserved', null, false, 'OrderPlaced OrderStockReserved'],
  ['confirmed', null, false, 'OrderPlaced OrderStockReserved OrderConfirmed'],
  ['confirmed', null, false, 'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured'],
  ['completed', null, true, 'OrderPlaced OrderStockReserved OrderConfirmed OrderCompleted'],
  ['rejected', 'out-of-stock', false, 'OrderPlaced OrderRejected.out-of-stock'],
  ['rejected', 'payment-declined', false, 'OrderPlaced OrderStockReserved OrderRejected.payment-declined'],
  ['cancelled', 'customer', false, 'OrderPlaced OrderCancelled'],
  ['cancelled', 'customer', false, 'OrderPlaced OrderCancelled OrderStockReleased OrderPaymentReturned'],
  ['cancelled', 'customer', true, 'OrderPlaced OrderCancelled OrderStockReleased OrderSettled'],
  ['cancelled', 'customer', true, 'OrderPlaced OrderCancelled OrderStockReleased OrderSettled OrderPaymentReturned'],
  ['cancelled', 'customer', false, 'OrderPlaced OrderCancelled OrderStockReleased OrderSettled OrderPaymentRefused'],
])('%s, reason %s, settled %s after %s', (status, reason, settled, history) => {
  const updated_at = recordedAt(history.split(' ').length - 1);
  expect(after(history)).toEqual({ ...after('OrderPlaced'), status, reason, settled, updated_at });
});

test.each(Object.keys(golden).filter((name) => !/^(OrderPlaced|PriceSet)\./.test(name)))(
  '%s alone makes no row',
  (name) => expect(rowAfter(orderSummary, 'order-o1', golden[name]!)).toBeUndefined(),
);

test('the row agrees with the order itself', () => {
  const anyCommand = fc.constantFrom<OrderCommand>(
    { type: 'Expire', now: '2027-01-01T00:00:00.000Z' },
    { type: 'RecordStockReserved' },
    { type: 'RecordStockRejected', short: ['sea-salt'] },
    { type: 'RecordStockReleased', outcome: 'released' },
    { type: 'RecordStockShipped' },
    { type: 'RecordPaymentAuthorized', amount: { amountMinor: 3048, currency: 'EUR' } },
    { type: 'RecordPaymentDeclined', reason: 'declined' },
    { type: 'RecordPaymentCaptured' },
    { type: 'RecordPaymentReturned', outcome: 'voided' },
    { type: 'RecordPaymentReturned', outcome: 'nothing-held' },
    { type: 'RecordPaymentRefused', step: 'refund', reason: 'closed', number: 1 },
  );
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 12 }), (commands) => {
      const events = [golden['OrderPlaced.v2']!];
      let state = order.evolve(order.initialState, events[0]!);
      for (const command of commands) {
        const decided = order.decide(command, state);
        events.push(...decided);
        state = decided.reduce(order.evolve, state);
      }
      expect(rowAfter(orderSummary, 'order-o1', ...events)).toMatchObject({
        status: state.status,
        reason: 'reason' in state ? state.reason : null,
        settled: isSettled(state),
      });
    }),
    { numRuns: 300 },
  );
});
