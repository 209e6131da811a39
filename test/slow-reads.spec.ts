/**
 * With the events in KurrentDB, a read of its client that goes alone takes 43 ms: nothing that a user waits for takes one.
 * A stand-in for the client counts them.
 */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { orderDefinition } from '../apps/order/src/definition.js';
import { orderSummary } from '../apps/order/src/read-models/order-summary.js';
import { priceList } from '../apps/order/src/read-models/price-list.js';
import { orderService } from '../apps/order/src/service.js';
import { developmentKeys } from '../proof/token-keys.js';
import { ProjectionWatch, watchLoops } from '../libs/nest/src/boot/progress.js';
import { freshDatabase } from '#test/database';
import { KurrentDbStandIn } from '#test/kurrentdb-stand-in';
import { KurrentDbEventStore } from '#event-store/kurrentdb';
import { MemoryMessageBus } from '#message-bus';
import { Health, Metrics, ReadYourWrites } from '#nest';
import { type AnyProjection, MemoryTables, projector, type Tables } from '#projections';
import { PostgresTables, rebuild } from '#projections/postgres';
import { MemoryCheckpoints, MemoryLeases, silentLog, SystemClock, SystemIds, SystemRandom } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import { ManualClock } from '#runtime/testing';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const cause = { correlationId: ORDER, causationId: 'test' };
const euros = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const runtime = { clock: new SystemClock(), ids: new SystemIds(), random: new SystemRandom(), log: silentLog };
const [orders, prices] = [orderSummary, priceList] as unknown as [AnyProjection, AnyProjection];

let server: KurrentDbStandIn;
/** The store's: while it stands still, the watch of the store looks at the head once, and at nothing else. */
let clock: ManualClock;
let store: KurrentDbEventStore;
let stop: AbortController;
const open = () => KurrentDbEventStore.open({ url: 'kurrentdb://stand-in:2113?tls=false', clock }, server.connect);
beforeEach(async () => {
  server = new KurrentDbStandIn();
  clock = new ManualClock();
  stop = new AbortController();
  store = await open();
  server.loneReadMs = 43;
});
afterEach(async () => {
  stop.abort();
  await store.close();
});

/** An order service that has only just been started. */
function started() {
  const ports = { ...runtime, store } as unknown as Parameters<typeof orderService>[0];
  return orderService(ports, { deadlineMs: 60_000, openOrders: 20, ...developmentKeys });
}

/** Places an order, and returns the position of that. */
async function place(): Promise<bigint> {
  const service = started();
  await service.setPrice('honey', euros(895), cause);
  const lines = [{ sku: 'honey', quantity: 1 }];
  return (await service.place({ orderId: ORDER, customerId: ORDER, lines, paymentToken: 'tok' }, cause)).position;
}

function project(projection: AnyProjection, tables: Tables): void {
  void projector({ projection, store, tables, leases: new MemoryLeases(), runtime, signal: stop.signal });
}

async function follow(category: string): Promise<void> {
  for await (const _ of store.subscribe({ categories: [category], after: 0n, signal: stop.signal }));
}

function readsOf(from: KurrentDbEventStore, tables: Tables = new MemoryTables()) {
  return new ReadYourWrites({ store: from, tables, clock: runtime.clock }, 3_000, stop.signal);
}

/** How many reads go alone during `work`. */
async function loneReads(work: () => Promise<unknown>): Promise<number> {
  const before = server.loneReads;
  const beganMs = performance.now();
  await work();
  console.log(`${expect.getState().currentTestName}: ${Math.round(performance.now() - beganMs)} ms.`);
  return server.loneReads - before;
}

test.each<[string, (position: bigint) => Promise<unknown>]>([
  [
    'the history of an order, for who has just placed it',
    async (position) => {
      await readsOf(store).refuseUnknown(position);
      expect(await started().history(ORDER)).toHaveLength(1);
    },
  ],
  ['the cancellation of an old order', () => started().cancel(ORDER, undefined, cause)],
  ['a decision on a stream that is not in memory', () => started().setPrice('honey', euros(995), cause)],
])('%s takes none', async (_, work) => {
  const position = await place();
  expect(await loneReads(() => work(position))).toBe(0);
});

test('a position takes none, also one that another instance has given out, or nobody', async () => {
  const other = await open();
  const position = await place();
  const reads = readsOf(other);
  const refused = async () => {
    await reads.refuseUnknown(position);
    await expect(reads.refuseUnknown(position + 1n)).rejects.toMatchObject({ code: 'unknown-position' });
  };
  expect(await loneReads(refused)).toBe(0);
  await other.close();
});

test('a read takes none that waits until its read model is past what was written into another category', async () => {
  await place();
  const tables = new MemoryTables();
  for (const projection of orderDefinition.projections) project(projection, tables);
  // The relay, those who wait for an order to be settled, and the price cache.
  for (const category of ['order', 'order', 'price']) void follow(category);
  await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
  // Until the watch waits for something to happen.
  for (let looks = server.headReads; looks < 5; looks++) {
    await clock.advance(250);
    await expect.poll(() => clock.sleeping).toBe(1);
  }
  const service = started();
  const read = async () => {
    const { position } = await service.setPrice('honey', euros(995), cause);
    await readsOf(store, tables).read(orders, position, async () => 'rows');
  };
  expect(await loneReads(read)).toBe(0);
});

test('the answer to a probe takes none', async () => {
  await place();
  const bus = new MemoryMessageBus({ clock: runtime.clock });
  const ports = { ...runtime, store, tables: new MemoryTables(), checkpoints: new MemoryCheckpoints(), bus };
  const health = new Health(runtime.clock);
  health.add('store', async () => void (await store.head()));
  new ProjectionWatch(orderDefinition.projections, ports).show(health, new Metrics('order'));
  watchLoops(orderDefinition, ports, health);
  const probe = async () => expect((await health.ready()).status).toBe('ready');
  expect(await loneReads(probe)).toBe(0);
});

test('a replay takes one for each page of a thousand events, and one to find the end', async () => {
  const set = (amountMinor: number) => {
    return { id: runtime.ids.next(), type: 'PriceSet', data: euros(amountMinor), metadata: { ...cause, schema: 1 } };
  };
  for (let sku = 0; sku < 200; sku++) {
    const events = Array.from({ length: 10 }, (_, i) => set(i + 1));
    await store.append([{ stream: `price-sku${sku}`, expected: 'none', events }]);
  }
  const pool = postgresPool(await freshDatabase('order'));
  const tables = new PostgresTables(pool);
  project(prices, tables);
  const head = await store.head();
  await expect.poll(() => tables.checkpoint(prices), { timeout: 10_000 }).toBe(head);
  const replay = async () => {
    const { events } = await rebuild({ projection: prices, store, pool, clock: runtime.clock, log: silentLog });
    expect(events).toBe(2_000);
  };
  expect(await loneReads(replay)).toBe(3);
  stop.abort();
  await pool.end();
});
