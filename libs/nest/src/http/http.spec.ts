import { Body, Controller, Get, Inject, Module, NotFoundException, Param, Post, Query } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { once } from 'node:events';
import { get as httpGet, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import { json } from 'node:stream/consumers';
import { type Logger, pino } from 'pino';
import request from 'supertest';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import { Conflict, DomainError } from '#decider';
import { type Cause, RevisionConflict } from '#event-store';
import { openApp } from '#test/app';
import { type Clock, ServerUnavailable, SystemClock } from '#runtime';
import { Background } from '../boot/background.js';
import { Answer } from './answer.js';
import { RequestCause } from './correlation.js';
import { Health } from '../boot/health.js';
import { IdempotencyKey } from './idempotency.js';
import { inDigits } from './page.js';
import { answerPosition, AfterPosition } from './position.js';
import { PreferWait } from './prefer.js';
import { Problem } from './problem.js';
import { answers, route } from './route.js';

const line = z.object({ sku: z.string().describe('Stock-keeping unit'), quantity: z.int().min(1) });
const order = z.object({ 'a/b~c': z.string().optional(), lines: z.array(line) });
const page = z.object({ limit: inDigits(z.int().max(100)).prefault(20) });

const ERRORS: Record<string, () => unknown> = {
  refused: () => new Conflict('order-confirmed', 'The order is confirmed.'),
  mistaken: () => new DomainError('unknown-sku', 'There is no such SKU.'),
  problem: () => new Problem(410, 'gone-away', 'It is gone.', { extras: { since: 'yesterday' } }),
  nest: () => new NotFoundException('No such order.'),
  conflict: () => new RevisionConflict(['stock-olive-oil']),
  refusedConnection: () => Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ECONNREFUSED' }),
  terminated: () => new Error('Connection terminated unexpectedly'),
  shuttingDown: () => Object.assign(new Error('terminating connection'), { code: '57P01' }),
  poolTimeout: () => new Error('timeout exceeded when trying to connect'),
  prisma: () => Object.assign(new Error("Can't reach database server at db:5432"), { code: 'P1001' }),
  wrapped: () =>
    new Error('read failed', { cause: new AggregateError([Object.assign(new Error(), { code: 'ECONNRESET' })]) }),
  broker: () => new ServerUnavailable('The broker does not answer.'),
  behindBroker: () => new Error('append failed', { cause: new ServerUnavailable('The server does not answer.') }),
  bug: () => new Error("SELECT secret FROM orders WHERE id = 'x' failed at /srv/larder/order.ts"),
  notAnError: () => 'a string, thrown',
};

/** What a handler waits for in these tests. */
class Gate {
  entered = 0;
  open = () => {};
  readonly opened = new Promise<void>((resolve) => (this.open = resolve));
}

@Controller()
class TestController {
  constructor(@Inject(Gate) private readonly gate: Gate) {}

  @Get('errors/:name')
  error(@Param('name') name: string, @Query('token') _token: string) {
    throw ERRORS[name]?.();
  }

  @Post('orders')
  @route('Places an order', answers(201, 'Placed', order))
  place(@Body({ schema: order }) body: z.infer<typeof order>, @IdempotencyKey() key: string) {
    return { lines: body.lines.length, key };
  }

  @Get('orders/:id')
  find(@Param('id', { schema: z.uuid() }) id: string, @Query({ schema: page }) query: z.infer<typeof page>) {
    return { id, query };
  }

  @Get('cause')
  cause(@RequestCause() cause: Cause) {
    return cause;
  }

  @Get('position')
  position(@AfterPosition() after: bigint | undefined) {
    return new Answer({ after: String(after) }, { position: answerPosition(after, 7n) });
  }

  @Get('absent')
  absent(@AfterPosition() after: bigint | undefined) {
    throw new Problem(404, 'order-not-found', 'There is no such order.', { position: answerPosition(after, 7n) });
  }

  @Post('events')
  @route('Writes', answers(202, 'Written', z.object({})), answers(201, 'Created', z.object({})))
  write() {
    return new Answer({}, { position: 12n });
  }

  @Post('things')
  @route('Creates', answers(202, 'Accepted', z.object({})), answers(201, 'Created', z.object({})))
  create() {
    return new Answer({ created: true }, { status: 201, location: '/things/7' });
  }

  @Get('slow')
  async slow(@PreferWait() waitMs: number | undefined) {
    this.gate.entered++;
    await this.gate.opened;
    return new Answer({ waitMs }, { waitedMs: waitMs });
  }
}

@Module({ controllers: [TestController], providers: [Gate] })
class TestModule {}

const ACCESS = {
  'GET /errors/:name': 'anyone',
  'POST /orders': 'anyone',
  'GET /orders/:id': 'anyone',
  'GET /cause': 'anyone',
  'GET /position': 'anyone',
  'GET /absent': 'anyone',
  'POST /events': 'anyone',
  'POST /things': 'anyone',
  'GET /slow': 'anyone',
} as const;

/** For the routes that every service has: whoever asks is an operator. */
const TOKENS = { known: () => undefined, identify: async () => ({ subject: 'ada', roles: ['operator' as const] }) };

let app: NestFastifyApplication;
let gate: Gate;
let health: Health;
let background: Background;
let lines: Record<string, any>[];

async function start({
  requestTimeoutMs = 10_000,
  clock = new SystemClock(),
}: { requestTimeoutMs?: number; clock?: Clock } = {}) {
  lines = [];
  const log: Logger = pino({ level: 'debug' }, { write: (text: string) => void lines.push(JSON.parse(text)) });
  background = new Background(log);
  health = new Health(clock);
  app = await openApp({
    module: TestModule,
    access: ACCESS,
    clock,
    log,
    background,
    health,
    tokens: TOKENS,
    requestTimeoutMs,
  });
  gate = app.get(Gate);
}

beforeEach(() => start());
afterEach(async () => {
  gate.open();
  await app.close();
});

const http = () => request(app.getHttpServer());
const problem = (status: number, code: string, title: string, detail: string, rest: object) => ({
  type: `urn:larder:problem:${code}`,
  title,
  status,
  detail,
  code,
  correlationId: 'test',
  ...rest,
});

test.each([
  ['refused', 409, 'order-confirmed', 'Order confirmed', 'The order is confirmed.', {}],
  ['mistaken', 422, 'unknown-sku', 'Unknown sku', 'There is no such SKU.', {}],
  ['problem', 410, 'gone-away', 'Gone away', 'It is gone.', { since: 'yesterday' }],
  ['nest', 404, 'not-found', 'Not found', 'No such order.', {}],
  ['bug', 500, 'internal-error', 'Internal error', 'Something went wrong here.', {}],
  ['notAnError', 500, 'internal-error', 'Internal error', 'Something went wrong here.', {}],
])('the error "%s" is answered with %i %s', async (name, status, code, title, detail, extras) => {
  const answer = await http().get(`/errors/${name}?token=secret`).set('X-Correlation-Id', 'test').expect(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.body).toEqual(problem(status, code, title, detail, { instance: `/errors/${name}`, ...extras }));
});

test.each([
  'refusedConnection',
  'terminated',
  'shuttingDown',
  'poolTimeout',
  'prisma',
  'wrapped',
  'broker',
  'behindBroker',
])('a server that is away (%s) is 503 with Retry-After', async (name) => {
  const answer = await http().get(`/errors/${name}`).set('X-Correlation-Id', 'test').expect(503);
  expect(answer.headers['retry-after']).toBe('1');
  const detail = 'A server that this service needs cannot do its work now. Try again.';
  expect(answer.body).toEqual(problem(503, 'unavailable', 'Unavailable', detail, { instance: `/errors/${name}` }));
});

test('a conflict that outlasted all retries is 503 busy', async () => {
  const answer = await http().get('/errors/conflict').expect(503);
  expect(answer.headers['retry-after']).toBe('1');
  expect(answer.body.code).toBe('busy');
  expect(answer.text).not.toContain('stock-');
});

test('details of a failure that are hidden from the caller are in the log, with the correlation id', async () => {
  await http().get('/errors/bug').set('X-Correlation-Id', 'abc').expect(500);
  const logged = lines.find(({ msg }) => msg === 'A request failed.');
  expect(logged).toMatchObject({ level: 50, correlationId: 'abc', path: '/errors/bug', code: 'internal-error' });
  expect(logged?.err.stack).toContain('http.spec.ts');
});

test('each mistake in a body is named with a JSON pointer', async () => {
  const body = { 'a/b~c': 7, lines: [{ sku: 'olive-oil', quantity: 0 }, { quantity: 1 }] };
  const answer = await http().post('/orders').set('Idempotency-Key', 'k').send(body).expect(422);
  expect(answer.body).toMatchObject({ code: 'invalid-request', title: 'Invalid request' });
  expect(answer.body.errors).toEqual([
    { pointer: '/a~1b~0c', code: 'invalid_type', detail: expect.any(String) },
    { pointer: '/lines/0/quantity', code: 'too_small', detail: expect.any(String) },
    { pointer: '/lines/1/sku', code: 'invalid_type', detail: expect.any(String) },
  ]);
});

test('a body that is not an object is a mistake at its root', async () => {
  const answer = await http().post('/orders').set('Idempotency-Key', 'k').expect(422);
  expect(answer.body.errors).toEqual([{ pointer: '', code: 'invalid_type', detail: expect.any(String) }]);
});

test('a mistake in the path or the query names the parameter', async () => {
  const inQuery = await http().get('/orders/9d1e0f4c-3c4e-4b5c-8f59-0a4b2f3f1c11?limit=101').expect(422);
  expect(inQuery.body.errors).toEqual([{ parameter: 'limit', code: 'too_big', detail: expect.any(String) }]);
  const inPath = await http().get('/orders/seven').expect(422);
  expect(inPath.body.errors).toEqual([{ parameter: 'id', code: 'invalid_format', detail: expect.any(String) }]);
});

test.each([
  [400, 'malformed-json', 'application/json', '{"lines":'],
  [422, 'invalid-request', 'application/json', ''],
  [400, 'malformed-json', 'application/json', '{"__proto__":{"lines":[]}}'],
  [415, 'unsupported-media-type', 'text/plain', 'two bottles'],
  [415, 'unsupported-media-type', 'application/x-www-form-urlencoded', 'lines=2'],
  [413, 'body-too-large', 'application/json', JSON.stringify({ lines: [], more: 'x'.repeat(100 * 1024) })],
])('%i %s answers a body that cannot be taken (%s, %#)', async (status, code, type, body) => {
  const answer = await http().post('/orders').set('Idempotency-Key', 'k').type(type).send(body);
  expect([answer.status, answer.body.code]).toEqual([status, code]);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
});

test('a path without a route is 404, and one with another method 405 and Allow', async () => {
  expect((await http().get('/nowhere?x=1').expect(404)).body).toMatchObject({
    code: 'not-found',
    instance: '/nowhere',
  });
  const answer = await http().delete('/orders').expect(405);
  expect(answer.headers.allow).toBe('OPTIONS, POST');
  expect(answer.body.code).toBe('method-not-allowed');
  expect((await http().put('/orders/7').expect(405)).headers.allow).toBe('GET, HEAD, OPTIONS');
});

test.each([
  ['/orders/%zz', 400],
  [`/orders/${'x'.repeat(200)}`, 414],
])('a URL that cannot be routed (%#) is a problem, too', async (url, status) => {
  const answer = await http().get(url).expect(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.body).toMatchObject({ status, correlationId: expect.any(String) });
});

test('a request that takes too long is 503, unless it asked to wait', async () => {
  gate.open();
  await app.close();
  await start({ requestTimeoutMs: 50 });
  const late = await http().get('/slow').expect(503);
  expect(late.headers['retry-after']).toBe('1');
  expect(late.body).toMatchObject({ code: 'unavailable', instance: '/slow' });

  const patient = http()
    .get('/slow')
    .set('Prefer', 'wait=10')
    .then((answer) => answer);
  await expect.poll(() => gate.entered).toBe(2);
  await new SystemClock().sleep(300);
  gate.open();
  expect(await patient).toMatchObject({ status: 200, body: { waitMs: 10_000 } });
});

test('a request that takes too long is 503 in time, also when the clock is set back meanwhile', async () => {
  gate.open();
  await app.close();
  const clock = new (class extends SystemClock {
    byMs = 0;
    override now = () => new Date(Date.now() - this.byMs);
  })();
  await start({ requestTimeoutMs: 300, clock });
  const late = http()
    .get('/slow')
    .timeout(5_000)
    .then(({ status }) => status);
  await expect.poll(() => gate.entered).toBe(1);
  clock.byMs = 600_000;
  expect(await late).toBe(503);
});

test('an answer names its correlation id: the one given, the trace, or the request', async () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const given = await http().get('/cause').set('X-Correlation-Id', 'checkout:7').set('traceparent', traceparent);
  expect(given.headers['x-correlation-id']).toBe('checkout:7');
  expect(given.body).toEqual({
    correlationId: 'checkout:7',
    causationId: expect.stringMatching(/^0{8}-/),
    traceparent,
  });

  const traced = await http().get('/cause').set('traceparent', traceparent);
  expect(traced.body.correlationId).toBe('0af7651916cd43dd8448eb211c80319c');

  const bad = await http()
    .get('/cause')
    .set('X-Correlation-Id', 'a b{}')
    .set('traceparent', traceparent.replace('00-', 'ff-'));
  expect(bad.body).toEqual({ correlationId: bad.body.causationId, causationId: expect.any(String) });
  expect(bad.headers['x-correlation-id']).toBe(bad.body.causationId);
});

test('an Idempotency-Key is required', async () => {
  const send = (key?: string) => {
    const post = http().post('/orders').send({ lines: [] });
    return key === undefined ? post : post.set('Idempotency-Key', key);
  };
  expect((await send().expect(400)).body.code).toBe('idempotency-key-missing');
  expect((await send('').expect(400)).body.code).toBe('idempotency-key-invalid');
  expect((await send('"k1"').expect(201)).body).toEqual({ lines: 0, key: 'k1' });
});

test('a Larder-Position is read, and refused when it is malformed', async () => {
  const get = (header: string) => http().get('/position').set('Larder-Position', header);
  expect((await get('inventory:9, order:4711').expect(200)).body).toEqual({ after: '4711' });
  expect((await get('order:-1').expect(400)).body.code).toBe('invalid-position');
  expect((await get('order:1, basket:1').expect(400)).body.code).toBe('unknown-position');
});

test('a Larder-Position may come in several headers', async () => {
  const { port } = app.getHttpServer().address() as { port: number };
  const headers = [
    ['host', 'a'],
    ['larder-position', 'order:9'],
    ['larder-position', 'inventory:3'],
    ['larder-position', 'order:11'],
  ] as [string, string][];
  const answer = await new Promise<IncomingMessage>((resolve) =>
    httpGet({ port, host: '127.0.0.1', path: '/position', headers: headers.flat() }, resolve),
  );
  expect(await json(answer)).toEqual({ after: '11' });
});

test('a write answers with its position, and a read with what it shows, or what it was sent where that is more', async () => {
  expect((await http().post('/events').expect(202)).headers['larder-position']).toBe('order:12');
  const read = (header: string) => http().get('/position').set('Larder-Position', header).expect(200);
  expect((await read('order:3')).headers['larder-position']).toBe('order:7');
  expect((await read('order:9')).headers['larder-position']).toBe('order:9');
  expect((await read('payment:9')).headers['larder-position']).toBe('order:7');
});

test('a read that found nothing answers with what it has seen, too', async () => {
  const absent = await http().get('/absent').set('Larder-Position', 'order:3').expect(404);
  expect(absent.headers['larder-position']).toBe('order:7');
  expect(absent.body.code).toBe('order-not-found');
});

test('a route answers with the status of its first `answers`, unless the answer has another', async () => {
  await http().post('/events').expect(202, {});
  const created = await http().post('/things').expect(201, { created: true });
  expect(created.headers['location']).toBe('/things/7');
  expect(created.headers['larder-position']).toBeUndefined();
});

test('Prefer: wait is answered with the wait that was granted, and what was not asked for with nothing', async () => {
  gate.open();
  const slow = (prefer: string) => http().get('/slow').set('Prefer', prefer).expect(200);
  expect((await slow('wait=5')).headers['preference-applied']).toBe('wait=5');
  expect((await slow('wait=3600')).headers['preference-applied']).toBe('wait=30');
  expect((await slow('wait=0')).headers['preference-applied']).toBe('wait=0');
  expect((await slow('respond-async')).headers['preference-applied']).toBeUndefined();
});

test('readiness is red when a check that is needed fails or hangs, degraded when another does, and names it', async () => {
  health.add('store', async () => {});
  health.add('projection:order-summary', async () => ({ position: 3, head: 5, lag: 2 }));
  const green = await http().get('/health/ready').expect(200);
  expect(green.body).toEqual({
    status: 'ready',
    checks: { store: { status: 'up' }, 'projection:order-summary': { status: 'up', position: 3, head: 5, lag: 2 } },
  });
  health.add('bus', () => Promise.reject(new Error('connect ECONNREFUSED 10.0.0.7')), { needed: false });
  await expect.poll(async () => (await health.ready()).status, { timeout: 5_000 }).toBe('degraded');
  const degraded = await http().get('/health/ready').expect(200);
  expect(degraded.body).toMatchObject({ status: 'degraded', checks: { bus: { status: 'down' } } });
  health.add('database', () => new Promise(() => {}));
  await expect.poll(async () => (await http().get('/health/ready')).status, { timeout: 5_000 }).toBe(503);
  const red = await http().get('/health/ready').expect(503);
  expect(red.body).toMatchObject({
    status: 'not-ready',
    checks: { store: { status: 'up' }, bus: { status: 'down' }, database: { status: 'down' } },
  });
  expect(red.text).not.toContain('10.0.0.7');
  await http().get('/health/live').expect(200, { status: 'live' });
});

test('probes that come together share one check', async () => {
  let checks = 0;
  health.add('store', async () => void checks++);
  await Promise.all([health.ready(), health.ready(), health.ready()]);
  expect(checks).toBe(1);
});

test('metrics count requests by route, not by URL', async () => {
  await http().get('/errors/refused');
  await http().get('/errors/mistaken');
  const { text } = await http().get('/metrics').expect(200);
  expect(text).toContain(
    'http_request_duration_seconds_count{service="order",method="GET",route="/errors/:name",status="409"} 1',
  );
  expect(text).toContain('process_resident_memory_bytes');
  expect(text).not.toContain('/errors/refused');
});

test('the OpenAPI document is made from the schemas and from what is documented', async () => {
  const { body } = await http().get('/docs-json').expect(200);
  const post = body.paths['/orders'].post;
  const schema = post.requestBody.content['application/json'].schema;
  expect(schema.properties.lines.items.properties.sku).toEqual({ type: 'string', description: 'Stock-keeping unit' });
  expect(post.parameters).toContainEqual(
    expect.objectContaining({ name: 'Idempotency-Key', in: 'header', required: true }),
  );
  expect(post.responses['201'].content['application/json'].schema.properties.lines.type).toBe('array');
  expect(body.paths['/orders/{id}'].get.parameters).toContainEqual(
    expect.objectContaining({ name: 'limit', in: 'query' }),
  );
  expect(Object.keys(body.paths)).not.toContain('/health/live');
  await http()
    .get('/docs')
    .expect(200, /swagger-ui-bundle/);
  await http().get('/docs/swagger-ui.css').expect(200).expect('content-type', /css/);
  await http().get('/docs/package.json').expect(404);
});

test('a stop finishes the requests under way, ends kept-alive connections and only then the loops', async () => {
  const order: string[] = [];
  background.run(async (signal) => {
    if (!signal.aborted) await once(signal, 'abort');
    order.push('loop');
  });
  background.onClose(async () => void order.push('store'));
  background.onClose(async () => void order.push('bus'));
  background.stopping.addEventListener('abort', () => order.push('stopping'));

  const { port } = app.getHttpServer().address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
  let answer = '';
  socket.on('data', (data) => (answer += data));
  const ended = once(socket, 'end').then(() => order.push('answered'));
  await expect.poll(() => gate.entered).toBe(1);

  const closed = app.close();
  await expect.poll(() => order).toEqual(['stopping']);
  await expect(fetch(`http://127.0.0.1:${port}/cause`)).rejects.toThrow();
  gate.open();
  await Promise.all([ended, closed]);
  expect(answer).toMatch(/^HTTP\/1\.1 200/);
  expect(order.filter((each) => each !== 'answered')).toEqual(['stopping', 'loop', 'bus', 'store']);
  expect(order.indexOf('answered')).toBeGreaterThan(0);
});
