/** Callers with a cookie jar, at two gateways in front of a service that says where it is. */
import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { SystemIds } from '#runtime';
import type { AccessTable, Role } from '#service';
import { openApp } from '#test/app';
import { CookieJar } from '../../../../proof/shop/cookie-jar.js';
import { parsePositions, sealPositions } from '../positions.js';
import { keepPositions } from './positions.js';

const SECRETS = ['a-secret-of-ours'];
const ACCESS: AccessTable = {
  'GET /orders': { customer: 'own' },
  'POST /orders': { customer: 'own' },
  'GET /prices': 'anyone',
};

@Module({})
class TestModule {}

const tokens = {
  known: () => undefined,
  identify: async (header: string | undefined) => ({ subject: header ?? '', roles: ['customer'] as Role[] }),
};

/** The service: the position that it answers with, its last event, and the positions that it was sent. */
let service: { position: string | undefined; head: bigint; sent: (string | undefined)[]; hold: Promise<void> };
let gateways: NestFastifyApplication[];

beforeEach(async () => {
  service = { position: 'order:11', head: 100n, sent: [], hold: Promise.resolve() };
  gateways = [await openGateway(), await openGateway()];
});
afterEach(() => Promise.all(gateways.map((each) => each.close())));

function openGateway(trustedProxies: readonly string[] = []): Promise<NestFastifyApplication> {
  return openApp({
    module: TestModule,
    access: ACCESS,
    tokens,
    trustedProxies,
    routes: (http) => {
      keepPositions(http, { secrets: SECRETS, ids: new SystemIds() });
      for (const [method, url] of Object.keys(ACCESS).map((operation) => operation.split(' '))) {
        http.route({
          method: method as 'GET',
          url: url!,
          handler: async ({ headers }, reply) => {
            const { position, head } = service;
            const sent = headers['larder-position'] as string | undefined;
            service.sent.push(sent);
            await service.hold;
            if ((parsePositions(sent ?? '').get('order') ?? 0n) > head) {
              const problem = JSON.stringify({ code: 'unknown-position' });
              return reply
                .status(400)
                .type('application/problem+json')
                .send(Readable.from([problem]));
            }
            if (position !== undefined) reply.header('larder-position', position);
            return reply.type('application/json').send(Readable.from([JSON.stringify({ sent: sent ?? null })]));
          },
        });
      }
    },
  });
}

interface Ask {
  readonly at?: number;
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

async function ask(jar: CookieJar, { at = 0, method = 'GET', path = '/orders', headers = {} }: Ask = {}) {
  const url = await gateways[at]!.getUrl();
  const sent = { authorization: 'Ada', ...jar.headers, ...headers };
  const response = await fetch(`${url}${path}`, { method, headers: sent });
  const set = response.headers.getSetCookie();
  jar.keep(set);
  return { status: response.status, set, body: (await response.json()) as Record<string, unknown> };
}

test('a read sees what the session has been shown, and sends it on to the service', async () => {
  const jar = new CookieJar();
  await ask(jar, { method: 'POST' });
  service.position = 'inventory:7';
  await ask(jar);
  await ask(jar);
  expect(service.sent).toEqual([undefined, 'order:11', 'inventory:7, order:11']);
});

test('the cookie is for the gateway alone, for minutes, and over https for https only', async () => {
  gateways.push(await openGateway(['127.0.0.1']));
  const plain = await ask(new CookieJar());
  const attributes = 'Path=/; Max-Age=900; HttpOnly; SameSite=Lax';
  expect(plain.set).toEqual([
    expect.stringMatching(new RegExp(`^larder-at-[\\da-f]{12}=order:11\\.[\\w-]{43}; ${attributes}$`)),
  ]);
  const secure = await ask(new CookieJar(), { at: 2, headers: { 'x-forwarded-proto': 'https' } });
  expect(secure.set[0]).toMatch(/; SameSite=Lax; Secure$/);
});

test('a position that the caller sends themself counts besides those of the cookie', async () => {
  const jar = new CookieJar();
  await ask(jar);
  await ask(jar, { headers: { 'larder-position': 'order:40' } });
  expect(service.sent[1]).toBe('order:40, order:11');
});

test('the cookie is set only when there is something new, and never lowered', async () => {
  const jar = new CookieJar();
  await ask(jar);
  expect((await ask(jar)).set).toEqual([]);
  service.position = 'order:9';
  expect((await ask(jar)).set).toEqual([]);
  service.position = undefined;
  expect((await ask(jar)).set).toEqual([]);
  service.position = 'order:12';
  expect((await ask(jar)).set).toHaveLength(1);
});

test('an answer that a newer one has overtaken does not set the cookie back', async () => {
  const jar = new CookieJar();
  await ask(jar);
  let release!: () => void;
  Object.assign(service, { hold: new Promise<void>((resolve) => (release = resolve)), position: 'order:12' });
  const slow = ask(jar);
  await expect.poll(() => service.sent.length).toBe(2);
  Object.assign(service, { hold: Promise.resolve(), position: 'order:20' });
  await ask(jar, { method: 'POST' });
  release();
  await slow;
  await ask(jar);
  expect(service.sent.at(-1)).toBe('order:20');
});

test('of two gateways neither overwrites what the other has given', async () => {
  const jar = new CookieJar();
  await ask(jar, { at: 0 });
  let release!: () => void;
  Object.assign(service, { hold: new Promise<void>((resolve) => (release = resolve)), position: 'order:12' });
  const slow = ask(jar, { at: 1 });
  await expect.poll(() => service.sent.length).toBe(2);
  Object.assign(service, { hold: Promise.resolve(), position: 'order:20' });
  await ask(jar, { at: 0, method: 'POST' });
  release();
  await slow;
  await ask(jar, { at: 1 });
  expect(service.sent.at(-1)).toBe('order:20');
});

test('a cookie that is forged, cut or foreign counts as absent, and is deleted; the others stay', async () => {
  const jar = new CookieJar();
  await ask(jar);
  const good = jar.headers['cookie']!;
  const [name, value] = good.split('=') as [string, string];
  const foreign = sealPositions(parsePositions('order:80'), 'larder-at-1', ['another-secret..']);
  jar.keep([`${name}x=${value}`, `larder-at-1=${foreign}`, `larder-at-2=${value.slice(0, -1)}`, 'larder-at-3=']);
  jar.keep(['larder-session=another']);
  await ask(jar);
  expect(service.sent.at(-1)).toBe('order:11');
  expect(jar.headers['cookie']).toBe(`${good}; larder-session=another`);
});

test('a caller with the cookies of many gateways keeps one, with all that they said', async () => {
  const jar = new CookieJar();
  for (let i = 1; i <= 9; i++) {
    const name = `larder-at-${i}`;
    jar.keep([`${name}=${sealPositions(parsePositions(`order:${20 + i}`), name, SECRETS)}`]);
  }
  await ask(jar);
  expect(jar.headers['cookie']).toMatch(/^larder-at-[\da-f]{12}=order:29\.[\w-]+$/);
  await ask(jar);
  expect(service.sent.at(-1)).toBe('order:29');
});

test('a service that was restored from a backup answers a read without what was seen before, and the cookies are gone', async () => {
  const jar = new CookieJar();
  await ask(jar, { at: 1 });
  await ask(jar, { at: 0 });
  Object.assign(service, { head: 5n, position: 'order:5' });
  const read = await ask(jar);
  expect(read).toMatchObject({ status: 200, body: { sent: null } });
  expect(jar.headers['cookie']).toMatch(/^larder-at-[\da-f]{12}=order:5\.[\w-]+$/);
});

test('a position that the caller sent themself is theirs to forget', async () => {
  const jar = new CookieJar();
  await ask(jar);
  Object.assign(service, { head: 5n, position: 'order:5' });
  const read = await ask(jar, { headers: { 'larder-position': 'order:11' } });
  expect(read).toMatchObject({ status: 400, body: { code: 'unknown-position' } });
  expect(service.sent).toEqual([undefined, 'order:11, order:11', 'order:11']);
});

test('a write is not sent twice: it is told that the positions are forgotten, and then passes', async () => {
  const jar = new CookieJar();
  await ask(jar);
  Object.assign(service, { head: 5n, position: 'order:5' });
  const write = await ask(jar, { method: 'POST' });
  expect(write).toMatchObject({ status: 503, body: { code: 'position-forgotten', status: 503 } });
  expect(service.sent).toHaveLength(2);
  expect((await ask(jar, { method: 'POST' })).status).toBe(200);
});

test('nobody is given a cookie of whom it is not known who they are', async () => {
  expect((await ask(new CookieJar(), { path: '/prices' })).set).toEqual([]);
});
