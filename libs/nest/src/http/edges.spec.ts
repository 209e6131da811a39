/** What a request may get wrong before a controller sees it, and what every answer has whatever becomes of it. */
import { Body, Controller, Get, Module, Param, Post, Put, Query } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { once } from 'node:events';
import { METHODS } from 'node:http';
import { connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { gzipSync } from 'node:zlib';
import { pino } from 'pino';
import request from 'supertest';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { ServerUnavailable, SystemClock } from '#runtime';
import { openApp } from '#test/app';
import { Answer, WriteHead } from './answer.js';
import type { HttpParts } from './create-app.js';
import { inDigits } from './page.js';
import { answers, route } from './route.js';

const thing = z.strictObject({ name: z.string() });
const page = z.object({ limit: inDigits(z.int()).prefault(20) });

@Controller()
class TestController {
  @Get('things')
  list(@Query({ schema: page }) { limit }: z.infer<typeof page>) {
    return { limit };
  }

  @Post('things')
  create(@Body({ schema: thing }) { name }: z.infer<typeof thing>) {
    return { name };
  }

  @Get('things/:id')
  show(@Param('id') id: string) {
    return { id };
  }

  @Put('things/:id')
  replace(@Param('id') id: string, @Body({ schema: thing }) { name }: z.infer<typeof thing>) {
    return { id, name };
  }

  @Post('things/:id/cancel')
  @route('Cancels', answers(202, 'Cancelled', z.object({})))
  cancel(@Param('id') id: string) {
    return new Answer({ id }, { position: 12n });
  }

  @Post('fails')
  fail(@WriteHead() writeHead: WriteHead) {
    writeHead({ position: 12n, location: '/things/7' });
    throw new ServerUnavailable('The server does not answer.');
  }

  @Post('hangs')
  async hang(@WriteHead() writeHead: WriteHead) {
    writeHead({ position: 12n, location: '/things/7' });
    await new Promise(() => {});
  }
}

@Module({ controllers: [TestController] })
class TestModule {}

const ACCESS = {
  'GET /things': 'anyone',
  'POST /things': 'anyone',
  'GET /things/:id': 'anyone',
  'PUT /things/:id': 'anyone',
  'POST /things/:id/cancel': 'anyone',
  'POST /fails': 'anyone',
  'POST /hangs': 'anyone',
} as const;

let app: NestFastifyApplication;
let port: number;
let lines: Record<string, any>[];

async function start(changes: Partial<HttpParts> = {}, rawBody = false) {
  await app?.close();
  lines = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  app = await openApp({ module: TestModule, access: ACCESS, rawBody, log, ...changes });
  ({ port } = app.getHttpServer().address() as { port: number });
}

beforeEach(() => start());
afterEach(() => app.close());

const http = () => request(app.getHttpServer());

function open(...written: string[]): Socket {
  const socket = connect(port, '127.0.0.1');
  written.forEach((each) => socket.write(each));
  return socket;
}

interface RawAnswer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: any;
}

/** All that a connection is answered with until it ends. */
async function answersOf(socket: Socket): Promise<RawAnswer[]> {
  const found: RawAnswer[] = [];
  for (let rest = await text(socket); rest !== '';) {
    const [head = '', ...after] = rest.split('\r\n\r\n');
    const [, status] = /^HTTP\/1\.1 (\d{3}) /.exec(head)!;
    const headers = Object.fromEntries(
      head
        .split('\r\n')
        .slice(1)
        .map((line) => [line.split(':', 1)[0]!.toLowerCase(), line.replace(/^[^:]*: */, '')]),
    );
    const body = after.join('\r\n\r\n');
    const length = Number(headers['content-length']);
    found.push({ status: Number(status), headers, body: JSON.parse(body.slice(0, length)) });
    rest = body.slice(length);
  }
  return found;
}

const ID = 'X-Correlation-Id: checkout:7\r\n';
const POST = `POST /things HTTP/1.1\r\nHost: a\r\n${ID}Content-Type: application/json\r\n`;

test.each([
  ['an unknown method', `FOO /things?x=1 HTTP/1.1\r\nHost: a\r\n${ID}\r\n`, 501, 'unknown-method'],
  ['CONNECT', `CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n${ID}\r\n`, 501, 'unknown-method'],
  ['no request at all', `GARBAGE\r\n${ID}\r\n`, 400, 'bad-request'],
  ['a version that does not exist', `GET /things HTTP/7.3\r\n${ID}\r\n`, 400, 'bad-request'],
  [
    'a header with a control character',
    `GET /things HTTP/1.1\r\nHost: a\r\n${ID}X: a\x01b\r\n\r\n`,
    400,
    'bad-request',
  ],
  ['headers of 20 kB', `GET /things HTTP/1.1\r\n${ID}X: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers-too-large'],
  ['no Host', `GET /things HTTP/1.1\r\n${ID}Connection: close\r\n\r\n`, 400, 'bad-request'],
  ['two Hosts', `GET /things HTTP/1.1\r\nHost: a\r\nHost: b\r\n${ID}Connection: close\r\n\r\n`, 400, 'bad-request'],
  ['a chunk without its size', `${POST}Transfer-Encoding: chunked\r\n\r\nxyz\r\n`, 400, 'bad-request'],
  ['two lengths', `${POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{}`, 400, 'bad-request'],
])('%s is answered with one problem, which has the correlation id and is in the log', async (_, sent, status, code) => {
  const [answer, ...more] = await answersOf(open(sent));
  expect(more).toEqual([]);
  expect(answer).toMatchObject({ status, body: { status, code, type: `urn:larder:problem:${code}` } });
  expect(answer!.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer!.headers['cache-control']).toBe('no-store');
  expect(answer!.headers['x-correlation-id']).toBe(answer!.body.correlationId);
  expect(answer!.body.correlationId).toBe('checkout:7');
  expect(answer!.body.instance).toBe(/^[A-Z]+ (\/things)/.exec(sent)?.[1] ?? '/');
  expect(lines).toContainEqual(expect.objectContaining({ correlationId: 'checkout:7', status, code }));
});

test('what cannot be read is answered after the request before it', async () => {
  const socket = open('GET /things HTTP/1.1\r\nHost: a\r\n\r\nGARBAGE\r\n\r\n');
  expect((await answersOf(socket)).map(({ status }) => status)).toEqual([200, 400]);
});

test('an expectation that is unknown is ignored', async () => {
  const [answer] = await answersOf(open('GET /things HTTP/1.1\r\nHost: a\r\nExpect: x\r\nConnection: close\r\n\r\n'));
  expect(answer).toMatchObject({ status: 200, body: { limit: 20 } });
});

const limits = { headersMs: 200, requestMs: 600, checkEveryMs: 20 };

test('headers that do not end are given up after the time for headers, and a body after the time for a request', async () => {
  await start({ limits, requestTimeoutMs: 50 });
  const began = performance.now();
  const took = async (socket: Socket) => {
    const found = await answersOf(socket);
    return { found, ms: performance.now() - began };
  };
  const [silent, headers, body] = await Promise.all([
    took(open()),
    took(open('GET /things HTTP/1.1\r\nHost: a\r\n')),
    took(open(`${POST}Content-Length: 15\r\n\r\n{"name"`)),
  ]);
  for (const { found } of [silent, headers, body]) {
    expect(found).toEqual([expect.objectContaining({ status: 408 })]);
    expect(found[0]!.body.code).toBe('request-timeout');
  }
  expect(body.found[0]!.body).toMatchObject({ correlationId: 'checkout:7', instance: '/things' });
  for (const { ms } of [silent, headers]) expect([ms >= 200, ms < 600]).toEqual([true, true]);
  expect(body.ms).toBeGreaterThanOrEqual(600);
});

test('a slow sender has not used up the time in which a request is answered', async () => {
  await start({ limits: { ...limits, requestMs: 5_000 }, requestTimeoutMs: 100 });
  const socket = open(`${POST}Connection: close\r\nContent-Length: 14\r\n\r\n{"name"`);
  await new SystemClock().sleep(400);
  socket.write(':"tea"}');
  expect(await answersOf(socket)).toMatchObject([{ status: 201, body: { name: 'tea' } }]);
});

test('a request that is still arriving does not hold up a stop, and is told to come again', async () => {
  await start({ limits: { ...limits, requestMs: 60_000 } });
  const arrived = once(app.getHttpServer(), 'request');
  const socket = open(`${POST}Content-Length: 14\r\n\r\n{"name"`);
  await arrived;
  const [answered] = await Promise.all([answersOf(socket), app.close()]);
  expect(answered).toMatchObject([{ status: 503, body: { code: 'unavailable' } }]);
});

test('every method but those of a path is 405, and Allow names those, whatever is sent with it', async () => {
  for (const [path, allow] of [
    ['/things', 'GET, HEAD, OPTIONS, POST'],
    ['/things/7?x=1', 'GET, HEAD, OPTIONS, PUT'],
    ['/things/7/cancel', 'OPTIONS, POST'],
    ['/health/live', 'GET, HEAD, OPTIONS'],
  ]) {
    for (const method of METHODS.filter((each) => each !== 'CONNECT')) {
      for (const sent of [
        'Content-Length: 0\r\n\r\n',
        'Content-Type: application/json\r\nContent-Length: 1\r\n\r\n{',
      ]) {
        const socket = open(`${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${sent}`);
        const status = /^HTTP\/1\.1 (\d{3})[^]*\r\n\r\n/i.exec(await text(socket))!;
        const allowed = /^allow: (.*)$/im.exec(status[0])?.[1];
        const known = allow!.split(', ').includes(method);
        if (method === 'OPTIONS') expect([method, path, status[1], allowed]).toEqual([method, path, '204', allow]);
        else if (known) expect([method, path, status[1]]).not.toEqual([method, path, '405']);
        else expect([method, path, status[1], allowed]).toEqual([method, path, '405', allow]);
      }
    }
  }
  expect((await http().options('/nowhere').expect(404)).body.code).toBe('not-found');
  expect((await http().post('/nowhere').type('json').send('{').expect(404)).body.code).toBe('not-found');
});

test('a path with a slash at its end is another one, which does not exist, whatever the method', async () => {
  for (const method of ['get', 'post', 'delete', 'options'] as const) {
    const { body } = await http()[method]('/things/').expect(404);
    expect(body).toMatchObject({ code: 'not-found', detail: expect.stringContaining('slash') });
  }
});

test('a route without a body takes an empty one, whatever its type is said to be', async () => {
  for (const type of ['application/json', 'application/x-www-form-urlencoded', 'text/plain']) {
    await http().post('/things/7/cancel').type(type).expect(202);
    await http().post('/things/7/cancel').type(type).send('').expect(202);
  }
  await http().post('/things/7/cancel').send({}).expect(202);
});

test('what a route does not take is refused, in the query as in the body, and named', async () => {
  for (const path of ['/things?Limit=1&limit=1', '/things/7?Limit=', '/things/7?limit=1&Limit=2']) {
    const { body } = await http().get(path).expect(422);
    expect(body.code).toBe('invalid-request');
    expect(body.errors).toContainEqual({
      parameter: 'Limit',
      code: 'unrecognized_keys',
      detail: expect.stringContaining(path.startsWith('/things?') ? 'limit' : 'no parameters'),
    });
  }
  await http().get('/things?limit=1').expect(200);
  await http().get('/things?').expect(200);
  await http().get('/things?__proto__=1').expect(422);

  const { body } = await http().post('/things/7/cancel').send({ reason: 'because' }).expect(422);
  expect(body.errors).toEqual([{ pointer: '', code: 'unrecognized_keys', detail: expect.any(String) }]);
  await http().post('/things/7/cancel').send([1]).expect(422);
});

test('what is known of an answer before it fails, or takes too long, is in the problem', async () => {
  await start({ requestTimeoutMs: 50 });
  for (const path of ['/fails', '/hangs']) {
    const answer = await http().post(path).expect(503);
    expect(answer.body.code).toBe('unavailable');
    expect(answer.headers).toMatchObject({ 'larder-position': 'order:12', location: '/things/7', 'retry-after': '1' });
  }
});

test('nothing may be stored but the documents', async () => {
  for (const path of ['/things', '/things/7', '/nowhere', '/health/ready', '/metrics', '/docs-json', '/things/%zz']) {
    expect((await http().get(path)).headers['cache-control']).toBe('no-store');
  }
  for (const path of ['/docs', '/docs/start.js', '/docs/swagger-ui.css']) {
    expect((await http().get(path).expect(200)).headers['cache-control']).toMatch(/^public, max-age=\d+$/);
  }
});

test('a page loads what is its own, runs nothing that stands in it, and is framed by none', async () => {
  const { headers } = await http().get('/docs').expect(200);
  expect(headers['content-security-policy']).toBe(
    "default-src 'none';script-src 'self';style-src 'self';connect-src 'self';img-src 'self' data:;form-action 'self';frame-ancestors 'none';base-uri 'none'",
  );
});

const SHOP = 'https://shop.example';

test('no other origin may read answers, unless it is configured', async () => {
  const answer = await http().get('/things').set('Origin', SHOP).expect(200);
  expect(Object.keys(answer.headers).filter((name) => name.startsWith('access-control-'))).toEqual([]);
});

test('a configured origin may read answers, their position and location, and problems', async () => {
  await start({ corsOrigins: [SHOP, 'http://localhost:5173'] });
  for (const [path, status] of [
    ['/things', 200],
    ['/nowhere', 404],
    ['/things?x=1', 422],
  ] as const) {
    const { headers } = await http().get(path).set('Origin', SHOP).expect(status);
    expect(headers['access-control-allow-origin']).toBe(SHOP);
    expect(headers['access-control-expose-headers']).toMatch(/\bLocation\b.*\bLarder-Position\b/);
    expect(headers['vary']).toBe('Origin');
  }
  const other = await http().get('/things').set('Origin', 'https://shop.example.org').expect(200);
  expect(other.headers['access-control-allow-origin']).toBeUndefined();
  expect(other.headers['vary']).toBe('Origin');
});

test('a preflight is answered with the methods that the path has', async () => {
  await start({ corsOrigins: [SHOP] });
  const preflight = (path: string, origin: string) =>
    http().options(path).set('Origin', origin).set('Access-Control-Request-Method', 'PUT');
  const { headers } = await preflight('/things/7', SHOP).expect(204);
  expect(headers).toMatchObject({
    'access-control-allow-origin': SHOP,
    'access-control-allow-methods': 'GET, HEAD, OPTIONS, PUT',
    'access-control-allow-headers': expect.stringMatching(/Idempotency-Key.*Larder-Position/),
  });
  const refused = await preflight('/things/7', 'https://evil.example').expect(204);
  expect(refused.headers['access-control-allow-methods']).toBeUndefined();
  expect((await preflight('/nowhere', SHOP).expect(404)).headers['access-control-allow-origin']).toBe(SHOP);
});

/** Sends bytes, said to be anything. */
async function send(body: string | Buffer, headers: Record<string, string> = {}) {
  const answer = await fetch(`http://127.0.0.1:${port}/things`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  });
  return { status: answer.status, headers: answer.headers, body: (await answer.json()) as Record<string, unknown> };
}

const tea = JSON.stringify({ name: 'thé' });

// Read as something that it is not, a text would be another one, and two orders the same.
test.each<[string, number, string, string | Buffer, Record<string, string>]>([
  ['compressed', 415, 'Accept-Encoding', gzipSync(tea), { 'content-encoding': 'gzip' }],
  ['said to be compressed', 415, 'Content-Encoding', tea, { 'content-encoding': 'br' }],
  ['in Latin-1', 400, 'not UTF-8', Buffer.from(tea, 'latin1'), {}],
  ['said to be in Latin-1', 415, 'iso-8859-1', tea, { 'content-type': 'application/json; charset=iso-8859-1' }],
  ['in UTF-16', 415, 'utf-16', Buffer.from(tea, 'utf16le'), { 'content-type': 'application/json;charset="utf-16"' }],
  ['cut off in a character', 400, 'not UTF-8', Buffer.from(tea).subarray(0, 12), {}],
])('a body that is %s is refused for what it is', async (_what, status, hint, body, headers) => {
  for (const rawBody of [false, true]) {
    await start({}, rawBody);
    const answer = await send(body, headers);
    const code = status === 415 ? 'unsupported-media-type' : 'malformed-json';
    expect([answer.status, answer.body['code']]).toEqual([status, code]);
    const told = `${String(answer.body['detail'])} Accept-Encoding: ${answer.headers.get('accept-encoding')}`;
    expect(told).toContain(hint);
  }
});

test.each<[string, string, Record<string, string>]>([
  ['a byte order mark', `\ufeff${tea}`, {}],
  ['a charset', tea, { 'content-type': 'Application/JSON; Charset="UTF-8"' }],
  ['an encoding that is none', tea, { 'content-encoding': 'Identity' }],
])('a body in UTF-8 is read, also with %s', async (_what, body, headers) => {
  for (const rawBody of [false, true]) {
    await start({}, rawBody);
    expect(await send(body, headers)).toMatchObject({ status: 201, body: { name: 'thé' } });
  }
});
