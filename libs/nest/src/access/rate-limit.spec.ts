/** How many requests somebody may send: who is refused, until when, and what that costs. */
import { Controller, Get, Module, Req } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { pino } from 'pino';
import supertest from 'supertest';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { openApp } from '#test/app';
import { limitsOf, MemoryCounts } from '#test/rate-limits';
import { ServerUnavailable } from '#runtime';
import { Metrics } from '../boot/metrics.js';
import type { HttpParts } from '../http/create-app.js';
import { Problem, tryAgain } from '../http/problem.js';
import { takeBack } from './guard.js';
import { networkOf } from './rate-limit.js';

@Controller()
class TestController {
  @Get('mine')
  mine() {
    return {};
  }

  @Get('open')
  open() {
    return {};
  }

  @Get('signed')
  signed(@Req() request: FastifyRequest) {
    if (request.headers['signature'] !== 'good') throw new Problem(401, 'signature-forged', 'It is forged.');
    takeBack(request);
    return {};
  }
}

@Module({ controllers: [TestController] })
class TestModule {}

const LIMITS = { perCaller: 20, perAddress: 5 };

let apps: NestFastifyApplication[];
let clock: ManualClock;
let metrics: Metrics;
let lines: Record<string, unknown>[];
let known: Set<string>;
/** What had to be verified. */
let verified: string[];
/** What slow tokens wait for. */
let verification: Promise<void>;
let finishVerifying: () => void;

beforeEach(() => {
  apps = [];
  lines = [];
  verified = [];
  known = new Set(['ada', 'bea']);
  clock = new ManualClock();
  verification = new Promise((resolve) => (finishVerifying = resolve));
});
afterEach(() => Promise.all(apps.map((app) => app.close())));

const log = pino({ level: 'debug' }, { write: (line: string) => void lines.push(JSON.parse(line)) });

/** The token of somebody is their name; it is bad, or the issuer is away, if it says so. */
const tokens = {
  known: (header = '') => (known.has(header) ? { subject: header, roles: ['customer' as const] } : undefined),
  identify: async (header = '') => {
    verified.push(header);
    if (header === '' || header.startsWith('bad')) throw new Problem(401, 'token-invalid', 'It is not accepted.');
    if (header.startsWith('slow')) await verification;
    if (header === 'away') throw tryAgain('issuer-unavailable', 'The issuer is away.');
    return { subject: header, roles: ['customer' as const] };
  },
};

type Changes = Partial<HttpParts> & { readonly shared?: MemoryCounts };

async function start({ shared, ...changes }: Changes = {}): Promise<NestFastifyApplication> {
  metrics = new Metrics('order');
  const app = await openApp({
    module: TestModule,
    access: { 'GET /mine': { customer: 'own' }, 'GET /open': 'anyone', 'GET /signed': 'anyone' },
    clock,
    log,
    metrics,
    tokens,
    rateLimits: limitsOf({ clock, log, ...(shared && { shared }) }, LIMITS),
    ...changes,
  });
  apps.push(app);
  return app;
}

const ask = (app: NestFastifyApplication, path: string, token?: string, headers: Record<string, string> = {}) =>
  supertest(app.getHttpServer())
    .get(path)
    .set({ ...headers, ...(token !== undefined && { authorization: token }) });

/** The statuses of so many requests, and how often each was. */
async function statusesOf(times: number, send: (n: number) => Promise<{ status: number }>) {
  const found: Record<number, number> = {};
  for (let n = 0; n < times; n++) {
    const { status } = await send(n);
    found[status] = (found[status] ?? 0) + 1;
  }
  return found;
}

test('a caller who sends too many is told for how long to wait, and that is true; others go on', async () => {
  const app = await start();
  const first = await ask(app, '/mine', 'ada').expect(200);
  expect(first.headers).toMatchObject({ 'ratelimit-policy': '"caller";q=20;w=10', ratelimit: '"caller";r=19;t=10' });
  await clock.advance(3_000);
  expect(await statusesOf(19, () => ask(app, '/mine', 'ada'))).toEqual({ 200: 19 });
  const { body, headers } = await ask(app, '/mine', 'ada').expect(429);
  expect(body).toMatchObject({ code: 'too-many-requests', limit: 'caller', status: 429 });
  expect(headers).toMatchObject({ 'retry-after': '7', ratelimit: '"caller";r=0;t=7' });
  expect(headers['content-type']).toMatch(/^application\/problem\+json/);
  await ask(app, '/mine', 'bea').expect(200);
  await clock.advance(500);
  expect((await ask(app, '/mine', 'ada').expect(429)).headers['retry-after']).toBe('7');
  await clock.advance(6_499);
  await ask(app, '/mine', 'ada').expect(429);
  await clock.advance(1);
  await ask(app, '/mine', 'ada').expect(200);
});

test('a flood is counted request by request, and logged once', async () => {
  const app = await start();
  expect(await statusesOf(60, () => ask(app, '/mine', 'ada'))).toEqual({ 200: 20, 429: 40 });
  expect(await metrics.registry.getSingleMetricAsString('larder_requests_refused_total')).toMatch(
    /code="too-many-requests",service="order"\} 40|service="order",code="too-many-requests"\} 40/,
  );
  const warnings = () => lines.filter(({ level }) => level === 40);
  expect(warnings()).toEqual([expect.objectContaining({ caller: 'ada', seconds: 10 })]);
  await clock.advance(10_000);
  await statusesOf(21, () => ask(app, '/mine', 'ada'));
  expect(warnings().length).toBe(2);
});

test('an address may send so many requests without a valid token, and then none is verified', async () => {
  const app = await start();
  expect(await statusesOf(5, (n) => ask(app, '/mine', `bad${n}`))).toEqual({ 401: 5 });
  const { body, headers } = await ask(app, '/mine', 'bad5').expect(429);
  expect(body).toMatchObject({ code: 'too-many-requests', limit: 'address' });
  expect(headers).toMatchObject({ 'ratelimit-policy': '"address";q=5;w=10', ratelimit: '"address";r=0;t=10' });
  await ask(app, '/mine').expect(429);
  await ask(app, '/open').expect(429);
  await ask(app, '/mine', 'cleo').expect(429);
  expect(verified.length).toBe(5);
  // Behind the same address, those go on whose tokens are known.
  await ask(app, '/mine', 'ada').expect(200);
  await clock.advance(10_000);
  await ask(app, '/mine', 'cleo').expect(200);
});

test('tokens that turn out to be good do not count for their address, and neither does an issuer who is away', async () => {
  const app = await start();
  expect(await statusesOf(30, (n) => ask(app, '/mine', `customer${n}`))).toEqual({ 200: 30 });
  expect(await statusesOf(30, () => ask(app, '/mine', 'away'))).toEqual({ 503: 30 });
});

test('tokens count for their address while they are verified, and what is refused meanwhile does not count', async () => {
  const app = await start();
  const verifying = Array.from({ length: 5 }, (_, n) => ask(app, '/mine', `slow${n}`).then(({ status }) => status));
  await vi.waitUntil(() => verified.length === 5);
  expect(await statusesOf(20, () => ask(app, '/mine', 'cleo'))).toEqual({ 429: 20 });
  finishVerifying();
  expect(await Promise.all(verifying)).toEqual([200, 200, 200, 200, 200]);
  await ask(app, '/mine', 'cleo').expect(200);
});

test('a route for anyone is limited by address, whatever token comes with it, and probes are not limited', async () => {
  const app = await start();
  expect(await statusesOf(7, () => ask(app, '/open', 'ada'))).toEqual({ 200: 5, 429: 2 });
  expect(await statusesOf(50, () => ask(app, '/health/live'))).toEqual({ 200: 50 });
  expect((await ask(app, '/health/ready').expect(200)).headers['ratelimit']).toBeUndefined();
});

test('a request that shows something else than a token no longer counts for its address', async () => {
  const app = await start();
  expect(await statusesOf(30, () => ask(app, '/signed', undefined, { signature: 'good' }))).toEqual({ 200: 30 });
  expect(await statusesOf(7, () => ask(app, '/signed', undefined, { signature: 'bad' }))).toEqual({ 401: 5, 429: 2 });
});

test('X-Forwarded-For counts for nothing, unless it is of a proxy that is trusted; then what that has added counts', async () => {
  const direct = await start();
  const forged = (n: number) => ({ 'x-forwarded-for': `203.0.113.${n}` });
  expect(await statusesOf(8, (n) => ask(direct, '/open', undefined, forged(n)))).toEqual({ 200: 5, 429: 3 });

  const behind = await start({ trustedProxies: ['127.0.0.0/8'] });
  const through = (n: number, address: string) => ({ 'x-forwarded-for': `203.0.113.${n}, ${address}` });
  expect(await statusesOf(8, (n) => ask(behind, '/open', undefined, through(n, '198.51.100.1')))).toEqual({
    200: 5,
    429: 3,
  });
  await ask(behind, '/open', undefined, through(0, '198.51.100.2')).expect(200);

  const elsewhere = await start({ trustedProxies: ['10.0.0.0/8'] });
  expect(await statusesOf(8, (n) => ask(elsewhere, '/open', undefined, forged(n)))).toEqual({ 200: 5, 429: 3 });
});

test('instances share a count: each tells it every tenth of the limit, and nothing of those below or above', async () => {
  const shared = new MemoryCounts(clock);
  const [one, other] = [await start({ shared }), await start({ shared })];
  await ask(one, '/mine', 'bea').expect(200);
  expect(shared.said).toEqual([]);
  expect(await statusesOf(14, () => ask(one, '/mine', 'ada'))).toEqual({ 200: 14 });
  expect(await statusesOf(14, () => ask(other, '/mine', 'ada'))).toEqual({ 200: 6, 429: 8 });
  expect(shared.said).toEqual(Array.from({ length: 10 }, () => ({ key: 'caller:ada', requests: 2, seconds: 10 })));
  await statusesOf(100, () => ask(other, '/mine', 'ada'));
  expect(shared.said.length).toBe(10);
});

test('a window ends at every instance when it ends for the one that began it', async () => {
  const shared = new MemoryCounts(clock);
  const [one, other] = [await start({ shared }), await start({ shared })];
  await statusesOf(20, () => ask(one, '/mine', 'ada'));
  await clock.advance(6_000);
  expect(await statusesOf(3, () => ask(other, '/mine', 'ada'))).toEqual({ 200: 2, 429: 1 });
  expect((await ask(other, '/mine', 'ada')).headers['retry-after']).toBe('4');
  await clock.advance(4_000);
  await ask(other, '/mine', 'ada').expect(200);
});

test.each([
  ['refuses', () => Promise.reject(new ServerUnavailable('It is away.'))],
  ['is silent', () => new Promise<never>(() => {})],
])('a database that %s holds up no request: the instance counts alone', async (_, add) => {
  const shared = new MemoryCounts(clock);
  const telling = vi.spyOn(shared, 'add').mockImplementation(add);
  const app = await start({ shared });
  expect(await statusesOf(25, () => ask(app, '/mine', 'ada'))).toEqual({ 200: 20, 429: 5 });
  expect(telling).toHaveBeenCalledTimes(1); // And it is not asked for every request.
  telling.mockRestore();
  await clock.advance(10_000);
  expect(await statusesOf(25, () => ask(app, '/mine', 'ada'))).toEqual({ 200: 20, 429: 5 });
  expect(shared.said.length).toBe(10);
});

test('what could not be told is told when the database is back', async () => {
  const shared = new MemoryCounts(clock);
  const telling = vi.spyOn(shared, 'add').mockRejectedValue(new ServerUnavailable('It is away.'));
  const app = await start({ shared });
  await statusesOf(7, () => ask(app, '/mine', 'ada'));
  telling.mockRestore();
  await clock.advance(1_000);
  await ask(app, '/mine', 'ada').expect(200);
  expect(shared.said).toEqual([{ key: 'caller:ada', requests: 8, seconds: 9 }]);
});

test('so many senders are counted that memory holds: of more, those who were not heard for longest begin anew', () => {
  const { perAddress } = limitsOf({ clock, log }, { perAddress: 2 });
  const said: string[] = [];
  const reply = { header: (name: string, value: string) => (name === 'ratelimit' && said.push(value), reply) };
  const send = (key: string) => perAddress.count(key, reply as unknown as FastifyReply);
  for (let n = 0; n < 10_000; n++) send(`address ${n}`);
  send('address 1');
  send('another');
  send('address 0');
  expect(said.slice(-3)).toEqual(['"address";r=0;t=10', '"address";r=1;t=10', '"address";r=1;t=10']);
});

test.each([
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:db8::9', '2001:db8:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['unknown', 'unknown'],
])('%s counts as %s', (address, network) => expect(networkOf(address)).toBe(network));
