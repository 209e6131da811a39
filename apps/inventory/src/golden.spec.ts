import { expect, test } from 'vitest';
import { eventsOf, goldenEvents, shapesOf } from '#test/golden';
import { entry, type EntryEvent } from './domain/entry.js';
import { reservation, type ReservationEvent } from './domain/reservation.js';
import { stock, type StockEvent } from './domain/stock.js';
import { upcasters } from './upcasters.js';

const golden = await goldenEvents<StockEvent | ReservationEvent | EntryEvent>(
  new URL('golden/', import.meta.url),
  upcasters,
);

const files = {
  StockReceived: ['StockReceived.v1'],
  StockReserved: ['StockReserved.v1'],
  StockReleased: ['StockReleased.v1'],
  StockShipped: ['StockShipped.v1'],
  StockReturned: ['StockReturned.v1'],
  StockRecounted: ['StockRecounted.v1'],
  ReservationMade: ['ReservationMade.v1'],
  ReservationRejected: ['ReservationRejected.v1'],
  ReservationReleased: ['ReservationReleased.v1'],
  ReservationShipped: ['ReservationShipped.v1'],
  ReservationReturned: ['ReservationReturned.v1'],
  ReservationBlocked: ['ReservationBlocked.v1'],
  EntryMade: ['EntryMade.v1'],
} satisfies Record<(StockEvent | ReservationEvent | EntryEvent)['type'], readonly string[]>;

const past = <E>(history: string) => history.split(' ').map((name) => golden[`${name}.v1`] as E);

test('every event has a golden file for each shape that it ever had', () =>
  expect(Object.keys(golden).sort()).toEqual(Object.values(files).flat().sort()));

test('what the deciders say today has the shapes of the golden files, and no others', () => {
  const lines = [{ sku: 'olive-oil', quantity: 1 }];
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
    ...eventsOf(entry, { type: 'Make', kind: 'receipt', sku: 'olive-oil', quantity: 10 }),
  ];
  expect(shapesOf(today)).toEqual(shapesOf(Object.values(golden)));
});

test('stock of the past is read', () => {
  const events = past<StockEvent>(
    'StockReceived StockReserved StockReleased StockReserved StockShipped StockReturned StockReserved StockShipped StockRecounted',
  );
  expect(events.reduce(stock.evolve, stock.initialState)).toEqual({ available: 7, reserved: 0, shipped: 2 });
});

test.each([
  ['rejected', 'ReservationRejected'],
  ['blocked', 'ReservationBlocked'],
  ['made', 'ReservationMade'],
  ['released', 'ReservationMade ReservationReleased'],
  ['shipped', 'ReservationMade ReservationShipped'],
  ['returned', 'ReservationMade ReservationShipped ReservationReturned'],
])('reservations of the past are read: %s after %s', (status, history) => {
  const state = past<ReservationEvent>(history).reduce(reservation.evolve, reservation.initialState);
  const [first] = past<ReservationEvent>(history);
  expect(state).toEqual(['made', 'shipped'].includes(status) ? { status, ...first!.data } : { status });
});

test('entries of the past are read', () =>
  expect(past<EntryEvent>('EntryMade').reduce(entry.evolve, entry.initialState)).toEqual({
    status: 'made',
    kind: 'receipt',
    sku: 'olive-oil',
    quantity: 10,
  }));
