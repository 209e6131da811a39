/** What passes between a client and a service, and what the gateway refuses or breaks off. */
import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Agent } from 'undici';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { openApp } from '#test/app';
import { json, LittleService } from '#test/little-service';
import { silentLog, SystemClock } from '#runtime';
import type { Role } from '#service';
import { Problem } from '#nest';
import { gatewayAccess, type GatewayConfig, serviceRoutes } from '../definition.js';
import { Calls, openConnections } from './calls.js';
import { forwardRoutes } from './forward.js';
import { Instances } from './instances.js';

@Module({})
class NoModule {}

const clock = new SystemClock();
/** Whoever says so in the header: `Ada customer clerk`. */
const tokens = {
  known: () => undefined,
  identify: async (header: string | undefined) => {
    if (header === undefined) throw new Problem(401, 'unauthenticated', 'Say who you are.');
    const [subject, ...roles] = header.split(' ');
    return { subject: subject!, roles: roles as Role[] };
  },
};
const clerk = { authorization: 'Carl clerk operator' };

let order: LittleService;
let payment: LittleService;
let agent: Agent;
let instances: Instances;
let logged: string[] = [];
let app: NestFastifyApplication;
let url: string;

beforeAll(async () => {
  [order, payment] = await Promise.all([LittleService.open(), LittleService.open()]);
  agent = openConnections({ silentMs: 100 });
  const urls = { order: [order.url], inventory: [], payment: [payment.url] };
  instances = new Instances(urls, { clock, log: silentLog, agent });
  const calls = new Calls(instances, { clock, log: silentLog, agent, count: () => {} });
  const config = { REQUEST_TIMEOUT: 500, READ_TIMEOUT: 500 } as GatewayConfig;
  app = await openApp({
    module: NoModule,
    access: Object.fromEntries(
      serviceRoutes.map(({ method, path }) => [`${method} ${path}`, gatewayAccess[`${method} ${path}`]!]),
    ),
    tokens,
    log: pino({ level: 'info' }, { write: (line: string) => void logged.push(line) }),
    requestTimeoutMs: 500,
    routes: (http) => forwardRoutes(http, { calls, config }),
  });
  url = await app.getUrl();
});
beforeEach(async () => {
  for (const little of [order, payment]) Object.assign(little, { seen: [], answer: json });
  logged = [];
  await instances.look();
});
afterAll(async () => {
  await app.close();
  await agent.destroy();
  await Promise.all([order.close(), payment.close()]);
});

const ask = (path: string, headers: Readonly<Record<string, string>> = {}, init: RequestInit = {}) =>
  fetch(`${url}${path}`, { ...init, headers: { ...clerk, ...headers } });

/** Writes to a connection of its own, which stays open. */
function open(...lines: string[]): Socket {
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  return socket;
}

/** All that a connection is answered with until it ends. */
const told = (...lines: string[]) => text(open(...lines));

const authorization = `Authorization: ${clerk.authorization}`;

describe('what passes', () => {
  test('method, path, query, body and headers, to the service whose route it is', async () => {
    const body = '{ "lines": [ ] }';
    const headers = {
      'content-type': 'application/json',
      'idempotency-key': 'k',
      'x-correlation-id': 'c',
      prefer: 'wait=0',
    };
    const answer = await ask('/orders?a=%20b', headers, { method: 'POST', body });
    expect(await answer.json()).toEqual({ is: 'whole' });
    expect(order.seen).toMatchObject([
      { method: 'POST', url: '/orders?a=%20b', body, headers: { ...headers, ...clerk } },
    ]);
    await ask('/payments/7');
    expect(payment.seen).toMatchObject([{ method: 'GET', url: '/payments/7' }]);
  });

  test('what staff read, of which the log of the service tells, and that of the gateway does not again', async () => {
    await ask('/orders');
    await ask('/payments/7');
    expect(logged).toEqual([]);
  });

  test("a service's routes for operators, without its name", async () => {
    await ask('/payment/admin/attention?limit=1');
    expect(payment.seen).toMatchObject([{ url: '/admin/attention?limit=1' }]);
    await ask('/order/admin/attention');
    expect(order.seen).toMatchObject([{ url: '/admin/attention' }]);
  });

  test('status and headers of the answer, errors too, and a HEAD', async () => {
    order.answer = (response) =>
      response
        .writeHead(422, { 'content-type': 'application/problem+json', 'larder-position': 'order:7' })
        .end('{"code":"x"}');
    const answer = await ask('/orders');
    expect([answer.status, await answer.json()]).toEqual([422, { code: 'x' }]);
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    expect(answer.headers.get('larder-position')).toBe('order:7');
    order.answer = (response) => response.writeHead(200, { 'content-length': 15 }).end();
    const head = await ask('/orders', {}, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '15']);
    expect(order.seen.at(-1)!.method).toBe('HEAD');
  });

  test("a limit that a service has reached, and of the gateway's limits otherwise", async () => {
    const limit = { ratelimit: '"caller";r=9999;t=9' };
    order.answer = (response) => response.writeHead(200, limit).end('{}');
    expect((await ask('/orders')).headers.get('ratelimit')).toMatch(/^"caller";r=99\d{3};/);
    order.answer = (response) => response.writeHead(429, { ...limit, 'retry-after': '9' }).end('{}');
    const { status, headers } = await ask('/orders');
    expect([status, headers.get('ratelimit'), headers.get('retry-after')]).toEqual([429, limit.ratelimit, '9']);
  });

  test('an answer without a body', async () => {
    order.answer = (response) => response.writeHead(204).end();
    expect((await ask('/prices/honey', {}, { method: 'DELETE' })).status).toBe(204);
  });

  test('who calls as the gateway knows it, and not as the client says', async () => {
    const said = {
      forwarded: 'for=10.9.9.9;host=evil.example',
      'x-forwarded-for': '10.9.9.9',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-proto': 'https',
      'x-real-ip': '10.9.9.9',
      via: '1.1 evil',
    };
    await ask('/orders', said);
    const [{ headers }] = order.seen as [LittleService['seen'][0]];
    expect(headers).toMatchObject({ 'x-forwarded-for': '127.0.0.1', host: new URL(order.url).host });
    for (const name of Object.keys(said)) expect([name, headers[name]]).not.toEqual([name, said[name as 'via']]);
  });

  test("no cookie of the client's, and none of a service's", async () => {
    order.answer = (response) => response.setHeader('set-cookie', 'a=b').end('{}');
    const answer = await ask('/orders', { cookie: 'larder-session=secret' });
    expect(order.seen[0]!.headers).not.toHaveProperty('cookie');
    expect(answer.headers.get('set-cookie')).toBeNull();
  });

  test('no header of one connection, in either direction', async () => {
    order.answer = (response) =>
      response.writeHead(200, { connection: 'close, x-inside', 'x-inside': '1', 'keep-alive': 'timeout=99' }).end('{}');
    const answer = await told(
      'GET /orders HTTP/1.1',
      'Host: localhost',
      authorization,
      'Connection: close, TE',
      'TE: trailers',
      'Proxy-Authorization: Basic x',
      'Upgrade: h2c',
      'Keep-Alive: 5',
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 /);
    expect(answer).not.toMatch(/x-inside|timeout=99/i);
    const [{ headers }] = order.seen as [LittleService['seen'][0]];
    for (const name of ['te', 'proxy-authorization', 'upgrade', 'keep-alive']) expect(headers).not.toHaveProperty(name);
  });

  test('a body that is announced with Expect, and one in chunks, as bytes of a known length', async () => {
    const head = ['POST /orders HTTP/1.1', 'Host: localhost', authorization, 'Connection: close'];
    const expected = open(...head, 'Expect: 100-continue', 'Content-Length: 2');
    setImmediate(() => expected.write('{}'));
    expect(await text(expected)).toContain(' 200 OK');
    expect(await told(...head, 'Transfer-Encoding: chunked', '', '2\r\n{}\r\n0')).toContain(' 200 OK');
    for (const { headers, body } of order.seen) {
      expect([headers['content-length'], headers['transfer-encoding'], headers.expect, body]).toEqual([
        '2',
        undefined,
        undefined,
        '{}',
      ]);
    }
    expect(order.seen).toHaveLength(2);
  });
});

describe('refused is', () => {
  const refused = async (target: string, ...headers: string[]) => {
    const answer = await told(
      `GET ${target} HTTP/1.1`,
      'Host: localhost',
      authorization,
      'Connection: close',
      ...headers,
    );
    expect([...order.seen, ...payment.seen]).toEqual([]);
    return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)![1]);
  };

  test.each([
    ['dots', '/orders/..', 400],
    ['dots in the middle', '/orders/../history', 400],
    ['one dot', '/orders/.', 400],
    ['encoded dots', '/orders/%2e%2e', 400],
    ['half-encoded dots', '/orders/.%2E/history', 400],
    ['an encoded slash', '/orders/..%2fadmin%2Fattention', 400],
    ['an encoded backslash', '/orders/..%5cadmin', 400],
    ['a backslash', '/orders/..\\admin', 400],
    ['an encoded NUL', '/orders/a%00', 400],
    ['a fragment', '/orders#/../admin', 400],
    ['a service name that is written otherwise', '/%70ayment/admin/attention', 400],
    ['two slashes', '//orders', 404],
    ['a path that is no UTF-8', '/orders/%ff', 400],
    ['the way to a route that the gateway has not', '/order/metrics', 404],
    ['the metrics of a service through dots', '/orders/../metrics', 404],
    ['another host in the target', 'http://evil.example/orders', 421],
  ])('%s: %s', async (_what, target, status) => {
    expect(await refused(target)).toBe(status);
  });

  test('nothing in a path that only looks like it', async () => {
    expect((await ask('/orders/a..b%2e%252f')).status).toBe(200);
    expect(order.seen).toMatchObject([{ url: '/orders/a..b%2e%252f' }]);
    expect(
      await told('GET http://localhost/orders HTTP/1.1', 'Host: localhost', authorization, 'Connection: close'),
    ).toContain(' 200 OK');
    expect(order.seen.at(-1)).toMatchObject({ url: '/orders' });
  });

  test.each(['larder-position', 'authorization', 'x-forwarded-for', 'close, idempotency-key'])(
    'a Connection that names what is for the service: %s',
    async (named) => expect(await refused('/orders', `Connection: ${named}`)).toBe(400),
  );

  test.each([
    ['two lengths', ['Content-Length: 2', 'Content-Length: 30']],
    ['a length and chunks', ['Content-Length: 2', 'Transfer-Encoding: chunked']],
    ['chunks by another name', ['Transfer-Encoding: xchunked']],
    ['chunks twice', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity']],
    ['a length with a sign', ['Content-Length: +2']],
    ['a header that is folded', ['X-A: b', ' Content-Length: 2']],
  ])('a request whose end is not certain: %s', async (_what, headers) => {
    const head = ['POST /orders HTTP/1.1', 'Host: localhost', authorization, ...headers];
    const smuggled = '0\r\n\r\nGET /payments/7 HTTP/1.1\r\nHost: localhost\r\n';
    expect(await told(...head, '', `${smuggled}${authorization}`)).toMatch(/^HTTP\/1\.1 400 (?!.*HTTP\/1\.1 200)/s);
    expect([...order.seen, ...payment.seen]).toEqual([]);
  });

  test.each([
    ['by its length, while it is sent', ['Content-Length: 200000'], 'half'],
    ['in chunks, while it is sent', ['Transfer-Encoding: chunked'], `1ffff\r\n${'x'.repeat(0x1ffff)}\r\n`],
  ])('a body that is too large, %s', async (_how, headers, sent) => {
    const socket = open('POST /orders HTTP/1.1', 'Host: localhost', authorization, ...headers);
    socket.on('error', () => {}); // It may be ended while we write.
    socket.write(sent);
    const [first] = await new Promise<[Buffer]>((heard) => socket.once('data', (...data: [Buffer]) => heard(data)));
    expect(`${first}`).toMatch(/^HTTP\/1\.1 413 [^]*"code":"body-too-large"/);
    socket.destroy();
    expect(order.seen).toEqual([]);
  });

  test('whoever may not, before a service hears of it', async () => {
    expect((await fetch(`${url}/orders`)).status).toBe(401);
    expect((await ask('/prices/honey', { authorization: 'Ada customer' }, { method: 'PUT' })).status).toBe(403);
    expect(order.seen).toEqual([]);
  });
});

describe('a client that goes away', () => {
  test('while the answer is awaited: the call is ended at the service', async () => {
    const ended = new Promise<void>((done) => (order.answer = (response) => void response.on('close', done)));
    const gone = new AbortController();
    const asked = expect(ask('/orders', {}, { signal: gone.signal })).rejects.toThrow();
    await expect.poll(() => order.seen.length).toBe(1);
    gone.abort();
    await Promise.all([asked, ended]);
    expect(logged).toEqual([]);
  });

  test('while it sends its body: the service hears nothing', async () => {
    const socket = open('POST /orders HTTP/1.1', 'Host: localhost', authorization, 'Content-Length: 100');
    await new Promise((written) => socket.write('half', written));
    socket.destroy();
    expect((await ask('/orders')).status).toBe(200);
    expect(order.seen.map(({ method }) => method)).toEqual(['GET']);
  });

  test('while it reads: the answer is ended at the service', async () => {
    const ended = new Promise<void>((done) => {
      order.answer = (response) =>
        void response.on('close', done).setHeader('content-length', 10_000_000).write('half');
    });
    const socket = open('GET /orders HTTP/1.1', 'Host: localhost', authorization);
    await new Promise((heard) => socket.once('data', heard));
    socket.destroy();
    await ended;
  });
});

describe('a service that', () => {
  const endsBroken = (head: Record<string, string>, end: 'dies' | 'falls silent') => async () => {
    order.answer = (response) => {
      response.writeHead(200, { 'content-type': 'application/json', ...head });
      response.write('{"is":"ha', () => end === 'dies' && response.destroy());
    };
    const answer = await told('GET /orders HTTP/1.1', 'Host: localhost', authorization, 'Connection: close');
    // Shorter than it was said to be, or without the last chunk; and nothing after it.
    expect(answer).toMatch(/^HTTP\/1\.1 200 [^]*"ha(\r\n)?$/);
    expect(answer).not.toContain('0\r\n\r\n');
    expect(order.seen).toHaveLength(1);
  };

  test(
    'dies in the middle of a long answer: the client sees that it is cut',
    endsBroken({ 'content-length': '99999' }, 'dies'),
  );
  test('dies in the middle of an answer in chunks: the client sees that it is cut', endsBroken({}, 'dies'));
  test(
    'falls silent in the middle of a long answer: the client sees that it is cut',
    endsBroken({ 'content-length': '99999' }, 'falls silent'),
    20_000, // After a minute the connection to the client would end by itself.
  );

  test('dies in the middle of a short answer: 503, and nothing of it', async () => {
    order.answer = (response) => {
      response.setHeader('content-length', 99).write('{"is":"ha', () => response.destroy());
    };
    const answer = await ask('/orders');
    expect([answer.status, await answer.json()]).toMatchObject([503, { code: 'unavailable', service: 'order' }]);
  });

  test('does not begin to answer: 503 that names it', async () => {
    order.answer = () => {};
    const answer = await ask('/orders', {}, { method: 'POST' });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', service: 'order', instance: '/orders' });
  });

  test('is away: 503 that names it, and the others answer', async () => {
    await order.close();
    const answer = await ask('/orders');
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await answer.json()).toMatchObject({ code: 'unavailable', service: 'order' });
    expect((await ask('/payments/7')).status).toBe(200);
    expect((await ask('/stock')).status).toBe(503);
    await order.reopen();
  });
});
