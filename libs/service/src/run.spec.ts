import { expect, test } from 'vitest';
import { inventoryEvents, orderEvents } from '#contracts';
import { MemoryEventStore } from '#event-store';
import { type Delivered, MemoryMessageBus, MemoryParkedMessages, UnknownType } from '#message-bus';
import { MemoryCheckpoints, MemoryLeases, silentLog, SystemClock } from '#runtime';
import { SeededRandom, SequentialIds } from '#runtime/testing';
import { defineService } from './definition.js';
import type { ServicePorts } from './ports.js';
import { receive, runService } from './run.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';

const definition = defineService({
  name: 'shop',
  port: 3009,
  access: {},
  aggregates: {},
  upcasters: {},
  publishes: orderEvents,
  relays: ['shop'],
  messageOf: () => undefined,
  subscribes: [inventoryEvents],
  reactionTo: ({ type }: { type: string }) => ({ type: `After${type}` }),
  projections: [],
});

const delivered = (topic: string): Delivered => ({
  id: 'm1',
  type: 'StockReserved',
  source: '/inventory',
  time: '2026-11-21T12:00:00.000Z',
  key: orderId,
  data: { orderId },
  correlationId: 'request',
  topic,
  partition: 0,
  offset: 0n,
});

test('a message comes with the command that it leads to, and with itself as the cause', () =>
  expect(receive(definition, delivered(inventoryEvents.name))).toEqual({
    message: { type: 'StockReserved', data: { orderId } },
    command: { type: 'AfterStockReserved' },
    cause: { correlationId: 'request', causationId: 'm1', message: `${inventoryEvents.name}/0/0` },
  }));

test('a message of a topic without a subscription is skipped, and not parsed by the contract of another topic', () =>
  expect(() => receive(definition, delivered('elsewhere'))).toThrow(UnknownType));

test('a loop that fails is started again', async () => {
  const clock = new SystemClock();
  const ports = {
    clock,
    ids: new SequentialIds(),
    random: new SeededRandom(1),
    log: silentLog,
    store: new MemoryEventStore(clock),
    bus: new MemoryMessageBus({ clock }),
    checkpoints: new MemoryCheckpoints(),
    leases: new MemoryLeases(),
    parked: new MemoryParkedMessages(),
    counters: { skipped: () => {}, dead: () => {} },
  } as unknown as ServicePorts;
  const stop = new AbortController();
  let starts = 0;
  const loops = {
    watchdog: async () => {
      starts++;
      if (starts === 1) throw new Error('The first run fails.');
      stop.abort();
    },
  };
  await runService(definition, ports, { handle: async () => {}, loops, signal: stop.signal });
  expect(starts).toBe(2);
});
