import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { eventsOf, goldenEvents, shapesOf, versionsIn, versionsOf } from '#test/golden';
import { entry, type EntryEvent } from './domain/entry.js';
import { reservation, type ReservationEvent } from './domain/reservation.js';
import { stock, type StockEvent } from './domain/stock.js';
import { upcasters } from './upcasters.js';

const golden = await goldenEvents<StockEvent | ReservationEvent | EntryEvent>(
  new URL('golden/', import.meta.url),
  upcasters,
);

const past = <E>(history: string) => history.split(' ').map((name) => golden[`${name}.v1`] as E);

test('every event has a golden file for each version of its shape, and no file is left over', () =>
  expect(versionsIn(golden)).toEqual(versionsOf(upcasters)));

test('the events that the deciders produce today have the shapes of the golden files, and no others', () => {
  const lines = [{ sku: 'olive-oil', quantity: 1 }];
  const answer = { available: 10, reserved: 0, shipped: 0 };
  const recount = { kind: 'recount', sku: 'olive-oil', quantity: 9 } as const;
  const today = [
    ...eventsOf(
      stock,
      { type: 'Receive', quantity: 10 },
      { type: 'Reserve', orderId: 'o1', quantity: 2 },
      { type: 'Release', orderId: 'o1', quantity: 1 },
      { type: 'Ship', orderId: 'o1', quantity: 1 },
      { type: 'Return', orderId: 'o1', quantity: 1 },
      { type: 'Recount', counted: 8 },
    ),
    ...eventsOf(reservation, { type: 'Reserve', lines, short: [] }, { type: 'Release' }),
    ...eventsOf(reservation, { type: 'Reserve', lines, short: [] }, { type: 'Ship' }, { type: 'Release' }),
    ...eventsOf(reservation, { type: 'Reserve', lines, short: ['olive-oil'] }),
    ...eventsOf(reservation, { type: 'Release' }),
    ...eventsOf(entry, { type: 'Make', booking: { kind: 'receipt', sku: 'olive-oil', quantity: 10 }, answer }),
    ...eventsOf(entry, { type: 'Make', booking: recount, answer: { ...answer, difference: -1 } }),
    ...eventsOf(entry, { type: 'Make', booking: { ...recount, asOf: '52' }, answer: { ...answer, difference: -1 } }),
  ];
  // Entries were once made without their answer.
  const { 'EntryMade.v1': _, ...written } = golden;
  expect(shapesOf(today)).toEqual(shapesOf(Object.values(written)));
});

test('stock of the past can be read', () => {
  const events = past<StockEvent>(
    'StockReceived StockReserved StockReleased StockReserved StockShipped StockReturned StockReserved StockShipped StockRecounted',
  );
  expect(stateAfter(stock, events)).toEqual({ available: 7, reserved: 0, shipped: 2 });
});

test.each([
  ['rejected', 'ReservationRejected'],
  ['blocked', 'ReservationBlocked'],
  ['made', 'ReservationMade'],
  ['released', 'ReservationMade ReservationReleased'],
  ['shipped', 'ReservationMade ReservationShipped'],
  ['returned', 'ReservationMade ReservationShipped ReservationReturned'],
])('reservations of the past can be read: %s after %s', (status, history) => {
  const state = stateAfter(reservation, past<ReservationEvent>(history));
  const [first] = past<ReservationEvent>(history);
  expect(state).toEqual(['made', 'shipped'].includes(status) ? { status, ...first!.data } : { status });
});

test('entries of the past can be read', () =>
  expect(stateAfter(entry, past<EntryEvent>('EntryMade'))).toEqual({
    status: 'made',
    kind: 'receipt',
    sku: 'olive-oil',
    quantity: 10,
  }));
