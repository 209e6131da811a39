import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { type Decision, MemoryEvents, MemoryEventStore, Transactor } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { reservation, type ReservationEvent } from './domain/reservation.js';
import { stock } from './domain/stock.js';
import { decideBooking, decideCheckout } from './warehouse.js';

const cause = { correlationId: 'o1', causationId: 'm1' };

const book = (entryId: string, kind: 'receipt' | 'recount', sku: string, quantity: number) =>
  decideBooking(entryId, { kind, sku, quantity }, cause);

const reserve = (orderId: string, ...lines: [sku: string, quantity: number][]) =>
  decideCheckout(orderId, { type: 'Reserve', lines: lines.map(([sku, quantity]) => ({ sku, quantity })) }, cause);

const release = (orderId: string) => decideCheckout(orderId, { type: 'Release' }, cause);

const ship = (orderId: string) => decideCheckout(orderId, { type: 'Ship' }, cause);

/** Instances of the service that write into the same store, each with its own cached states. */
class House {
  private readonly events = new MemoryEvents();
  private read = 0;

  instance(): Transactor {
    const clock = new ManualClock();
    return new Transactor({ store: this.store(), clock, ids: new SequentialIds(), random: new SeededRandom(1) });
  }

  store(): MemoryEventStore {
    return new MemoryEventStore(new ManualClock(), this.events);
  }

  /** What was written since the last call: one list of `<stream> <event>` for each append. */
  written(): string[][] {
    const appends = new Map<number, string[]>();
    for (; this.read < this.events.all.length; this.read++) {
      const { stream, type } = this.events.all[this.read]!;
      const end = this.events.appendEnds[this.read]!;
      appends.set(end, [...(appends.get(end) ?? []), `${stream} ${type}`]);
    }
    return [...appends.values()];
  }
}

/** Makes decisions together and returns their values. @throws what the first refused one throws */
async function decide<T>(transactor: Transactor, ...decisions: Decision<T>[]): Promise<T[]> {
  const { results } = await transactor.transactAll(decisions);
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

let house: House;
let warehouse: Transactor;

const stockOf = async (sku: string) => (await warehouse.load(stock, `stock-${sku}`)).state;

beforeEach(async () => {
  house = new House();
  warehouse = house.instance();
  await decide(warehouse, book('e1', 'receipt', 'oil', 5), book('e2', 'receipt', 'salt', 1));
  house.written();
});

test('an order is reserved whole, in one append', async () => {
  await decide(warehouse, reserve('o1', ['oil', 2], ['salt', 1]));
  expect(house.written()).toEqual([
    ['reservation-o1 ReservationMade', 'stock-oil StockReserved', 'stock-salt StockReserved'],
  ]);
  expect(await stockOf('oil')).toEqual({ available: 3, reserved: 2, shipped: 0 });
  expect(await stockOf('salt')).toEqual({ available: 0, reserved: 1, shipped: 0 });
});

test('with one line too many, nothing is held', async () => {
  const [events] = await decide(warehouse, reserve('o1', ['oil', 2], ['salt', 2], ['no-such-sku', 1]));
  expect(events).toEqual([{ type: 'ReservationRejected', data: { short: ['salt', 'no-such-sku'] } }]);
  expect(house.written()).toEqual([['reservation-o1 ReservationRejected']]);
});

test('lines that name one SKU twice never hold more than there is', async () => {
  await expect(decide(warehouse, reserve('o1', ['oil', 3], ['oil', 3]))).rejects.toMatchObject({
    code: 'out-of-stock',
  });
  expect(house.written()).toEqual([]);
});

test('a release gives every line back', async () => {
  await decide(warehouse, reserve('o1', ['oil', 2], ['salt', 1]));
  await decide(warehouse, release('o1'));
  expect(await stockOf('oil')).toEqual({ available: 5, reserved: 0, shipped: 0 });
  expect(await stockOf('salt')).toEqual({ available: 1, reserved: 0, shipped: 0 });
});

test('a shipment takes every line out of the stock', async () => {
  await decide(warehouse, reserve('o1', ['oil', 2], ['salt', 1]));
  await decide(warehouse, ship('o1'));
  expect(await stockOf('oil')).toEqual({ available: 3, reserved: 0, shipped: 2 });
  expect(await stockOf('salt')).toEqual({ available: 0, reserved: 0, shipped: 1 });
});

test('a cancellation that comes before the request leaves a tombstone that refuses it', async () => {
  await decide(warehouse, release('o1'));
  await decide(warehouse, reserve('o1', ['oil', 2]));
  expect(house.written()).toEqual([['reservation-o1 ReservationBlocked']]);
});

test('a repeated command writes nothing', async () => {
  await decide(warehouse, reserve('o1', ['oil', 2]), reserve('o2', ['oil', 2]));
  await decide(warehouse, ship('o1'), release('o2'));
  await decide(warehouse, reserve('o3', ['oil', 99]));
  house.written();
  for (const instance of [warehouse, house.instance()]) {
    await decide(instance, reserve('o1', ['oil', 2]), reserve('o2', ['oil', 2]), reserve('o3', ['oil', 1]));
    await decide(instance, ship('o1'), release('o2'), release('o3'));
  }
  expect(house.written()).toEqual([]);
});

test('what is shipped without a reservation is refused and writes nothing', async () => {
  await expect(decide(warehouse, ship('o1'))).rejects.toMatchObject({ code: 'nothing-reserved' });
  expect(house.written()).toEqual([]);
});

test('what is released after it was shipped comes back, all of it in one append, and once', async () => {
  await decide(warehouse, reserve('o1', ['oil', 1]));
  await decide(warehouse, ship('o1'));
  house.written();
  for (const instance of [warehouse, house.instance()]) await decide(instance, release('o1'), ship('o1'));
  expect(house.written()).toEqual([['reservation-o1 ReservationReturned', 'stock-oil StockReturned']]);
});

test('orders that want the same stock are decided together, first come, first served, and share one append', async () => {
  const written = await decide(
    warehouse,
    reserve('o1', ['oil', 2]),
    reserve('o2', ['oil', 4]),
    reserve('o3', ['oil', 3]),
    reserve('o4', ['oil', 1]),
  );
  expect(written.map(([event]) => event?.type)).toEqual([
    'ReservationMade',
    'ReservationRejected',
    'ReservationMade',
    'ReservationRejected',
  ]);
  expect(house.written()).toHaveLength(1);
  expect(await stockOf('oil')).toEqual({ available: 0, reserved: 5, shipped: 0 });
});

test('a request and its cancellation can be decided together', async () => {
  await decide(warehouse, reserve('o1', ['oil', 5]), release('o1'), reserve('o2', ['oil', 5]));
  expect(await stockOf('oil')).toEqual({ available: 0, reserved: 5, shipped: 0 });
  expect((await warehouse.load(reservation, 'reservation-o1')).state).toEqual({ status: 'released' });
});

test('two instances do not give the last unit to two orders', async () => {
  const other = house.instance();
  await other.transactAll([reserve('o0', ['oil', 99], ['salt', 99])]); // Now both know the stock as it was.
  const written = await Promise.all([
    decide(warehouse, reserve('o1', ['oil', 1], ['salt', 1])),
    decide(other, reserve('o2', ['oil', 1], ['salt', 1])),
  ]);
  expect(written.flat(2).map(({ type }) => type)).toEqual(['ReservationMade', 'ReservationRejected']);
  expect(await stockOf('oil')).toEqual({ available: 4, reserved: 1, shipped: 0 });
});

test('a booking is written with the stock, and counts once', async () => {
  expect(await decide(warehouse, book('e3', 'receipt', 'oil', 10))).toEqual([
    { available: 15, reserved: 0, shipped: 0 },
  ]);
  expect(house.written()).toEqual([['stock-oil StockReceived', 'entry-e3 EntryMade']]);
  for (const instance of [warehouse, house.instance()]) {
    expect(await decide(instance, book('e3', 'receipt', 'oil', 10))).toEqual([
      { available: 15, reserved: 0, shipped: 0 },
    ]);
  }
  expect(house.written()).toEqual([]);
});

test.each([
  ['receipt', 5, { available: 10, reserved: 0, shipped: 0 }],
  ['recount', 3, { available: 3, reserved: 0, shipped: 0, difference: -2 }],
  ['recount', 5, { available: 5, reserved: 0, shipped: 0, difference: 0 }],
] as const)(
  'a %s of %i that is sent again gets its first answer, however the stock has moved',
  async (kind, n, first) => {
    expect(await decide(warehouse, book('e3', kind, 'oil', n))).toEqual([first]);
    await decide(warehouse, book('e4', 'receipt', 'oil', 10));
    await decide(warehouse, reserve('o1', ['oil', 1]));
    house.written();
    for (const instance of [warehouse, house.instance()]) {
      expect(await decide(instance, book('e3', kind, 'oil', n))).toEqual([first]);
    }
    expect(house.written()).toEqual([]);
  },
);

test('bookings that are decided together each get the answer of their own turn', async () => {
  expect(
    await decide(
      warehouse,
      book('e3', 'receipt', 'oil', 5),
      book('e4', 'receipt', 'oil', 3),
      book('e3', 'receipt', 'oil', 5),
    ),
  ).toMatchObject([{ available: 10 }, { available: 13 }, { available: 10 }]);
});

test('an entry of the first releases, which kept no answer, is answered with the stock of now', async () => {
  const metadata = { ...cause, schema: 1 };
  const data = { kind: 'receipt', sku: 'oil', quantity: 5 };
  const events = [{ id: 'old', type: 'EntryMade', data, metadata }];
  await house.store().append([{ stream: 'entry-e0', expected: 'none', events }]);
  house.written();
  expect(await decide(warehouse, book('e0', 'receipt', 'oil', 5))).toEqual([{ available: 5, reserved: 0, shipped: 0 }]);
  expect(house.written()).toEqual([]);
});

test('a refused booking leaves no trace, so it can be corrected under the same key', async () => {
  await decide(warehouse, reserve('o1', ['oil', 2]));
  house.written();
  await expect(decide(warehouse, book('e3', 'recount', 'oil', 1))).rejects.toMatchObject({
    code: 'reserved-stock-missing',
  });
  expect(house.written()).toEqual([]);
  expect(await decide(warehouse, book('e3', 'recount', 'oil', 2))).toEqual([
    { available: 0, reserved: 2, shipped: 0, difference: -3 },
  ]);
});

test('whatever is asked for, together or apart, stock holds for orders exactly what their reservations hold', async () => {
  const anyLines = fc.uniqueArray(fc.tuple(fc.constantFrom('oil', 'salt'), fc.integer({ min: 1, max: 3 })), {
    selector: ([sku]) => sku,
    minLength: 1,
  });
  const orderIds = ['o1', 'o2', 'o3', 'o4'];
  const anyOrder = fc.constantFrom(...orderIds);
  const anyDecision: fc.Arbitrary<Decision<readonly ReservationEvent[]>> = fc.oneof(
    fc.tuple(anyOrder, anyLines).map(([orderId, lines]) => reserve(orderId, ...lines)),
    anyOrder.map(release),
    anyOrder.map(ship),
  );
  const anyBatches = fc.array(fc.array(anyDecision, { minLength: 1, maxLength: 4 }), { maxLength: 10 });
  await fc.assert(
    fc.asyncProperty(anyBatches, async (batches) => {
      house = new House();
      warehouse = house.instance();
      await decide(warehouse, book('e1', 'receipt', 'oil', 5), book('e2', 'receipt', 'salt', 3));
      for (const batch of batches) await warehouse.transactAll(batch);

      const held: Record<string, number> = { oil: 0, salt: 0 };
      for (const orderId of orderIds) {
        const { state } = await warehouse.load(reservation, `reservation-${orderId}`);
        if (state.status === 'made') state.lines.forEach(({ sku, quantity }) => (held[sku]! += quantity));
      }
      for (const [sku, received] of [
        ['oil', 5],
        ['salt', 3],
      ] as const) {
        const { available, reserved, shipped } = await stockOf(sku);
        expect({ sku, reserved }).toEqual({ sku, reserved: held[sku] });
        expect(available).toBeGreaterThanOrEqual(0);
        expect(available + reserved + shipped).toBe(received);
      }
    }),
    { numRuns: 100 },
  );
});
