import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Batch, MemoryEventStore, type NewEvent } from '#event-store';
import { MemoryMessageBus } from '#message-bus';
import { projection } from '#projections';
import { type Clock, SystemClock } from '#runtime';
import { SequentialIds } from '#runtime/testing';
import { defineService } from '#service';
import { openApp } from '#test/app';
import { EventReader, requestEvents } from '#test/event-reader';
import { memoryPorts } from '#test/memory-shop';
import { silentLog } from '#runtime';
import { Background } from '../boot/background.js';
import { EventStreams } from '../http/event-stream.js';
import { ReadYourWrites } from '../http/position.js';
import { ActivityController } from './activity.controller.js';
import { Activity } from './activity.js';

const summary = projection<{ id: string }, { type: 'Seen'; data: object }>({
  name: 'summary',
  table: 'summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => undefined,
  apply: (row) => row,
});

const definition = defineService({
  name: 'order',
  port: 3001,
  access: { 'GET /admin/activity': 'anyone' },
  aggregates: { order: {} as never, price: {} as never },
  upcasters: { Seen: [] },
  publishes: { name: 'order.events.v1' } as never,
  relays: ['order'],
  messageOf: () => undefined,
  subscribes: [],
  reactionTo: () => undefined,
  projections: [summary],
});

/** A store that counts who follows it, and can fail. */
class WatchedStore extends MemoryEventStore {
  following = 0;
  followed = 0;
  failure: Error | undefined;
  /** Holds back what the first who follows it would get. */
  held: Promise<void> | undefined;

  override async *subscribe(options: Parameters<MemoryEventStore['subscribe']>[0]): AsyncIterable<Batch> {
    this.following++;
    const isFirst = this.followed++ === 0;
    try {
      for await (const batch of super.subscribe(options)) {
        if (this.failure) throw this.failure;
        if (isFirst) await this.held;
        yield batch;
      }
    } finally {
      this.following--;
    }
  }

  override async head(): Promise<bigint> {
    if (this.failure) throw this.failure;
    return super.head();
  }
}

const clock: Clock = new SystemClock();
const opened: EventReader[] = [];
let app: NestFastifyApplication;
let background: Background;
let store: WatchedStore;
let ports: ReturnType<typeof memoryPorts> & { readonly store: WatchedStore };
let written: number;

beforeEach(async () => {
  const ids = new SequentialIds();
  store = new WatchedStore(clock);
  ports = { ...memoryPorts({ clock, ids, bus: new MemoryMessageBus({ clock }) }), store };
  background = new Background(silentLog);
  const activity = new Activity(definition, ports);
  background.onClose(() => activity.close());
  const streams = new EventStreams({ clock, stopping: background.stopping, max: 3 });
  written = 0;

  @Module({
    controllers: [ActivityController],
    providers: [
      { provide: Activity, useValue: activity },
      { provide: EventStreams, useValue: streams },
      { provide: ReadYourWrites, useValue: new ReadYourWrites(ports, 1_000, background.stopping) },
    ],
  })
  class TestModule {}

  app = await openApp({ module: TestModule, access: definition.access, background });
});

afterEach(async () => {
  for (const reader of opened.splice(0)) reader.close();
  await app.close();
});

const url = async (query = '') => `${await app.getUrl()}/admin/activity${query}`;

async function listen(query = '', headers: Record<string, string> = {}): Promise<EventReader> {
  const reader = await EventReader.open(await url(query), headers);
  opened.push(reader);
  await reader.next('begin');
  return reader;
}

/** Appends an event to a stream of its own, and returns its position. */
async function append(stream = `order-${written}`, data: object = {}): Promise<bigint> {
  const metadata = { correlationId: 'c', causationId: 'r', schema: 1, actor: 'cleo' };
  const event: NewEvent = { id: `e${++written}`, type: 'Seen', data, metadata };
  return store.append([{ stream, expected: 'none', events: [event] }]);
}

const positions = async (reader: EventReader, count: number) => {
  const found: string[] = [];
  while (found.length < count) found.push((await reader.next('fact')).position as string);
  return found;
};

test('an event is told with its cause, and its position is the id to go on from', async () => {
  const reader = await listen();
  await append('order-7', { total: 12 });
  expect(await reader.next('fact')).toEqual({
    id: 'e1',
    service: 'order',
    stream: 'order-7',
    revision: 0,
    position: '1',
    type: 'Seen',
    data: { total: 12 },
    recordedAt: expect.any(String),
    correlationId: 'c',
    causationId: 'r',
    actor: 'cleo',
  });
  expect(reader.lastId).toBe('1');
});

test('what nobody can read is left out', async () => {
  const reader = await listen();
  await append('order-7', { token: 'sealed', total: 12 });
  expect((await reader.next('fact')).data).toEqual({ total: 12 });
});

test('by default it begins now, at a position that it names', async () => {
  await append();
  const reader = await listen();
  expect(reader.lastId).toBe('1');
  await append();
  expect(await positions(reader, 1)).toEqual(['2']);
});

test.each([
  ['a position', '?after=1', {}],
  ['what was read last', '', { 'last-event-id': '1' }],
  ['what was read last, which counts more than a position', '?after=0', { 'last-event-id': '1' }],
])('after %s everything comes once, also what is appended meanwhile', async (_, query, headers) => {
  await Promise.all(Array.from({ length: 1_500 }, () => append()));
  const other = await listen();
  const reading = listen(query, headers);
  for (let i = 0; i < 50; i++) {
    await append();
    await new Promise(setImmediate);
  }
  const expected = Array.from({ length: 1_549 }, (_unused, i) => `${i + 2}`);
  expect(await positions(await reading, 1_549)).toEqual(expected);
  expect(await positions(other, 50)).toEqual(expected.slice(-50));
});

test('who has caught up before all are sent an event is not sent it again', async () => {
  await append();
  await listen();
  let release = () => {};
  store.held = new Promise((released) => (release = released));
  await append();
  const reader = await listen('?after=0');
  expect(await positions(reader, 2)).toEqual(['1', '2']);
  await expect.poll(() => store.following).toBe(1);
  release();
  await append();
  expect(await positions(reader, 1)).toEqual(['3']);
});

test('the log is followed once, however many listen, and not when nobody does', async () => {
  expect(store.following).toBe(0);
  const [one, two] = [await listen(), await listen()];
  await append();
  expect([await positions(one, 1), await positions(two, 1)]).toEqual([['1'], ['1']]);
  expect([store.following, store.followed]).toEqual([1, 1]);
  one.close();
  two.close();
  await expect.poll(() => store.following).toBe(0);
});

test('a read model that has reached a position is told, without another event', async () => {
  const reader = await listen();
  await reader.next('lag');
  await append();
  await ports.tables.commit({ projection: summary, from: 0n, to: 1n, upserts: [], deletes: [] });
  expect(await reader.next('shown')).toEqual({
    service: 'order',
    readModel: 'summary',
    position: '1',
    at: expect.any(String),
  });
});

test('what is behind is told', async () => {
  await append();
  await append();
  await ports.checkpoints.save('order', 1n);
  await ports.tables.commit({ projection: summary, from: 0n, to: 2n, upserts: [], deletes: [] });
  const reader = await listen();
  expect(await reader.next('lag')).toEqual({
    service: 'order',
    at: expect.any(String),
    head: '2',
    readModels: { summary: '2' },
    relay: '1',
    unread: 0,
    deadLetters: 0,
  });
});

test('when the store is away, those who listen are sent off, and nobody is let in until it is back', async () => {
  const reader = await listen();
  store.failure = new Error('The store is away.');
  await append();
  await expect.poll(() => reader.hasEnded).toBe(true);
  await expect(listen()).rejects.toThrow(/^500/);
  store.failure = undefined;
  expect(await positions(await listen('', { 'last-event-id': '0' }), 1)).toEqual(['1']);
});

test('a stop ends it cleanly, and lets nobody in', async () => {
  const reader = await listen();
  background.beforeApplicationShutdown();
  await expect.poll(() => reader.hasEnded).toBe(true);
  await expect.poll(() => store.following).toBe(0);
  await expect(listen()).rejects.toThrow(/^503 .*The service stops/);
});

test('who does not read is cut off', async () => {
  const stop = new AbortController();
  const slow = await requestEvents(await url(), {}, stop.signal);
  await expect.poll(() => store.following).toBe(1);
  const data = { text: 'x'.repeat(100_000) };
  // More than the sockets of both sides hold, and then what may wait.
  for (let i = 0; i < 300 && store.following > 0; i++) {
    await append(undefined, data);
    await sleep(1);
  }
  await expect.poll(() => store.following).toBe(0);
  slow.destroy();
});

test.each([
  ['?after=x', {}, '422 .*invalid-request'],
  ['?after=-1', {}, '422 .*invalid-request'],
  ['?after=9223372036854775808', {}, '422 .*invalid-request'],
  ['?after=1', {}, '400 .*unknown-position'],
  ['', { 'last-event-id': 'order:1' }, '400 .*invalid-position'],
  ['', { 'last-event-id': '9'.repeat(30) }, '400 .*invalid-position'],
  ['?since=1', {}, '422 .*invalid-request'],
])('%s with %j is refused', async (query, headers, refusal) => {
  await expect(listen(query, headers as Record<string, string>)).rejects.toThrow(new RegExp(`^${refusal}`));
});

test('more than may listen are refused, and a HEAD is answered without a stream', async () => {
  await Promise.all([listen(), listen(), listen()]);
  await expect(listen()).rejects.toThrow(/^503/);
  opened.shift()!.close();
  await expect.poll(async () => (await fetch(await url(), { method: 'HEAD' })).status).toBe(200);
});
