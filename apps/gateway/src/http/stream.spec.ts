import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Background, Problem } from '#nest';
import { ManualClock, SeededRandom } from '#runtime/testing';
import { silentLog } from '#runtime';
import type { Role } from '#service';
import { openApp } from '#test/app';
import { EventReader, requestEvents } from '#test/event-reader';
import { LittleService } from '#test/little-service';
import { perService, type Service, services } from '../../../shop.js';
import type { Instance } from './instances.js';
import { Stream } from './stream.js';

@Module({})
class NoModule {}

/** A service's log, and how its instances tell it. */
class Feed {
  readonly facts: { position: number; text: string }[] = [];
  readonly open = new Set<ServerResponse>();
  /** What it was asked with, one after another. */
  readonly asked: (string | undefined)[] = [];
  refusal: { status: number; body: object } | undefined;
  isMute = false;

  constructor(
    private readonly service: Service,
    public head = 10,
  ) {}

  answer(response: ServerResponse, { headers }: IncomingMessage): void {
    const lastId = headers['last-event-id'] as string | undefined;
    this.asked.push(lastId);
    expect(headers.authorization).toBe('Bearer of the gateway');
    if (this.refusal) return void response.writeHead(this.refusal.status).end(JSON.stringify(this.refusal.body));
    const after = Number(lastId ?? this.head);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`event: begin\ndata: {}\nid: ${after}\n\n`);
    for (const { position, text } of this.facts) if (position > after) response.write(text);
    this.open.add(response);
    response.on('close', () => this.open.delete(response));
  }

  append(stream: string, data: object = {}, type = 'Seen'): void {
    const position = ++this.head;
    const { service } = this;
    const cause = { correlationId: 'c', causationId: 'd', actor: 'cleo', recordedAt: '2026-01-01T00:00:00.000Z' };
    const fact = { id: `${service}${position}`, service, stream, revision: 0, position: `${position}`, type, data };
    const text = `event: fact\ndata: ${JSON.stringify({ ...fact, ...cause })}\nid: ${position}\n\n`;
    this.facts.push({ position, text });
    if (!this.isMute) this.tell(text);
  }

  tell(text: string): void {
    for (const response of this.open) response.write(text);
  }

  /** Ends all connections, as an instance that is killed. */
  cut(): void {
    for (const response of this.open) response.destroy();
  }
}

const tokens = {
  known: () => undefined,
  identify: async (header: string | undefined) => {
    if (header === undefined || header === 'ended') throw new Problem(401, 'unauthenticated', 'Say who you are.');
    const [subject, ...roles] = header.split(' ');
    return { subject: subject!, roles: roles as Role[] };
  },
};
const clerk = { authorization: 'carla clerk' };
const ADA = '0a0a0a0a-0000-4000-8000-00000000000a';
const ada = { authorization: `${ADA} customer` };
const ben = { authorization: '0b0b0b0b-0000-4000-8000-00000000000b customer' };

const opened: EventReader[] = [];
let clock: ManualClock;
let ticking: Promise<void>;
let isOver: boolean;
let feeds: Readonly<Record<Service, Feed>>;
let instances: Readonly<Record<Service, LittleService[]>>;
/** Of each service, those that get requests. */
let inTurn: Record<Service, Instance[]>;
let turns: number;
let ownOrders: string[];
let background: Background;
let stream: Stream;
let app: NestFastifyApplication;

/** How much time has to pass at once, and whether the services say nothing meanwhile. */
let leap: { ms: number; isSilent: boolean } | undefined;

/** Time goes by, some ten times as fast as it does, and no faster than this process. */
async function tick(): Promise<void> {
  for (; !isOver; await sleep(1)) {
    if (leap && !leap.isSilent) for (const service of services) feeds[service].tell(':\n\n');
    if (leap && !leap.isSilent) await sleep(5);
    const ms = leap === undefined ? 10 : leap.isSilent ? leap.ms : 1_000;
    await clock.advance(ms);
    if (leap && (leap.ms -= ms) <= 0) leap = undefined;
  }
}

async function pass(ms: number, { isSilent = false } = {}): Promise<void> {
  leap = { ms, isSilent };
  while (leap) await sleep(1);
}

async function start(token: (() => Promise<string>) | null = async () => 'of the gateway'): Promise<void> {
  background = new Background(silentLog);
  const next = (service: Service) => inTurn[service][turns++ % inTurn[service].length];
  const parts = { clock, random: new SeededRandom(1), log: silentLog, instances: { next }, token: token ?? undefined };
  stream = new Stream({ ...parts, stopping: background.stopping });
  background.run((signal) => stream.run(signal));
  background.onClose(() => stream.close());
  app = await openApp({
    module: NoModule,
    access: { 'GET /stream': { customer: 'own', clerk: 'any' }, 'GET /orders': { customer: 'own' } },
    tokens,
    background,
    routes: (http) => {
      stream.serve(http);
      http.get('/orders', ({ caller }) => ({
        items: caller!.subject === ADA ? ownOrders.map((orderId) => ({ orderId })) : [],
      }));
    },
  });
}

beforeEach(async () => {
  clock = new ManualClock();
  [isOver, turns, ownOrders] = [false, 0, []];
  ticking = tick();
  feeds = perService((service) => new Feed(service));
  const entries = services.map(async (service) => {
    const little = [await LittleService.open(), await LittleService.open()];
    for (const each of little) each.answer = (response, request) => feeds[service].answer(response, request);
    return [service, little] as const;
  });
  instances = Object.fromEntries(await Promise.all(entries)) as typeof instances;
  inTurn = perService((service) =>
    instances[service].map(({ url }) => ({ service, url, host: service, state: 'ready' })),
  );
  await start();
});

afterEach(async () => {
  for (const reader of opened.splice(0)) reader.close();
  await app.close();
  isOver = true;
  await ticking;
  await Promise.all(services.flatMap((service) => instances[service].map((each) => each.close())));
});

const url = async (query = '') => `${await app.getUrl()}/stream${query}`;

async function listen(headers: Record<string, string> = clerk, query = ''): Promise<EventReader> {
  const reader = await EventReader.open(await url(query), headers);
  opened.push(reader);
  await reader.next('begin');
  return reader;
}

const idsOf = async (reader: EventReader, count: number) => {
  const found: string[] = [];
  while (found.length < count) found.push((await reader.next('fact')).id as string);
  return found;
};

test('facts of all services come in one stream, each with the id to go on from', async () => {
  const reader = await listen();
  expect(reader.lastId).toBe('inventory:10,order:10,payment:10');
  feeds.order.append('order-1');
  expect(await reader.next('fact')).toMatchObject({ id: 'order11', service: 'order', actor: 'cleo', position: '11' });
  expect(reader.lastId).toBe('inventory:10,order:11,payment:10');
  feeds.payment.append('payment-1');
  expect(await idsOf(reader, 1)).toEqual(['payment11']);
  expect(reader.lastId).toBe('inventory:10,order:11,payment:11');
});

test('what read models show, and what is behind, is passed on', async () => {
  const reader = await listen();
  feeds.order.tell('event: shown\ndata: {"readModel":"summary"}\n\nevent: lag\ndata: {"head":"10"}\n\n');
  expect(await reader.next('shown')).toEqual({ readModel: 'summary' });
  expect(await reader.next('lag')).toEqual({ head: '10' });
});

test('a page that hears nothing for longer than five seconds knows that the gateway is away', async () => {
  const reader = await listen();
  await pass(5_000);
  expect(await reader.next('beat')).toEqual({});
});

test('each service is followed once, however many listen, and not when nobody has for a minute', async () => {
  expect(services.map((service) => feeds[service].asked.length)).toEqual([0, 0, 0]);
  const readers = await Promise.all(Array.from({ length: 10 }, () => listen()));
  expect(services.map((service) => feeds[service].asked.length)).toEqual([1, 1, 1]);
  for (const reader of readers) reader.close();
  await pass(50_000);
  await listen().then((reader) => reader.close());
  await pass(50_000);
  expect(feeds.order.asked).toHaveLength(1);
  await pass(15_000);
  await expect.poll(() => feeds.order.open.size).toBe(0);
  await listen();
  expect(feeds.order.asked).toEqual([undefined, undefined]);
});

test.each(['header', 'query'])(
  'who comes back with the last id, in the %s, gets what they lack, once',
  async (where) => {
    const reader = await listen();
    feeds.order.append('order-1');
    feeds.payment.append('payment-1');
    expect(await idsOf(reader, 2)).toEqual(expect.arrayContaining(['order11', 'payment11']));
    const id = 'inventory:10,order:11,payment:10'; // As if the connection had broken between both.
    reader.close();
    feeds.order.append('order-1');
    feeds.inventory.append('stock-1');
    const back = await (where === 'header' ? listen({ ...clerk, 'last-event-id': id }) : listen(clerk, `?after=${id}`));
    feeds.order.append('order-1');
    expect((await idsOf(back, 4)).sort()).toEqual(['inventory11', 'order12', 'order13', 'payment11']);
  },
);

test('who was at another gateway, which had the facts in another order, lacks none', async () => {
  const other = await listen();
  feeds.inventory.append('stock-1');
  feeds.order.append('order-1');
  await idsOf(other, 2);
  feeds.order.append('order-1');
  await idsOf(other, 1);
  const back = await listen({ ...clerk, 'last-event-id': 'inventory:10,order:12,payment:10' });
  expect(await idsOf(back, 1)).toEqual(['inventory11']);
});

test('who is a moment ahead of this gateway is waited for, and gets nothing twice', async () => {
  await listen();
  const coming = listen({ ...clerk, 'last-event-id': 'inventory:10,order:11,payment:10' });
  await sleep(5);
  feeds.order.append('order-1');
  const back = await coming;
  feeds.order.append('order-1');
  expect(await idsOf(back, 1)).toEqual(['order12']);
});

test.each([
  ['too old', 'inventory:10,order:3,payment:10'],
  ['of another shop', 'inventory:10,order:999,payment:10'],
  ['without a service that is known', 'order:10'],
])('who comes with an id that is %s is told to read anew, and goes on from now', async (_, id) => {
  feeds.order.append('order-1');
  const reader = await listen({ ...clerk, 'last-event-id': id });
  await reader.next('resync');
  expect(reader.lastId).toBe('inventory:10,order:11,payment:10');
  feeds.order.append('order-1');
  expect(await idsOf(reader, 1)).toEqual(['order12']);
});

test.each(['x', 'order', 'order:-1', 'order:1;payment:2', 'stock:1', '../../x', 'order:1,'.repeat(200)])(
  'the id %s is refused',
  async (id) => {
    await expect(listen({ ...clerk, 'last-event-id': id })).rejects.toThrow(/^400 .*invalid-position/);
  },
);

test('a service that goes away is said to be, and goes on where it was when it is back', async () => {
  const reader = await listen();
  expect(await reader.next('away')).toEqual({ services: [] });
  const [there] = [inTurn.order];
  inTurn.order = [];
  feeds.order.cut();
  expect(await reader.next('away')).toEqual({ services: ['order'] });
  feeds.order.append('order-1');
  feeds.payment.append('payment-1');
  expect(await idsOf(reader, 1)).toEqual(['payment11']);
  const late = await listen();
  expect(await late.next('away')).toEqual({ services: ['order'] });
  inTurn.order = there;
  expect(await reader.next('away')).toEqual({ services: [] });
  expect(await idsOf(reader, 1)).toEqual(['order11']);
  expect(feeds.order.asked).toEqual([undefined, '10']);
});

test('an instance that is killed is replaced by another, unnoticed', async () => {
  const reader = await listen();
  feeds.order.append('order-1');
  expect(await idsOf(reader, 1)).toEqual(['order11']);
  await instances.order.find((each) => each.seen.length > 0)!.close();
  feeds.order.append('order-1');
  expect(await idsOf(reader, 1)).toEqual(['order12']);
  expect(feeds.order.asked).toEqual([undefined, '11']);
});

test('an instance that is silent for five seconds is left for another', async () => {
  const reader = await listen();
  feeds.order.isMute = true;
  feeds.order.append('order-1');
  await pass(5_000, { isSilent: true });
  expect(await idsOf(reader, 1)).toEqual(['order11']);
  expect(feeds.order.asked.slice(0, 2)).toEqual([undefined, '10']);
});

test('what a service tells a second time is not passed on', async () => {
  const reader = await listen();
  feeds.order.append('order-1');
  feeds.order.tell(feeds.order.facts[0]!.text);
  feeds.order.append('order-1');
  expect(await idsOf(reader, 2)).toEqual(['order11', 'order12']);
});

test('a service that was away from the beginning is told from when it comes, and all read anew', async () => {
  const [there] = [inTurn.order];
  inTurn.order = [];
  const reader = await listen();
  expect(reader.lastId).toBe('inventory:10,payment:10');
  feeds.order.append('order-1');
  inTurn.order = there;
  await reader.next('resync');
  feeds.order.append('order-1');
  expect(await idsOf(reader, 1)).toEqual(['order12']);
});

test('a log that was set back is followed from now, and all read anew', async () => {
  const reader = await listen();
  feeds.order.append('order-1');
  await idsOf(reader, 1);
  feeds.order.refusal = { status: 400, body: { code: 'unknown-position' } };
  feeds.order.cut();
  await expect.poll(() => feeds.order.asked.length).toBeGreaterThan(1);
  [feeds.order.refusal, feeds.order.head] = [undefined, 5];
  feeds.order.facts.splice(0);
  await reader.next('resync');
  feeds.order.append('order-1');
  expect(await idsOf(reader, 1)).toEqual(['order6']);
  expect(reader.lastId).toBe('inventory:10,order:6,payment:10');
});

test('a customer is told the facts of their own orders, as the order shows them, and nothing besides', async () => {
  const reader = await listen(ada);
  feeds.order.append('order-1', { customerId: ADA }, 'OrderPlaced');
  feeds.order.append('order-2', { customerId: 'somebody' }, 'OrderPlaced');
  feeds.order.append('customer-1', { customerId: ADA });
  feeds.payment.append('payment-1');
  feeds.order.tell('event: lag\ndata: {}\n\n');
  feeds.order.append('order-1');
  expect([await reader.next('fact'), await reader.next('fact')]).toEqual([
    {
      id: 'order-1/0',
      service: 'order',
      stream: 'order-1',
      revision: 0,
      type: 'OrderPlaced',
      data: { customerId: ADA },
      recordedAt: expect.any(String),
    },
    expect.objectContaining({ stream: 'order-1', type: 'Seen' }),
  ]);
  expect(reader.events).toEqual([]);
});

test('a customer is told of orders that were placed before, and of none of others', async () => {
  ownOrders = ['7'];
  const [own, other] = [await listen(ada), await listen(ben)];
  feeds.order.append('order-7');
  expect(await own.next('fact')).toMatchObject({ stream: 'order-7' });
  feeds.order.append('order-8', { customerId: '0b0b0b0b-0000-4000-8000-00000000000b' }, 'OrderPlaced');
  expect(await other.next('fact')).toMatchObject({ stream: 'order-8' });
});

test('a customer who comes back is told what they lack of an order that was placed meanwhile', async () => {
  const reader = await listen(ada);
  const id = reader.lastId!;
  reader.close();
  const clerks = await listen();
  feeds.order.append('order-1', { customerId: ADA }, 'OrderPlaced');
  await idsOf(clerks, 1);
  feeds.order.append('order-1');
  await idsOf(clerks, 1);
  const back = await listen({ ...ada, 'last-event-id': id.replace('order:10', 'order:11') });
  expect(await back.next('fact')).toMatchObject({ stream: 'order-1', type: 'Seen' });
});

test('who does not read costs no memory of their own, and is cut off when what they lack is forgotten', async () => {
  const reader = await listen();
  const stop = new AbortController();
  const slow = await requestEvents(await url(), clerk, stop.signal);
  slow.on('error', () => {});
  const data = { text: 'x'.repeat(100_000) };
  // More than the sockets of both sides hold, and then what is kept.
  for (let i = 0; i < 30; i++) {
    for (let j = 0; j < 10; j++) feeds.order.append('order-1', data);
    await idsOf(reader, 10);
  }
  const closed = new Promise((resolve) => slow.once('close', resolve));
  slow.resume();
  await closed;
  expect(slow.complete).toBe(false);
});

test('a stop ends it cleanly, and the services are left', async () => {
  const reader = await listen();
  background.beforeApplicationShutdown();
  await expect.poll(() => reader.hasEnded).toBe(true);
  await expect(listen()).rejects.toThrow(/^503/);
  await app.close();
  await expect.poll(() => services.map((service) => feeds[service].open.size)).toEqual([0, 0, 0]);
});

test('a token that has ended reads no more when its stream is over', async () => {
  const reader = await listen();
  await pass(10.5 * 60_000, { isSilent: true });
  await expect.poll(() => reader.hasEnded).toBe(true);
  await expect(listen({ authorization: 'ended', 'last-event-id': reader.lastId! })).rejects.toThrow(/^401/);
});

test('nobody has more than 20 at once', async () => {
  for (let i = 0; i < 20; i++) await listen();
  await expect(listen()).rejects.toThrow(/^503 .*busy/);
  await listen(ada);
});

test('without a name at the provider it says what to set', async () => {
  await app.close();
  await start(null);
  await expect(listen()).rejects.toThrow(/^503 .*Set GATEWAY_CLIENT_ID and GATEWAY_CLIENT_SECRET/);
});
