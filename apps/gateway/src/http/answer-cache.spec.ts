/** Reads through the cache, of a service that counts how often it is asked. */
import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { extendDeadline } from '#nest';
import { ManualClock } from '#runtime/testing';
import type { AccessTable, Role } from '#service';
import { openApp } from '#test/app';
import { gatewayAccess, keptRoutes, serviceRoutes } from '../definition.js';
import { cacheAnswers } from './answer-cache.js';

const CACHE_TIME_MS = 1_000;
const ACCESS: AccessTable = Object.fromEntries(
  ['GET /orders', 'GET /orders/:orderId', 'GET /orders/:orderId/history', 'GET /prices', 'GET /stock'].map((each) => [
    each,
    gatewayAccess[each]!,
  ]),
);

@Module({})
class TestModule {}

/** Whoever says so: `Ada customer`. */
const tokens = {
  known: () => undefined,
  identify: async (header = '') => {
    const [subject, ...roles] = header.split(' ');
    return { subject: subject!, roles: roles as Role[] };
  },
};

interface Answer {
  readonly position?: string;
  readonly proves?: string;
  readonly status?: number;
  readonly type?: string;
  readonly body?: string;
  /** Of the body, when it is said to be longer than it is. */
  readonly length?: number;
}

let clock: ManualClock;
let gateway: NestFastifyApplication;
/** The paths that the service was asked for, what it answers, and what has to happen before it does. */
let asked: string[];
let answer: Answer;
let gate: Promise<void>;
/** How many requests have reached the cache. */
let waiting: number;

async function open(cacheTimeMs = CACHE_TIME_MS): Promise<void> {
  gateway = await openApp({
    module: TestModule,
    clock,
    requestTimeoutMs: 1_000,
    access: ACCESS,
    tokens,
    routes: (http) => {
      http.addHook('preHandler', async () => void waiting++);
      cacheAnswers(http, { clock, cacheTimeMs });
      for (const operation of Object.keys(ACCESS)) {
        http.get(operation.split(' ')[1]!, async (request, reply) => {
          extendDeadline(request, 1_000);
          const {
            position,
            proves,
            status = 200,
            type = 'application/json; charset=utf-8',
            body = '{"a":1}',
            length,
          } = answer;
          asked.push(request.url);
          await gate;
          if (position !== undefined) reply.header('larder-position', position);
          if (proves !== undefined) reply.header('larder-proves', proves);
          const cutOff = new Readable({ read: () => {} });
          if (length !== undefined) setImmediate(() => cutOff.destroy(new Error('cut off')));
          const sent = length === undefined ? Readable.from([body]) : cutOff;
          return reply
            .status(status)
            .headers({ 'content-type': type, 'content-length': length ?? body.length })
            .send(sent);
        });
      }
    },
  });
}

beforeEach(async () => {
  [clock, asked, gate, waiting] = [new ManualClock(), [], Promise.resolve(), 0];
  answer = { position: 'order:12', proves: 'order:11' };
  await open();
});
afterEach(() => gateway.close());

interface Read {
  readonly as?: string;
  /** The Larder-Position that it sends. */
  readonly after?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

async function read(path: string, { as = 'Ada customer', after, headers = {}, signal }: Read = {}) {
  const sent = { authorization: as, ...(after !== undefined && { 'larder-position': after }), ...headers };
  const response = await fetch(`${await gateway.getUrl()}${path}`, { headers: sent, ...(signal && { signal }) });
  return { status: response.status, headers: Object.fromEntries(response.headers), text: await response.text() };
}

test('an answer stands for whoever asks for no more than it proves, for a second', async () => {
  const first = await read('/prices', { after: 'order:10' });
  await clock.advance(999);
  const second = await read('/prices', { after: 'order:11' });
  expect([first.headers, second.headers]).toMatchObject([
    { 'larder-cache': 'miss', 'larder-position': 'order:12', 'larder-proves': 'order:11' },
    { 'larder-cache': 'hit', 'larder-position': 'order:12', 'larder-proves': 'order:11', age: '0' },
  ]);
  expect(second.text).toBe(first.text);
  expect(second.headers['content-type']).toBe(first.headers['content-type']);
  await clock.advance(1);
  expect((await read('/prices', { after: 'order:11' })).headers['larder-cache']).toBe('miss');
});

test('its Larder-Position proves nothing: what arrived while the rows were read may not be in them', async () => {
  await read('/prices', { after: 'order:10' });
  expect((await read('/prices', { after: 'order:12' })).headers['larder-cache']).toBe('miss');
});

test('an answer to who sent no position stands for such reads alone', async () => {
  answer = { position: 'order:12' };
  const first = await read('/prices');
  expect(first.headers).not.toHaveProperty('larder-proves');
  expect((await read('/prices')).headers['larder-cache']).toBe('hit');
  expect((await read('/prices', { after: 'inventory:7' })).headers['larder-cache']).toBe('hit');
  expect((await read('/prices', { after: 'order:1' })).headers['larder-cache']).toBe('miss');
});

test('what a customer sees is kept for them alone, and what staff see for those with the same roles', async () => {
  for (const as of ['Ada customer', 'Bea customer', 'Cid clerk', 'Oz operator', 'Oz clerk operator']) {
    expect((await read('/orders', { as })).headers['larder-cache'], as).toBe('miss');
  }
  for (const as of ['Ada customer', 'Bea customer', 'Cleo clerk', 'Otto operator clerk']) {
    expect((await read('/orders', { as })).headers['larder-cache'], as).toBe('hit');
  }
  // Prices are the same for all customers.
  expect((await read('/prices', { as: 'Ada customer' })).headers['larder-cache']).toBe('miss');
  expect((await read('/prices', { as: 'Bea customer' })).headers['larder-cache']).toBe('hit');
});

test('who may not read it is refused before anybody looks whether it is kept', async () => {
  await read('/orders', { as: 'Ada customer clerk' });
  expect((await read('/orders', { as: 'Ada service' })).status).toBe(403);
});

test('parameters may come in any order, and another value is another answer', async () => {
  await read('/orders?status=placed&limit=2');
  expect((await read('/orders?limit=2&status=placed')).headers['larder-cache']).toBe('hit');
  expect((await read('/orders?limit=3&status=placed')).headers['larder-cache']).toBe('miss');
  expect((await read('/orders')).headers['larder-cache']).toBe('miss');
});

test.each<[what: string, answer: Answer]>([
  ['a refusal', { status: 404 }],
  ['what has no position', { position: undefined }],
  ['what is no JSON', { type: 'text/html' }],
  ['personal data', { body: '{"orderId":"1","recipient":{"name":"Ada"}}' }],
  ['what is long', { body: `"${'x'.repeat(300_000)}"` }],
])('%s is not kept', async (_what, other) => {
  answer = { ...answer, ...other };
  const first = await read('/orders/1');
  expect((await read('/orders/1')).headers['larder-cache']).not.toBe('hit');
  expect(first.text).toBe(answer.body ?? '{"a":1}');
  expect(asked).toHaveLength(2);
});

test.each([
  ['a history', '/orders/1/history', {}],
  ['a wait', '/orders/1', { prefer: 'wait=1' }],
  ['a position that is none, which the service refuses', '/orders/1', { 'larder-position': 'order:x' }],
  ['an empty position, which it refuses, too', '/orders/1', { 'larder-position': '' }],
  ['a position of no service', '/orders/1', { 'larder-position': 'shop:1' }],
])('%s always reaches the service', async (_what, path, headers) => {
  await read('/orders/1');
  await read(path, { headers });
  expect(asked).toHaveLength(2);
});

test('no route to personal data, to the past or for operators alone is kept', () => {
  for (const operation of keptRoutes.keys()) {
    expect(operation).toMatch(/^GET (?!\/customers|.*history|.*admin|.*simulator)/);
    expect(serviceRoutes.map(({ method, path }) => `${method} ${path}`)).toContain(operation);
  }
});

test('who has an answer already is told that it is the same, from the cache or not', async () => {
  const { etag } = (await read('/prices', { after: 'order:10' })).headers;
  expect(etag).toMatch(/^"[\w-]{22}"$/);
  const known = { 'if-none-match': `"other", W/${etag}` };
  const [hit, miss] = [
    await read('/prices', { after: 'order:10', headers: known }),
    await read('/prices', { after: 'order:12', headers: known }),
  ];
  expect([hit.status, hit.text, hit.headers['larder-cache']]).toEqual([304, '', 'hit']);
  expect([miss.status, miss.text, miss.headers['larder-cache']]).toEqual([304, '', 'miss']);
  expect(hit.headers).toMatchObject({ etag, 'larder-position': 'order:12', 'larder-proves': 'order:11' });
  answer = { ...answer, body: '{"a":2}' };
  const changed = await read('/prices', { after: 'order:12', headers: known });
  expect([changed.status, changed.text]).toEqual([200, '{"a":2}']);
  expect(changed.headers['etag']).not.toBe(etag);
});

/** Holds the service back until it is called. */
function holdBack(): () => void {
  let release!: () => void;
  gate = new Promise((resolve) => (release = resolve));
  return release;
}

test('of many who ask the same at once, one asks the service', async () => {
  const release = holdBack();
  const reads = Array.from({ length: 20 }, () => read('/prices', { after: 'order:10' }));
  await expect.poll(() => asked.length).toBe(1);
  const other = read('/prices', { after: 'order:11' }); // Asks for more than the one under way.
  await expect.poll(() => asked.length).toBe(2);
  release();
  const found = (await Promise.all(reads)).map(({ headers }) => headers['larder-cache']);
  expect(found.filter((each) => each === 'miss')).toHaveLength(1);
  expect(found.filter((each) => each === 'hit')).toHaveLength(19);
  expect((await other).headers['larder-cache']).toBe('miss');
  expect(asked).toHaveLength(2);
});

test('of what fails, everybody who waited asks for themself, and so does who comes later', async () => {
  const release = holdBack();
  answer = { ...answer, status: 503 };
  const reads = Array.from({ length: 3 }, () => read('/prices'));
  await expect.poll(() => asked.length).toBe(1);
  answer = { position: 'order:12' };
  release();
  expect((await Promise.all(reads)).map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 200, 503]);
  expect((await read('/prices')).status).toBe(200);
});

test('who waits for what another gets is not late before that one is, and then has as much time as they had', async () => {
  const release = holdBack();
  const first = read('/prices');
  await expect.poll(() => asked.length).toBe(1);
  const second = read('/prices');
  await expect.poll(() => waiting).toBe(2);
  await clock.advance(1_500); // Later than the second one may be by itself.
  await clock.advance(600);
  expect((await first).status).toBe(503);
  await expect.poll(() => asked.length).toBe(2);
  release();
  expect((await second).status).toBe(200);
});

test('nobody waits for a request whose caller has gone', async () => {
  const release = holdBack();
  const gone = new AbortController();
  const first = read('/prices', { signal: gone.signal }).catch(() => 'gone');
  await expect.poll(() => asked.length).toBe(1);
  const second = read('/prices');
  gone.abort();
  expect(await first).toBe('gone');
  await expect.poll(() => asked.length).toBe(2);
  release();
  expect((await second).status).toBe(200);
});

test('an answer that is cut off is 503, and is not kept', async () => {
  answer = { ...answer, length: 100 };
  expect(await read('/prices')).toMatchObject({ status: 503, headers: { 'retry-after': '1' } });
  answer = { position: 'order:12' };
  expect(await read('/prices')).toMatchObject({ status: 200, headers: { 'larder-cache': 'miss' } });
});

test('with a CACHE_TIME of 0s every read reaches the service', async () => {
  await gateway.close();
  await open(0);
  const release = holdBack();
  const reads = [read('/prices'), read('/prices')];
  await expect.poll(() => asked.length).toBe(2);
  release();
  await Promise.all(reads);
  expect((await read('/prices')).headers['larder-cache']).toBe('miss');
});
