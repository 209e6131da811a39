import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { eventsOf, goldenEvents, shapesOf, versionsIn, versionsOf } from '#test/golden';
import { isSettled, order, type OrderCommand, type OrderEvent } from './domain/order.js';
import { price, type PriceEvent } from './domain/price.js';
import { upcasters } from './upcasters.js';

const golden = await goldenEvents<OrderEvent | PriceEvent>(new URL('golden/', import.meta.url), upcasters);

test('every event has a golden file for each version of its shape, and no file is left over', () =>
  expect(versionsIn(golden)).toEqual(versionsOf(upcasters)));

test('the events that the deciders produce today have the shapes of the golden files, and no others', () => {
  const place: OrderCommand = {
    type: 'Place',
    customerId: 'c1',
    lines: [{ sku: 'olive-oil', quantity: 1, unitPrice: { amountMinor: 1299, currency: 'EUR' } }],
    paymentToken: 'tok_approved',
    placedAt: '2026-11-21T12:00:00.000Z',
    deadlineAt: '2026-11-21T12:15:00.000Z',
  };
  const reserved: OrderCommand = { type: 'RecordStockReserved' };
  const total = { amountMinor: 1299, currency: 'EUR' };
  const free = { ...place, lines: [{ ...place.lines[0]!, unitPrice: { ...total, amountMinor: 0 } }] };
  const today = [
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'RecordStockShipped' },
      { type: 'RecordPaymentCaptured' },
    ),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'Remind', attempt: 1 },
      { type: 'Remind' },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'refused-by-issuer', number: 1 },
      { type: 'Remind' },
      { type: 'Remind', attempt: 4 },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'refused-by-issuer', number: 2 },
    ),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'RecordPaymentAuthorized', amount: total },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'amount-mismatch', moved: total, number: 1 },
      { type: 'RecordPaymentRefused', step: 'capture', reason: 'amount-mismatch', moved: total, number: 2 },
      { type: 'RecordPaymentMoved', how: 'refunded', amount: total },
      { type: 'Accept' },
    ),
    ...eventsOf(order, free, reserved),
    ...eventsOf(order, place, reserved, { type: 'RecordPaymentDeclined', reason: 'amount-mismatch', held: total }),
    ...eventsOf(order, place, { type: 'RecordStockRejected', short: ['olive-oil'] }),
    ...eventsOf(order, place, reserved, { type: 'RecordPaymentDeclined', reason: 'declined' }),
    ...eventsOf(
      order,
      place,
      reserved,
      { type: 'Cancel' },
      { type: 'RecordStockReleased', outcome: 'released' },
      { type: 'RecordPaymentReturned', outcome: 'voided' },
    ),
    ...eventsOf(price, { type: 'Set', amountMinor: 1299, currency: 'EUR' }, { type: 'Withdraw' }),
  ];
  expect(shapesOf(today)).toEqual(shapesOf(Object.values(golden)));
});

test.each([
  ['completed', 'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured OrderCompleted'],
  ['rejected', 'OrderPlaced OrderRejected.out-of-stock OrderSettled'],
  ['rejected', 'OrderPlaced OrderStockReserved OrderRejected.payment-declined OrderStockReleased OrderSettled'],
  ['cancelled', 'OrderPlaced OrderStockReserved OrderCancelled OrderStockReleased OrderPaymentReturned OrderSettled'],
])('orders of the past can be read: %s after %s', (status, history) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`] as OrderEvent);
  const state = stateAfter(order, events);
  expect({ status: state.status, settled: isSettled(state) }).toEqual({ status, settled: true });
  expect(state).toMatchObject({ terms: { total: { amountMinor: 3048, currency: 'EUR' } } });
});

test('prices of the past can be read', () =>
  expect(price.evolve(price.initialState, golden['PriceSet.v1'] as PriceEvent)).toEqual({
    status: 'set',
    amountMinor: 1299,
    currency: 'EUR',
  }));
