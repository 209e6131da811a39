/** What a service tells of how it flows: exact where it can be read, and left out where it cannot. */
import { beforeEach, expect, test } from 'vitest';
import { orderEvents } from '#contracts';
import { MemoryEventStore } from '#event-store';
import { MemoryMessageBus } from '#message-bus';
import { projection } from '#projections';
import { ManualClock, SequentialIds } from '#runtime/testing';
import type { OrderFlow, ServiceDefinition, ServiceFlow } from '#service';
import { memoryPorts } from '#test/memory-shop';
import { Flow } from './flow.js';

const summary = projection<{ id: string }, { type: 'Seen'; data: object }>({
  name: 'summary',
  table: 'summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => undefined,
  apply: (row) => row,
});
const definition = {
  name: 'order',
  relays: ['order'],
  subscribes: [orderEvents],
  projections: [summary],
  allLeases: ['order', 'projector:summary'],
} as unknown as ServiceDefinition;
const silent = () => new Promise<never>(() => {});
const refuses = () => Promise.reject(new Error('It is away.'));
const ORDERS: OrderFlow = { seconds: 10, placed: 7, settled: 6, toSettle: { seconds: 60, orders: 0, others: 0 } };

let clock: ManualClock;
let ports: ReturnType<typeof memoryPorts>;
let flow: Flow;
beforeEach(() => {
  clock = new ManualClock();
  const ids = new SequentialIds();
  const store = new MemoryEventStore(clock);
  ports = { ...memoryPorts({ clock, ids, bus: new MemoryMessageBus({ clock }) }), store };
  Object.assign(ports, { leases: { holders: async () => new Map([['order', 'here:3001']]) } });
  flow = new Flow(definition, ports, 'here:3001');
  flow.addCircuit('provider', () => 'half-open');
  flow.showOrders(() => ORDERS);
});

async function append(stream: string) {
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
  const events = [{ id: stream, type: 'Seen', data: {}, metadata }];
  await ports.store.append([{ stream, expected: 'none', events }]);
}

/** What it tells, when time passes as long as its servers are silent. */
async function tell(): Promise<ServiceFlow> {
  await clock.advance(1_000); // What was told before is kept no longer.
  const told = flow.tell();
  await clock.advance(1_500);
  return told;
}

test('it tells how far each loop is behind, in positions and in seconds, and who holds which lease', async () => {
  await append('order-1');
  await append('order-2');
  await append('price-1');
  await ports.checkpoints.save('order', 3n);
  await ports.tables.commit({ projection: summary, from: 0n, to: 1n, upserts: [], deletes: [] });
  await clock.advance(4_000);
  expect(await tell()).toEqual({
    service: 'order',
    instance: 'here:3001',
    at: '2026-01-01T00:00:05.000Z',
    head: '3',
    relay: { position: '3', lag: 0, seconds: 0 },
    consumer: { unread: 0 },
    readModels: [{ name: 'summary', position: '1', lag: 2, seconds: 5 }],
    leases: [
      { name: 'order', holder: 'here:3001' },
      ...['projector:summary', 'attention', 'replays'].map((name) => ({ name })),
    ],
    circuits: { provider: 'half-open' },
    orders: ORDERS,
  });
});

test('who is behind by events that do not concern it has waited for none of them', async () => {
  await append('price-1');
  expect((await tell()).relay).toEqual({ position: '0', lag: 1, seconds: 0 });
});

test.each([
  ['the store', ['head', 'relay', 'readModels', 'orders'], (how: object) => Object.assign(ports.store, { head: how })],
  ['the checkpoints', ['relay'], (how: object) => Object.assign(ports.checkpoints, { load: how })],
  ['the read models', ['readModels'], (how: object) => Object.assign(ports.tables, { positions: how })],
  ['the bus', ['consumer'], (how: object) => Object.assign(ports.bus, { unread: how })],
  ['the leases', ['leases'], (how: object) => Object.assign(ports.leases, { holders: how })],
] as const)('without %s it leaves out %s, and tells the rest in time', async (_name, figures, setUp) => {
  const all = Object.keys(await tell());
  for (const how of [silent, refuses]) {
    setUp(how);
    expect(Object.keys(await tell())).toEqual(all.filter((name) => !(figures as readonly string[]).includes(name)));
  }
});

test('without the time of the oldest event it tells the positions', async () => {
  await append('order-1');
  Object.assign(ports.store, { subscribe: () => ({ [Symbol.asyncIterator]: () => ({ next: silent }) }) });
  expect((await tell()).relay).toEqual({ position: '0', lag: 1 });
});

test('however many ask within half a second, its servers are asked once', async () => {
  let asked = 0;
  Object.assign(ports.bus, { unread: async () => (asked++, []) });
  await Promise.all([flow.tell(), flow.tell()]);
  await clock.advance(499);
  await flow.tell();
  expect(asked).toBe(1);
  await clock.advance(1);
  await flow.tell();
  expect(asked).toBe(2);
});
