import { beforeEach, expect, test } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { silentLog } from '#runtime';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { inventoryService, type InventoryService } from './service.js';

const cause = { correlationId: 'c', causationId: 'm' };

let store: MemoryEventStore;
let inventory: InventoryService;
let revision: number;
beforeEach(() => {
  const clock = new ManualClock();
  store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  inventory = inventoryService({ ...runtime, store } as unknown as Parameters<typeof inventoryService>[0]);
  revision = -1;
});

/** What an order does to the stock of oil, or a delivery. Returns its position. */
function write(...types: ('StockReceived' | 'StockReserved' | 'StockReleased' | 'StockShipped' | 'StockReturned')[]) {
  const metadata = { ...cause, schema: 1 };
  const data = { orderId: 'o1', quantity: 1 };
  const events = types.map((type, n) => ({ id: `e${revision}-${n}`, type, data, metadata }));
  const expected = revision < 0 ? 'none' : revision;
  revision += types.length;
  return store.append([{ stream: 'stock-oil', expected, events }]);
}

let entries = 0;
const recount = async (counted: number, asOf?: bigint) => {
  const at = asOf === undefined ? {} : { asOf: `${asOf}` };
  const entryId = `recount-${++entries}`;
  return (await inventory.bookStock({ entryId, kind: 'recount', sku: 'oil', quantity: counted, ...at }, cause)).result;
};

test('a recount as of a position takes for a difference only what was there then', async () => {
  const counted = await write(...Array<'StockReceived'>(10).fill('StockReceived'));
  await write('StockReserved', 'StockReserved', 'StockShipped', 'StockShipped'); // While the slip goes to the office.
  expect(await recount(10, counted)).toEqual({ available: 8, reserved: 0, shipped: 2, difference: 0 });
  expect(await recount(9, counted)).toEqual({ available: 7, reserved: 0, shipped: 2, difference: -1 });
});

test('a recount without a position is of this moment, and says what it changed', async () => {
  await write('StockReceived', 'StockReceived', 'StockReceived', 'StockReserved', 'StockShipped');
  expect(await recount(3)).toEqual({ available: 3, reserved: 0, shipped: 1, difference: 1 });
});

test.each([1, 499, 500, 501, 3_000])('a position may be %i events ago', async (events) => {
  const counted = await write('StockReceived', 'StockReceived', 'StockReceived');
  await write(...Array<'StockReceived'>(events).fill('StockReceived'), 'StockReserved', 'StockReleased');
  expect(await recount(3, counted)).toMatchObject({ available: 3 + events, difference: 0 });
  expect(await recount(0, 0n)).toMatchObject({ available: 3 + events, difference: 0 });
});

test('of a SKU that has never been there', async () =>
  expect(await recount(4, 0n)).toEqual({ available: 4, reserved: 0, shipped: 0, difference: 4 }));

test('a position that is still to come is refused, and leaves no trace', async () => {
  const last = await write('StockReceived');
  await expect(recount(1, last + 1n)).rejects.toMatchObject({ code: 'unknown-position' });
  expect(await store.head()).toBe(last);
});
