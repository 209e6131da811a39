/** What health says of loops that have work and do not get on with it, and of appends that are not answered. */
import { beforeEach, expect, test } from 'vitest';
import { orderEvents } from '#contracts';
import { MemoryEventStore, type StreamWrite } from '#event-store';
import { MemoryMessageBus } from '#message-bus';
import { MemoryTables, type Projection } from '#projections';
import { MemoryCheckpoints, silentLog, untilAborted } from '#runtime';
import { ManualClock } from '#runtime/testing';
import type { ServicePorts } from '#service';
import { Health } from './health.js';
import { Metrics } from './metrics.js';
import { ProjectionWatch, watchLoops, WatchedStore } from './progress.js';

const clock = new ManualClock();
const projection: Projection<{ id: string }, never> = {
  name: 'order-summary',
  table: 'order_summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => ({ id: 'a' }),
  apply: (row) => row,
};
const definition = { name: 'order', relays: ['order'], subscribes: [orderEvents], projections: [projection] };
const ANSWER_MS = 1_800;

class StubbornStore extends MemoryEventStore {
  answers = true;

  override append(writes: readonly StreamWrite[]): Promise<bigint> {
    return this.answers ? super.append(writes) : new Promise(() => {});
  }
}

let inner: StubbornStore;
let ports: Pick<ServicePorts, 'clock' | 'log' | 'store' | 'tables' | 'checkpoints' | 'bus'>;
let health: Health;
let watch: ProjectionWatch;
beforeEach(() => {
  inner = new StubbornStore(clock);
  const store = new WatchedStore(inner, clock);
  const bus = new MemoryMessageBus({ clock, partitions: 1 });
  ports = { clock, log: silentLog, store, tables: new MemoryTables(), checkpoints: new MemoryCheckpoints(), bus };
  health = new Health(clock);
  health.add('store', async () => store.refuseSilence(ANSWER_MS));
  watch = new ProjectionWatch(definition.projections, ports);
  watch.show(health, new Metrics('order'));
  watchLoops(definition, ports, health);
});

/** What a probe is answered after `ms` more milliseconds. */
async function ready(afterMs: number) {
  await clock.advance(afterMs);
  return health.ready();
}

async function append(stream = 'order-1') {
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
  const event = { id: stream, type: 'OrderPlaced', data: {}, metadata };
  return ports.store.append([{ stream, expected: 'none', events: [event] }]);
}

test('what has nothing to do, and what moves, is no trouble, however long it takes', async () => {
  expect((await ready(60_000)).status).toBe('ready');
  await append();
  await append('order-2');
  expect((await ready(1_000)).status).toBe('ready');
  // Both are behind for longer than STUCK_MS, and move meanwhile.
  for (const position of [1n, 2n]) {
    await ports.checkpoints.save('order', position);
    await ports.tables.commit({ projection, from: position - 1n, to: position, upserts: [], deletes: [] });
    expect((await ready(4_000)).status).toBe('ready');
  }
  expect((await ready(60_000)).status).toBe('ready');
});

test('a projector and a relay that are behind and do not move are named, and requests are still answered', async () => {
  expect((await ready(0)).status).toBe('ready');
  await append();
  expect((await ready(60_000)).status).toBe('ready'); // Found behind for the first time: what came before is not known.
  const { status, checks } = await ready(6_000);
  expect(status).toBe('degraded');
  const stuck = { status: 'stuck', seconds: 6, position: 0, head: 1, lag: 1 };
  expect(checks).toMatchObject({ 'projection:order-summary': stuck, relay: stuck, consumer: { status: 'up' } });

  await ports.checkpoints.save('order', 1n);
  expect((await ready(1_000)).checks).toMatchObject({
    'projection:order-summary': { ...stuck, seconds: 7 },
    relay: { status: 'up', position: 1, head: 1, lag: 0 },
  });
});

test('a consumer whose batch does not end is named, with the partition', async () => {
  const { name: topic, source } = orderEvents;
  const handled = new AbortController();
  const signal = AbortSignal.timeout(10_000);
  const handle = () => new Promise<void>((done) => handled.signal.addEventListener('abort', () => done()));
  void ports.bus.consume({ group: 'order', topics: [topic], handle, signal });
  await ports.bus.publish(topic, [
    { id: 'm', type: 'OrderPlaced', source, time: '', key: 'k', data: {}, correlationId: 'c' },
  ]);
  expect((await ready(1_000)).checks['consumer']).toEqual({ status: 'up' });
  const { status, checks } = await ready(5_000);
  expect([status, checks['consumer']]).toEqual([
    'degraded',
    { status: 'stuck', partitions: [{ topic, partition: 0, unread: 1, seconds: 5 }] },
  ]);
  handled.abort();
  expect((await ready(1_000)).status).toBe('ready');
});

test('an append that is not answered for longer than a request may take turns readiness red, unless others are', async () => {
  inner.answers = false;
  void append();
  expect((await ready(ANSWER_MS)).status).toBe('ready');
  inner.answers = true;
  await append('order-2');
  expect((await ready(ANSWER_MS)).status).toBe('ready');
  const red = await ready(250);
  expect([red.status, red.checks['store']]).toEqual(['not-ready', { status: 'down' }]);
});

test('a read model that is behind tells for how long the oldest event that it does not show has been there', async () => {
  const behind = async () => (await watch.stateOf(projection)).behindSeconds;
  expect(await behind()).toBe(0);
  await append('price-1'); // Not for this read model, which has only to pass it by.
  await clock.advance(1_000);
  expect(await behind()).toBe(0);
  await append('order-1');
  await clock.advance(3_000);
  await append('order-2');
  expect(await behind()).toBe(3);
  await ports.tables.commit({ projection, from: 0n, to: 2n, upserts: [], deletes: [] });
  await clock.advance(2_000);
  expect(await behind()).toBe(2);
  expect(await watch.stateOf(projection)).toMatchObject({ position: 2, head: 3, lag: 1 });
});

test('a store that does not tell the oldest event in time leaves the seconds out, and the rest is told', async () => {
  await append();
  inner.subscribe = async function* (options) {
    await untilAborted(options.signal);
    yield* [];
  };
  const state = watch.stateOf(projection);
  await clock.advance(500);
  expect(await state).toMatchObject({ lag: 1, behindSeconds: undefined });
});
