/** What a session's cookie lets a browser do, and what it does not. */
import type { FastifyReply } from 'fastify';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { logIn, openGateway, sessionOf } from '#test/gateway';
import { headerFile } from '../../../../scripts/lib/data-folder.js';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import { openProvider, type OpenIdProvider } from '../../../../scripts/lib/openid-provider.js';
import { SealedCookie } from './sealed-cookie.js';

const SECRET = 'a secret of this spec';

let data: string;
let provider: OpenIdProvider;
let order: Server;
let arrived: { readonly method: string; readonly url: string; readonly headers: IncomingHttpHeaders }[];
let gateway: Awaited<ReturnType<typeof openGateway>>;

beforeAll(async () => {
  data = mkdtempSync(join(tmpdir(), 'larder-sessions-'));
  const [port, orderPort] = [await freePort(), await freePort()];
  provider = await openProvider({ data, port, clock: new SystemClock(), warn: (complaint) => expect.fail(complaint) });
  order = createServer(({ method, url, headers }, response) => {
    if (url !== '/health/ready') arrived.push({ method: method!, url: url!, headers });
    response.setHeader('content-type', 'application/json').end('{}');
  });
  await new Promise<void>((done) => order.listen(orderPort, '127.0.0.1', done));
  gateway = await openGateway(provider.issuer, {
    ORDER_URL: `http://127.0.0.1:${orderPort}`,
    GATEWAY_SECRET: `${SECRET}, the one before it`,
  });
});
afterAll(async () => {
  await gateway.stop();
  order.closeAllConnections();
  order.close();
  await provider.close();
  rmSync(data, { recursive: true });
});
beforeEach(() => void (arrived = []));

/** Somebody who has logged in. */
async function loggedIn(account = 'customer') {
  const browser = gateway.newBrowser();
  await logIn(browser, account);
  return { browser, csrf: (await sessionOf(browser)).csrf as string };
}

const json = { accept: 'application/json' };
const tokenOf = (account: 'customer' | 'operator') =>
  readFileSync(headerFile(data, account), 'utf8').trim().replace('Authorization: ', '');

/** A cookie of a session as the gateway with this secret has made it. */
async function sealed(
  { token = tokenOf('customer').replace('Bearer ', ''), secret = SECRET, name = 'larder-session' } = {},
  seconds = 60,
): Promise<string> {
  const clock = new SystemClock();
  let set = '';
  const reply = { header: (_: string, value: string) => (set = value) } as unknown as FastifyReply;
  const content = { token, name: 'Ada', csrf: 'its-csrf' };
  const endsAt = Math.floor(clock.now().getTime() / 1_000) + seconds;
  await new SealedCookie(name, { secrets: [secret], isHttps: false, clock }).set(reply, content, endsAt);
  return set.split(';', 1)[0]!;
}

async function ask(path: string, headers: Record<string, string>, method = 'GET') {
  const answer = await fetch(`${gateway.url}${path}`, { method, headers: { ...json, ...headers }, redirect: 'manual' });
  const body = (await answer.json()) as any;
  return { status: answer.status, code: body.code, body, set: answer.headers.getSetCookie(), headers: answer.headers };
}

const DELETED = [expect.stringMatching(/^larder-session=; .*Max-Age=0$/)];

test('a read goes to its service with the access token, and without what is between browser and gateway', async () => {
  const { browser, csrf } = await loggedIn();
  const { status } = await browser.go('/orders?limit=3', { headers: { ...json, 'larder-csrf': csrf } });
  expect(status).toBe(200);
  expect(arrived).toMatchObject([
    { method: 'GET', url: '/orders?limit=3', headers: { authorization: expect.stringMatching(/^Bearer eyJ/) } },
  ]);
  for (const name of ['cookie', 'larder-csrf']) expect(arrived[0]!.headers).not.toHaveProperty(name);
});

test('what a role may not do, its session may not either', async () => {
  const { browser, csrf } = await loggedIn('customer');
  const headers = { ...json, 'larder-csrf': csrf };
  const { status, text } = await browser.go('/prices/honey', { method: 'PUT', headers });
  expect([status, JSON.parse(text).code, arrived]).toEqual([403, 'forbidden', []]);
});

test('a token that a request has of its own counts, and then neither its cookie nor the CSRF token does', async () => {
  const headers = { cookie: await sealed(), authorization: tokenOf('operator') };
  expect((await ask('/session', headers)).body).toMatchObject({ caller: { subject: 'otto' } });
  expect((await ask('/payment/admin/attention', headers)).status).toBe(503); // There is no payment service: it was let in.
  expect((await ask('/orders/x/cancel', { ...headers, authorization: tokenOf('customer') }, 'POST')).status).toBe(200);
  // A wrong one is not made good by a cookie.
  for (const authorization of ['', 'Bearer x', 'Basic YTpi'])
    expect([authorization, (await ask('/orders', { ...headers, authorization })).status]).toEqual([authorization, 401]);
});

describe('a write', () => {
  test('with the token of its session goes on', async () => {
    const { browser, csrf } = await loggedIn();
    const headers = { ...json, 'larder-csrf': csrf };
    for (let i = 0; i < 2; i++)
      expect((await browser.go('/orders/x/cancel', { method: 'POST', headers })).status).toBe(200);
    expect(arrived).toHaveLength(2);
  });

  const { id, of } = { id: '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e', of: 'x' };
  test.each([
    ['POST', '/orders'],
    ['POST', `/orders/${of}/cancel`],
    ['PUT', '/prices/honey'],
    ['DELETE', `/customers/${id}/personal-data`],
    ['POST', '/payment/admin/attention/x'],
    ['POST', '/logout'],
  ])('without one is refused before anything else: %s %s', async (method, path) => {
    const answer = await ask(path, { cookie: await sealed() }, method);
    expect([answer.status, answer.code, arrived]).toEqual([403, 'csrf', []]);
  });

  test.each(['', 'guessed', 'its-csr', 'its-csrf ,x', 'its-csrfx', 'undefined', 'ITS-CSRF'])(
    'with the token "%s" is refused',
    async (csrf) => {
      const answer = await ask('/orders/x/cancel', { cookie: await sealed(), 'larder-csrf': csrf }, 'POST');
      expect([answer.status, answer.code, arrived]).toEqual([403, 'csrf', []]);
    },
  );

  test("with another session's token is refused, also with one of the same person, or of a session before", async () => {
    const [ada, same, ben] = [await loggedIn(), await loggedIn(), await loggedIn('other')];
    const before = ada.csrf;
    await logIn(ada.browser, 'customer');
    for (const csrf of [same.csrf, ben.csrf, before]) {
      const headers = { ...json, 'larder-csrf': csrf };
      const { status, text } = await ada.browser.go('/orders/x/cancel', { method: 'POST', headers });
      expect([status, JSON.parse(text).code]).toEqual([403, 'csrf']);
    }
    expect(arrived).toEqual([]);
  });

  test('with a token that was good before the logout is refused, also after the next login', async () => {
    const { browser, csrf } = await loggedIn();
    const headers = { ...json, 'larder-csrf': csrf };
    const logout = await browser.go('/logout', { method: 'POST', headers });
    expect([logout.status, JSON.parse(logout.text)]).toEqual([200, { location: '/' }]);
    expect(browser.valueOf('larder-session')).toBeUndefined();
    expect((await browser.go('/orders/x/cancel', { method: 'POST', headers })).status).toBe(401);
    await logIn(browser, 'customer');
    expect((await browser.go('/orders/x/cancel', { method: 'POST', headers })).status).toBe(403);
    expect(arrived).toEqual([]);
  });

  test('that a page of another site sends is refused, whatever it has', async () => {
    const headers = { cookie: await sealed(), 'larder-csrf': 'its-csrf', 'sec-fetch-site': 'same-site' };
    expect((await ask('/orders/x/cancel', headers, 'POST')).code).toBe('cross-site');
  });
});

test('a logout without a session has nothing to do', async () => {
  expect(await ask('/logout', {}, 'POST')).toMatchObject({ status: 200, body: { location: '/' }, set: DELETED });
});

describe('a session that has ended', () => {
  test('is told from none, once, with the way to a new one', async () => {
    const cookie = await sealed({}, -1);
    for (const [method, path] of [
      ['GET', '/orders'],
      ['POST', '/orders'],
    ] as const) {
      const { status, code, body, set, headers } = await ask(path, { cookie }, method);
      expect([status, code, set]).toEqual([401, 'session-ended', DELETED]);
      expect(body.detail).toContain('/login');
      expect(headers.get('www-authenticate')).toBe('Bearer realm="larder"');
    }
    expect((await ask('/orders', {})).code).toBe('unauthenticated');
    expect(arrived).toEqual([]);
  });

  test('keeps nobody from what is for anyone: from logging in anew, above all', async () => {
    const cookie = await sealed({}, -1);
    expect(await ask('/session', { cookie })).toMatchObject({ status: 200, body: {}, set: DELETED });
    expect(await ask('/logout', { cookie }, 'POST')).toMatchObject({ status: 200, body: { location: '/' } });
    const login = await fetch(`${gateway.url}/login`, { headers: { cookie }, redirect: 'manual' });
    expect(login.status).toBe(303);
  });

  test('because its token is accepted no more is over for the page, too', async () => {
    const cookie = await sealed({ token: `${tokenOf('customer').replace('Bearer ', '').slice(0, -8)}AAAAAAAA` });
    expect((await ask('/orders', { cookie })).code).toBe('token-invalid');
    expect(await ask('/session', { cookie })).toMatchObject({ status: 200, body: {}, set: DELETED });
  });
});

describe('a cookie', () => {
  test.each<[string, () => Promise<string>]>([
    ['of another secret', () => sealed({ secret: 'of somebody else' })],
    ['that is cut', async () => (await sealed()).slice(0, -3)],
    ['that is empty', async () => 'larder-session='],
    ['that is a bare token', async () => `larder-session=${tokenOf('customer').replace('Bearer ', '')}`],
    ['of a login', async () => (await sealed({ name: 'larder-login' })).replace('larder-login', 'larder-session')],
  ])('%s counts as none, and is deleted', async (_, make) => {
    const cookie = await make();
    expect(await ask('/orders', { cookie })).toMatchObject({ status: 401, code: 'unauthenticated', set: DELETED });
    expect(await ask('/session', { cookie })).toMatchObject({ status: 200, body: {}, set: DELETED });
    expect(arrived).toEqual([]);
  });

  test('of the secret before is good while both are known', async () => {
    const cookie = await sealed({ secret: 'the one before it' });
    expect((await ask('/session', { cookie })).body).toMatchObject({ caller: { name: 'Ada' }, csrf: 'its-csrf' });
  });

  test('of a session does not pass for one of a login', async () => {
    const cookie = (await sealed()).replace('larder-session', 'larder-login');
    expect((await ask('/callback?state=undefined&code=x', { cookie })).code).toBe('login-over');
  });
});
