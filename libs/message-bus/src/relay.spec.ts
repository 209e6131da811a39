import { once } from 'node:events';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemoryEvents, MemoryEventStore, type RecordedEvent } from '#event-store';
import { type Checkpoints, MemoryCheckpoints, MemoryLeases, ServerUnavailable, silentLog, SystemClock } from '#runtime';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { message, numberOf, until } from './contract.js';
import { MemoryLog, MemoryMessageBus } from './memory.js';
import type { Message } from './port.js';
import { relay, type RelayOptions } from './relay.js';

const clock = new SystemClock();
const ids = new SequentialIds();
const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };

let stop: AbortController;
let running: Promise<void>[];
let events: MemoryEvents;
let log: MemoryLog;

beforeEach(() => {
  stop = new AbortController();
  running = [];
  events = new MemoryEvents();
  log = new MemoryLog();
});
afterEach(async () => {
  stop.abort();
  await Promise.all(running);
});

function start(options: Partial<RelayOptions> = {}): void {
  running.push(
    relay({
      name: 'relay',
      store: new MemoryEventStore(clock, events),
      bus: new MemoryMessageBus({ clock, log }),
      topic: 'test',
      categories: ['order'],
      toMessage: (event) => (event.type === 'Public' ? toMessage(event) : undefined),
      checkpoints: new MemoryCheckpoints(),
      leases: new MemoryLeases(),
      runtime,
      signal: stop.signal,
      ...options,
    }),
  );
}

const toMessage = (event: RecordedEvent): Message => message(event.stream, event.revision);

/** Appends one event; its message has the number of its revision. */
async function append(stream: string, revision: number, type = 'Public'): Promise<void> {
  const metadata = { correlationId: stream, causationId: stream, schema: 1 };
  await new MemoryEventStore(new ManualClock(), events).append([
    {
      stream,
      expected: revision === 0 ? 'none' : revision - 1,
      events: [{ id: ids.next(), type, data: {}, metadata }],
    },
  ]);
}

function published(): Message[] {
  return log.topic('test').flat();
}

test('public events are published in order, private ones and those of other categories are not', async () => {
  await append('order-1', 0);
  await append('order-1', 1, 'Private');
  await append('price-1', 0);
  start();
  await append('order-1', 2);
  await until(() => expect(published().map(({ id }) => id)).toEqual(['order-1/0', 'order-1/2']));
});

test('a relay resumes from its checkpoint', async () => {
  const checkpoints = new MemoryCheckpoints();
  await append('order-1', 0);
  start({ checkpoints });
  await until(async () => expect(await checkpoints.load('relay')).toBe(1n));
  stop.abort();
  await Promise.all(running);

  stop = new AbortController();
  await append('order-1', 1);
  start({ checkpoints, signal: stop.signal });
  await until(() => expect(published().map(numberOf)).toEqual([0, 1]));
});

test('the checkpoint never runs ahead: an unacknowledged message is published again', async () => {
  const bus = new FailingOnce({ clock, log });
  const checkpoints = new MemoryCheckpoints();
  await append('order-1', 0);
  start({ bus, checkpoints });
  await until(() => expect(bus.failures).toBe(1));
  expect(await checkpoints.load('relay')).toBe(0n);
  await until(() => expect(published().map(numberOf)).toEqual([0]));
});

test('one checkpoint is saved for all that is published in a moment, and the last one when the relay ends', async () => {
  const clock = new ManualClock();
  const checkpoints = new Saved();
  start({ checkpoints, runtime: { ...runtime, clock } });
  for (const revision of [0, 1, 2]) await append('order-1', revision);
  await until(() => expect(published()).toHaveLength(3));
  await clock.advance(99);
  expect(checkpoints.saved).toEqual([]);
  await clock.advance(1);
  await until(() => expect(checkpoints.saved).toEqual([3n]));

  await append('order-1', 3);
  await until(() => expect(published()).toHaveLength(4));
  stop.abort();
  await Promise.all(running);
  expect(checkpoints.saved).toEqual([3n, 4n]);
});

test('while the broker is away, publishing is retried with growing pauses; then everything is published in order', async () => {
  const bus = new Away({ clock, log });
  const manual = new ManualClock();
  const failedMs: number[] = [];
  const warn = () => failedMs.push(manual.now().getTime());
  for (const revision of [0, 1, 2]) await append('order-1', revision);
  start({ bus, runtime: { ...runtime, clock: manual, log: { ...silentLog, warn } } });
  while (failedMs.length < 12) await manual.advance(1_000);
  const pausesMs = failedMs.slice(1).map((ms, i) => ms - failedMs[i]!);
  expect(Math.max(...pausesMs.slice(0, 2))).toBeLessThan(300);
  expect(Math.min(...pausesMs.slice(-3))).toBeGreaterThanOrEqual(1_000);
  expect(published()).toEqual([]);
  bus.isAway = false;
  await append('order-1', 3);
  await manual.advance(3_000);
  await until(() => expect(published().map(numberOf)).toEqual([0, 1, 2, 3]));
});

test('a stop waits until the bus has given up the publish under way, and retries nothing', async () => {
  const giveUp = new AbortController();
  let tries = 0;
  const bus = new (class extends MemoryMessageBus {
    override async publish(): Promise<void> {
      tries++;
      await once(giveUp.signal, 'abort');
      throw new ServerUnavailable('No broker answered.');
    }
  })({ clock, log });
  const order: string[] = [];
  await append('order-1', 0);
  start({ bus });
  await until(() => expect(tries).toBe(1));
  const ended = running[0]!.then(() => order.push('ended'));
  stop.abort();
  await clock.sleep(20);
  order.push('given up');
  giveUp.abort();
  await ended;
  expect(order).toEqual(['given up', 'ended']);
  expect(tries).toBe(1);
});

test('when a checkpoint cannot be saved, the relay starts again and nothing is left out', async () => {
  let failures = 0;
  const checkpoints = new (class extends MemoryCheckpoints {
    override async save(name: string, position: bigint): Promise<void> {
      if (++failures <= 2) throw new Error('The database is gone.');
      return super.save(name, position);
    }
  })();
  await append('order-1', 0);
  start({ checkpoints });
  await until(() => expect(published().length).toBeGreaterThan(0));
  await append('order-1', 1);
  await until(async () => expect(await checkpoints.load('relay')).toBe(2n));
  expect(new Set(published().map(numberOf))).toEqual(new Set([0, 1]));
});

test('one of several instances relays, and another takes over when it ends', async () => {
  const shared = { checkpoints: new MemoryCheckpoints() as Checkpoints, leases: new MemoryLeases() };
  const first = new AbortController();
  start({ ...shared, signal: first.signal });
  start(shared);
  await append('order-1', 0);
  await until(async () => expect(await shared.checkpoints.load('relay')).toBe(1n));
  first.abort();
  await append('order-1', 1);
  await until(() => expect(published().map(numberOf)).toEqual([0, 1]));
});

/** A bus whose broker is away at first. */
class Away extends MemoryMessageBus {
  isAway = true;

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    if (this.isAway) throw new ServerUnavailable('No broker answered.');
    return super.publish(topic, messages);
  }
}

/** A bus whose first publication is not acknowledged. */
class FailingOnce extends MemoryMessageBus {
  failures = 0;

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    if (this.failures++ === 0) throw new Error('The bus is gone.');
    return super.publish(topic, messages);
  }
}

/** Checkpoints that remember each time they were saved. */
class Saved extends MemoryCheckpoints {
  readonly saved: bigint[] = [];

  override async save(name: string, position: bigint): Promise<void> {
    await super.save(name, position);
    this.saved.push(position);
  }
}
