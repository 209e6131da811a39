/** What the common troubles do at the ports, each by itself; what a shop makes of them is in test/troubles.spec.ts. */
import { expect, test } from 'vitest';
import { MemoryEventStore, type NewEvent } from '#event-store';
import { type Delivered, MemoryMessageBus, type Message } from '#message-bus';
import { ServerUnavailable, silentLog, SystemClock } from '#runtime';
import { commonTroubles, type Hands, ownHands, withTroubles } from './common.js';
import { Troubles } from './troubles.js';
import type { ServicePorts } from '../ports.js';

const clock = new SystemClock();
const TOPIC = 'things.events.v1';

function open() {
  const did: string[] = [];
  const hands: Hands = {
    kill() {
      did.push('killed');
      return new Promise(() => {});
    },
    standStill: (ms) => void did.push(`stood still for ${ms} ms`),
  };
  const troubles = new Troubles<keyof typeof commonTroubles>(commonTroubles, { clock, log: silentLog });
  const [memory, memoryBus] = [new MemoryEventStore(clock), new MemoryMessageBus({ clock })];
  const ports = { store: memory, bus: memoryBus } as unknown as ServicePorts;
  const { store, bus } = withTroubles(ports, troubles, hands);
  const stored = async () => {
    const found = [];
    for await (const { type } of memory.read('thing-1')) found.push(type);
    return found;
  };
  return { troubles, store, bus, did, stored };
}

const event: NewEvent = {
  id: '0190a8c0-0000-7000-8000-000000000001',
  type: 'ThingHappened',
  data: {},
  metadata: { schema: 1, correlationId: 'test', causationId: 'test' },
};
const write = [{ stream: 'thing-1', expected: 'none' as const, events: [event] }];
const message: Message = {
  id: event.id,
  type: event.type,
  source: '/things',
  time: '2027-01-01T00:00:00.000Z',
  key: '1',
  data: {},
  correlationId: 'test',
};

type Opened = ReturnType<typeof open>;
const ways: [string, (shop: Opened) => Promise<unknown>][] = [
  ['an append', ({ store }) => store.append(write)],
  ['an append in a turn', ({ store }) => store.inTurn(new Map(), (turn) => turn.append(write))],
];

test.each(ways)('end-after-append: %s is stored, and the process ends before anybody is told', async (_, append) => {
  const shop = open();
  shop.troubles.switchOn('end-after-append', 'otto');
  let told = false;
  void append(shop).then(() => (told = true));
  await expect.poll(() => shop.did).toEqual(['killed']);
  await clock.sleep(10);
  expect([told, await shop.stored()]).toEqual([false, ['ThingHappened']]);
});

test.each(ways)('freeze: after %s the process stands still for 10 s, once', async (_, append) => {
  const shop = open();
  shop.troubles.switchOn('freeze', 'otto');
  await append(shop);
  expect([shop.did, await shop.stored()]).toEqual([['stood still for 10000 ms'], ['ThingHappened']]);
  expect(shop.troubles.strikes('freeze')).toBe(false);
});

test('a process that stands still does nothing else', () => {
  const beganMs = clock.monotonicMs();
  let turned = false;
  setImmediate(() => (turned = true));
  ownHands.standStill(60);
  expect([clock.monotonicMs() - beganMs >= 59, turned]).toEqual([true, false]);
});

test.each(ways)('refuse-appends: %s stores nothing, and says that trying later may help', async (_, append) => {
  const shop = open();
  shop.troubles.switchOn('refuse-appends', 'otto');
  await expect(append(shop)).rejects.toThrow(ServerUnavailable);
  expect(await shop.stored()).toEqual([]);
  shop.troubles.switchOff('refuse-appends');
  await append(shop);
  expect(await shop.stored()).toEqual(['ThingHappened']);
});

/** Consumes until it is stopped; `ended` says how each run of the consumer ended. */
function listen({ bus }: Opened, onBatch: (batch: readonly Delivered[]) => void = () => {}) {
  const heard: string[] = [];
  const stopping = new AbortController();
  const consumed = bus.consume({
    group: 'listener',
    topics: [TOPIC],
    handle: async (batch) => {
      onBatch(batch);
      heard.push(...batch.map(({ type }) => type));
    },
    signal: stopping.signal,
  });
  consumed.catch(() => {});
  return { heard, consumed, stop: () => stopping.abort() };
}

test('publish-twice: each message is said twice', async () => {
  const shop = open();
  shop.troubles.switchOn('publish-twice', 'otto');
  await shop.bus.publish(TOPIC, [message]);
  const { heard, stop } = listen(shop);
  await expect.poll(() => heard).toEqual(['ThingHappened', 'ThingHappened']);
  stop();
});

test('lose-bus: nothing is published, asked or read, and a consumer that reads already is cut off', async () => {
  const shop = open();
  const before = listen(shop);
  shop.troubles.switchOn('lose-bus', 'otto');
  await expect(before.consumed).rejects.toThrow(ServerUnavailable);
  const calls = [
    shop.bus.publish(TOPIC, [message]),
    shop.bus.ping(),
    shop.bus.missed('listener'),
    shop.bus.unread('listener', [TOPIC]),
    shop.bus.rewind('listener', [TOPIC]),
    listen(shop).consumed,
  ];
  for (const call of calls) await expect(call).rejects.toThrow(ServerUnavailable);
  shop.troubles.switchOff('lose-bus');
  await shop.bus.publish(TOPIC, [message]);
  const after = listen(shop);
  await expect.poll(() => after.heard).toEqual(['ThingHappened']);
  after.stop();
  await after.consumed;
});

test('lose-bus: what was handled as the bus was lost is delivered again', async () => {
  const shop = open();
  await shop.bus.publish(TOPIC, [message]);
  const first = listen(shop, () => shop.troubles.switchOn('lose-bus', 'otto'));
  await expect(first.consumed).rejects.toThrow(ServerUnavailable);
  shop.troubles.switchOff('lose-bus');
  const second = listen(shop);
  await expect.poll(() => second.heard).toEqual(['ThingHappened']);
  second.stop();
  expect(first.heard).toEqual(['ThingHappened']);
});
