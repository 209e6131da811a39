import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DomainError, stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { stock, type StockCommand, type StockEvent } from './stock.js';

const received = (quantity: number): StockEvent => ({ type: 'StockReceived', data: { quantity } });
const reserved = (orderId: string, quantity: number): StockEvent => ({
  type: 'StockReserved',
  data: { orderId, quantity },
});

test('receiving adds to what is available', () =>
  given(stock, received(10))
    .when({ type: 'Receive', quantity: 5 })
    .thenState({ available: 15, reserved: 0, shipped: 0 }));

test('reserving takes units from available and holds them', () =>
  given(stock, received(10))
    .when({ type: 'Reserve', orderId: 'o1', quantity: 4 })
    .thenState({ available: 6, reserved: 4, shipped: 0 }));

test('the last unit can be reserved, and not one more', () => {
  given(stock, received(1)).when({ type: 'Reserve', orderId: 'o1', quantity: 1 }).then(reserved('o1', 1));
  given(stock, received(1), reserved('o1', 1))
    .when({ type: 'Reserve', orderId: 'o2', quantity: 1 })
    .thenRefused('out-of-stock');
});

test('releasing gives units back', () =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Release', orderId: 'o1', quantity: 4 })
    .thenState({ available: 10, reserved: 0, shipped: 0 }));

test('shipping takes reserved units out of the stock', () =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Ship', orderId: 'o1', quantity: 4 })
    .thenState({ available: 6, reserved: 0, shipped: 4 }));

test('what comes back after it was shipped is available again', () =>
  given(stock, received(10), reserved('o1', 4), { type: 'StockShipped', data: { orderId: 'o1', quantity: 4 } })
    .when({ type: 'Return', orderId: 'o1', quantity: 4 })
    .thenState({ available: 10, reserved: 0, shipped: 0 }));

test('no more comes back than was shipped', () =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Return', orderId: 'o1', quantity: 1 })
    .thenRefused('not-shipped'));

test.each(['Release', 'Ship'] as const)('%s: no more than is reserved', (type) =>
  given(stock, received(10), reserved('o1', 4)).when({ type, orderId: 'o1', quantity: 5 }).thenRefused('not-reserved'),
);

test.each([
  [12, 2],
  [7, -3],
  [4, -6],
])('a recount of %i, with 6 available and 4 reserved units, records the difference %i', (counted, difference) =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Recount', counted })
    .then({ type: 'StockRecounted', data: { counted, difference } }),
);

test('a recount changes what is available and leaves alone what is reserved', () =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Recount', counted: 7 })
    .thenState({ available: 3, reserved: 4, shipped: 0 }));

test('a recount that finds what is on the books changes nothing', () =>
  given(stock, received(10), reserved('o1', 4)).when({ type: 'Recount', counted: 10 }).thenNothing());

test.each([
  ['what was shipped since is no difference', 12, 12, []],
  ['what was missing then is missing now', 11, 12, [{ counted: 11, difference: -1 }]],
  ['what was found then is there now', 14, 12, [{ counted: 14, difference: 2 }]],
])('of a recount that was made earlier, %s', (_name, counted, expected, recounts) => {
  const scenario = given(stock, received(10), reserved('o1', 4)).when({ type: 'Recount', counted, expected });
  if (recounts.length === 0) scenario.thenNothing();
  else scenario.then(...recounts.map((data): StockEvent => ({ type: 'StockRecounted', data })));
});

test('a recount that was made earlier cannot leave less than is reserved now', () =>
  given(stock, received(10), reserved('o1', 8))
    .when({ type: 'Recount', counted: 9, expected: 12 })
    .thenRefused('reserved-stock-missing'));

test('what can be received can be counted', () => {
  const full = [received(Number.MAX_SAFE_INTEGER - 1), received(1)];
  given(stock, ...full)
    .when({ type: 'Receive', quantity: 1 })
    .thenRefused('stock-out-of-range');
  given(stock, ...full)
    .when({ type: 'Recount', counted: Number.MAX_SAFE_INTEGER })
    .thenNothing();
});

test('a recount cannot find less than is reserved', () =>
  given(stock, received(10), reserved('o1', 4))
    .when({ type: 'Recount', counted: 3 })
    .thenRefused('reserved-stock-missing'));

test.each([0, -1, 1.5, Number.NaN])('a quantity of %s is refused', (quantity) => {
  given(stock, received(1)).when({ type: 'Receive', quantity }).thenRefused('invalid-quantity');
  for (const type of ['Reserve', 'Release', 'Ship'] as const) {
    given(stock, received(1)).when({ type, orderId: 'o1', quantity }).thenRefused('invalid-quantity');
  }
});

test.each([-1, 1.5, Number.NaN])('a count of %s is refused', (counted) =>
  given(stock).when({ type: 'Recount', counted }).thenRefused('invalid-quantity'),
);

test('stock stays countable', () => {
  const shipped: StockEvent = { type: 'StockShipped', data: { orderId: 'o1', quantity: 1 } };
  const history = [received(1), reserved('o1', 1), shipped];
  given(stock, ...history)
    .when({ type: 'Receive', quantity: Number.MAX_SAFE_INTEGER })
    .thenRefused('stock-out-of-range');
  given(stock, ...history)
    .when({ type: 'Recount', counted: Number.MAX_SAFE_INTEGER })
    .thenRefused('stock-out-of-range');
});

const anyQuantity = fc.oneof({ weight: 9, arbitrary: fc.integer({ min: -1, max: 30 }) }, fc.maxSafeInteger());
const anyCommand: fc.Arbitrary<StockCommand> = fc.oneof(
  anyQuantity.map((quantity) => ({ type: 'Receive' as const, quantity })),
  anyQuantity.map((counted) => ({ type: 'Recount' as const, counted })),
  fc.tuple(anyQuantity, fc.nat(30)).map(([counted, expected]) => ({ type: 'Recount' as const, counted, expected })),
  fc.record({
    type: fc.constantFrom('Reserve' as const, 'Release' as const, 'Ship' as const),
    orderId: fc.constantFrom('o1', 'o2'),
    quantity: anyQuantity,
  }),
);

test('evolve needs nothing outside its own text, so the digest of that text shows which snapshots other code made', () => {
  const { evolve } = runInNewContext(`({ ${stock.evolve} })`) as typeof stock;
  const events: StockEvent[] = [
    { type: 'StockReceived', data: { quantity: 9 } },
    { type: 'StockReserved', data: { orderId: 'o1', quantity: 5 } },
    { type: 'StockReleased', data: { orderId: 'o1', quantity: 1 } },
    { type: 'StockShipped', data: { orderId: 'o1', quantity: 3 } },
    { type: 'StockReturned', data: { orderId: 'o1', quantity: 2 } },
    { type: 'StockRecounted', data: { counted: 9, difference: 1 } },
  ];
  const folded = events.reduce((state, event) => evolve(state, event), stock.initialState);
  expect({ ...folded }).toEqual({ available: 8, reserved: 1, shipped: 1 });
});

test('stock is never negative, and what came in is available, reserved or shipped', () => {
  fc.assert(
    fc.property(fc.array(anyCommand, { maxLength: 40 }), (commands) => {
      let state = stock.initialState;
      let cameIn = 0n;
      for (const command of commands) {
        for (const event of attempt(command)) {
          state = stock.evolve(state, event);
          if (event.type === 'StockReceived') cameIn += BigInt(event.data.quantity);
          if (event.type === 'StockRecounted') cameIn += BigInt(event.data.difference);
        }
        const { available, reserved, shipped } = state;
        expect(Math.min(available, reserved, shipped)).toBeGreaterThanOrEqual(0);
        expect(BigInt(available) + BigInt(reserved) + BigInt(shipped)).toBe(cameIn);
        expect(available + reserved + shipped).toBeLessThanOrEqual(Number.MAX_SAFE_INTEGER);
      }

      function attempt(command: StockCommand): readonly StockEvent[] {
        try {
          return stock.decide(command, state);
        } catch (error) {
          expect(error).toBeInstanceOf(DomainError);
          return [];
        }
      }
    }),
    { numRuns: 500 },
  );
});

const golden = await goldenEvents<StockEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const today = eventsOf(
    stock,
    { type: 'Receive', quantity: 10 },
    { type: 'Reserve', orderId: 'o1', quantity: 2 },
    { type: 'Release', orderId: 'o1', quantity: 1 },
    { type: 'Ship', orderId: 'o1', quantity: 1 },
    { type: 'Return', orderId: 'o1', quantity: 1 },
    { type: 'Recount', counted: 8 },
  );
  expect(shapesOf(today)).toEqual(goldenShapes('stock', golden));
});

test('stock of the past can be read', () => {
  const history =
    'StockReceived StockReserved StockReleased StockReserved StockShipped StockReturned StockReserved StockShipped StockRecounted';
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  expect(stateAfter(stock, events)).toEqual({ available: 7, reserved: 0, shipped: 2 });
});
