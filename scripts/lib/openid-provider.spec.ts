/** The OpenID provider for development, by HTTP alone, as an application, a machine or curl meets it. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { Browser } from '#test/browser';
import { accountNames, accounts } from './accounts.js';
import { Advice } from './advice.js';
import { headerFile, headersIn, identityIn } from './data-folder.js';
import { freePort } from './embedded-postgres.js';
import { ownToken } from '../../apps/gateway/src/http/provider.js';
import type { GatewayConfig } from '../../apps/gateway/src/definition.js';
import { AUDIENCE, CLIENT, openProvider, type OpenIdProvider, type OpenIdProviderOptions } from './openid-provider.js';
import { PUBLISHED_BEFORE_MS, rotateKeys, TOKEN_LIFETIME_S } from './signing-keys.js';

let data: string;
let port: number;
let complaints: string[];
const open: OpenIdProvider[] = [];

beforeEach(async () => {
  data = mkdtempSync(join(tmpdir(), 'larder-identity-'));
  port = await freePort();
  complaints = [];
});

afterEach(async () => {
  for (const provider of open.splice(0)) await provider.close();
  rmSync(data, { recursive: true });
  expect(complaints).toEqual([]);
});

async function openHere(options: Partial<OpenIdProviderOptions> = {}): Promise<OpenIdProvider> {
  const warn = (complaint: string) => void complaints.push(complaint);
  const provider = await openProvider({ data, port, clock: new SystemClock(), warn, ...options });
  open.push(provider);
  return provider;
}

async function closeHere(): Promise<void> {
  await open.pop()!.close();
}

const url = (path: string) => `http://127.0.0.1:${port}${path}`;
const get = async (path: string) => (await fetch(url(path))).json() as Promise<any>;
const secret = () => readFileSync(join(identityIn(data), 'metrics-secret'), 'utf8');

/** Verifies an access token as a service does, by what the discovery document says. */
async function verify(token: string, at = new Date()) {
  const { issuer, jwks_uri } = await get('/.well-known/openid-configuration');
  const keys = createRemoteJWKSet(new URL(jwks_uri));
  const expected = { issuer, audience: AUDIENCE, typ: 'at+jwt', algorithms: ['ES256'], currentDate: at };
  return (await jwtVerify(token, keys, expected)).payload;
}

/** The answer to a request for a token with the machine's secret. */
async function askAsMachine(password = secret()) {
  const authorization = `Basic ${Buffer.from(`metrics:${password}`).toString('base64')}`;
  const body = new URLSearchParams({ grant_type: 'client_credentials' });
  const response = await fetch(url('/token'), { method: 'POST', headers: { authorization }, body });
  return { status: response.status, body: (await response.json()) as any };
}

const tokenOf = (account: keyof typeof accounts) =>
  /^Authorization: Bearer (\S+)\n$/.exec(readFileSync(headerFile(data, account), 'utf8'))![1]!;

const newBrowser = () => new Browser(url('/'));

const REDIRECT = 'http://localhost:5173/callback';

function authorization(verifier: string, changed: Record<string, string> = {}): string {
  const challenge = createHash('sha256').update(verifier).digest('base64url');
  const query = new URLSearchParams({
    client_id: CLIENT,
    redirect_uri: REDIRECT,
    response_type: 'code',
    scope: 'openid profile',
    code_challenge: challenge,
    code_challenge_method: 'S256',
    state: 'a-state',
    ...changed,
  });
  return `/auth?${query}`;
}

async function exchange(code: string, verifier: string, redirect = REDIRECT) {
  const body = new URLSearchParams({
    grant_type: 'authorization_code',
    client_id: CLIENT,
    redirect_uri: redirect,
    code,
    code_verifier: verifier,
  });
  const response = await fetch(url('/token'), { method: 'POST', body });
  return { status: response.status, body: (await response.json()) as any };
}

/** Logs somebody in, and returns the code that the application gets. */
async function logIn(browser: Browser, account: string, verifier: string): Promise<string> {
  const page = await browser.go(authorization(verifier));
  expect(page.at.pathname).toMatch(/^\/interaction\//);
  const { at } = await browser.go(page.at.href, { form: { account } });
  expect(`${at.origin}${at.pathname}`).toBe(REDIRECT);
  expect(at.searchParams.get('state')).toBe('a-state');
  return at.searchParams.get('code')!;
}

const newVerifier = () => randomBytes(32).toString('base64url');

test('the discovery document says where everything is', async () => {
  await openHere();
  expect(await get('/.well-known/openid-configuration')).toMatchObject({
    issuer: url(''),
    jwks_uri: url('/jwks'),
    authorization_endpoint: url('/auth'),
    token_endpoint: url('/token'),
    grant_types_supported: expect.arrayContaining(['authorization_code', 'client_credentials']),
    response_types_supported: ['code'],
    code_challenge_methods_supported: ['S256'],
    id_token_signing_alg_values_supported: expect.arrayContaining(['ES256']),
  });
});

test('its address in a browser says what it is, and who there is', async () => {
  await openHere({ issuer: 'http://identity:3000' });
  const { status, text } = await newBrowser().go('/');
  expect([status, text]).toEqual([200, expect.stringContaining('<strong>http://identity:3000</strong>')]);
  for (const name of accountNames) expect(text).toContain(`<strong>${name}</strong>: ${accounts[name].name}, `);
});

test('no private part of a key is published, and only the owner can read the files', async () => {
  await openHere();
  const { keys } = await get('/jwks');
  expect(keys).toEqual([
    {
      kty: 'EC',
      crv: 'P-256',
      alg: 'ES256',
      use: 'sig',
      kid: expect.any(String),
      x: expect.any(String),
      y: expect.any(String),
    },
  ]);
  const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);
  expect([identityIn(data), headersIn(data)].map(modeOf)).toEqual(['700', '700']);
  const files = ['keys.json', 'metrics-secret'].map((name) => join(identityIn(data), name));
  expect([...files, ...accountNames.map((name) => headerFile(data, name))].map(modeOf)).toEqual(
    Array.from({ length: files.length + accountNames.length }, () => '600'),
  );
});

describe('a machine', () => {
  test('gets an access token for its secret', async () => {
    await openHere();
    const { status, body } = await askAsMachine();
    expect([status, body.token_type, body.expires_in]).toEqual([200, 'Bearer', TOKEN_LIFETIME_S]);
    const claims = await verify(body.access_token);
    expect(claims).toMatchObject({
      iss: url(''),
      aud: 'larder',
      sub: 'metrics',
      client_id: 'metrics',
      roles: ['service'],
    });
    expect(claims.exp! - claims.iat!).toBe(TOKEN_LIFETIME_S);
    expect(claims.jti).toEqual(expect.any(String));
    expect(decodeProtectedHeader(body.access_token)).toMatchObject({ typ: 'at+jwt', alg: 'ES256' });
  });

  test('the gateway gets one where its secret is set, and otherwise is no machine', async () => {
    const variables = { AUTH_ISSUER: url(''), AUTH_AUDIENCE: AUDIENCE, GATEWAY_CLIENT_ID: 'gateway' };
    const tokenBy = (secret: string) => ownToken({ ...variables, GATEWAY_CLIENT_SECRET: secret } as GatewayConfig)!();
    await openHere({ gatewaySecret: 'of the gateway' });
    expect(await verify(await tokenBy('of the gateway'))).toMatchObject({ sub: 'gateway', roles: ['service'] });
    await expect(tokenBy('another')).rejects.toThrow();
    await closeHere();
    await openHere();
    await expect(tokenBy('of the gateway')).rejects.toThrow();
  });

  test('gets none for another secret, nor does somebody who has none', async () => {
    await openHere();
    expect(await askAsMachine('guessed')).toMatchObject({ status: 401, body: { error: 'invalid_client' } });
    const body = new URLSearchParams({ grant_type: 'client_credentials', client_id: CLIENT });
    expect(await (await fetch(url('/token'), { method: 'POST', body })).json()).toMatchObject({
      error: 'invalid_request',
    });
  });
});

describe('a person', () => {
  test('chooses on a page who to be, and the application gets an access token by code and PKCE', async () => {
    await openHere();
    const verifier = newVerifier();
    const browser = newBrowser();
    const page = await browser.go(authorization(verifier));
    expect(page.text).toContain('Who are you?');
    expect(page.text).toContain('For development only.');
    const choices = [...page.text.matchAll(/name="account" value="(\w+)"/g)].map(([, name]) => name);
    expect(choices).toEqual(['customer', 'other', 'clerk', 'operator']);

    const { status, body } = await exchange(await logIn(browser, 'other', verifier), verifier);
    expect(status).toBe(200);
    const claims = await verify(body.access_token);
    expect(claims).toMatchObject({ sub: accounts.other.subject, client_id: CLIENT, roles: ['customer'] });
    expect(decodeJwt(body.id_token)).toMatchObject({
      aud: CLIENT,
      sub: accounts.other.subject,
      name: 'Ben',
      roles: ['customer'],
    });
  });

  test('is asked each time, and so can be somebody else', async () => {
    await openHere();
    const browser = newBrowser();
    const roles = [];
    for (const account of ['clerk', 'operator']) {
      const verifier = newVerifier();
      const { body } = await exchange(await logIn(browser, account, verifier), verifier);
      roles.push(decodeJwt(body.access_token)['roles']);
    }
    expect(roles).toEqual([['clerk'], ['operator']]);
  });

  test('may log in to two applications at once, as two people', async () => {
    await openHere();
    const browser = newBrowser();
    const [first, second] = [newVerifier(), newVerifier()];
    const page = await browser.go(authorization(first));
    const { body } = await exchange(await logIn(browser, 'clerk', second), second);
    expect(decodeJwt(body.access_token)['roles']).toEqual(['clerk']);
    const { at } = await browser.go(page.at.href, { form: { account: 'customer' } });
    const other = await exchange(at.searchParams.get('code')!, first);
    expect(decodeJwt(other.body.access_token)['roles']).toEqual(['customer']);
  });

  test('can cancel', async () => {
    await openHere();
    const browser = newBrowser();
    const page = await browser.go(authorization(newVerifier()));
    const { at } = await browser.go(page.at.href, { form: { cancel: 'yes' } });
    expect(Object.fromEntries(at.searchParams)).toMatchObject({ error: 'access_denied', state: 'a-state' });
    expect(at.searchParams.has('code')).toBe(false);
  });

  test.each(['nobody', 'metrics', 'constructor', ''])('cannot choose "%s"', async (account) => {
    await openHere();
    const browser = newBrowser();
    const page = await browser.go(authorization(newVerifier()));
    expect(await browser.go(page.at.href, { form: { account } })).toMatchObject({
      status: 422,
      text: expect.stringContaining('Nobody by that name'),
    });
    expect(await browser.go(page.at.href, { form: { account: 'x'.repeat(5_000) } })).toMatchObject({ status: 422 });
  });

  test("cannot answer another browser's login", async () => {
    await openHere();
    const page = await newBrowser().go(authorization(newVerifier()));
    const answer = await newBrowser().go(page.at.href, { form: { account: 'operator' } });
    expect(answer).toMatchObject({ status: 400, text: expect.stringContaining('This login is over') });
  });

  test('meets pages without scripts, which no other page can frame', async () => {
    await openHere();
    const { headers, text } = await newBrowser().go(authorization(newVerifier()));
    expect(headers.get('content-security-policy')).toMatch(/default-src 'none'.*frame-ancestors 'none'/);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(text).not.toContain('<script');
  });
});

describe('is refused:', () => {
  test.each([
    ['another address of this machine', 'http://localhost:5173/elsewhere'],
    ['another host', 'https://shop.example/callback'],
    ['a host that begins like ours', 'http://127.0.0.1.example/callback'],
  ])('a login that leads to %s', async (_, redirect) => {
    await openHere();
    const page = await newBrowser().go(authorization(newVerifier(), { redirect_uri: redirect }));
    expect(page).toMatchObject({ status: 400, text: expect.stringContaining('redirect_uri') });
    expect(page.at.host).toBe(`127.0.0.1:${port}`);
  });

  test('a login without PKCE', async () => {
    await openHere();
    const { at } = await newBrowser().go(authorization('', { code_challenge: '', code_challenge_method: '' }));
    expect(at.searchParams.get('error')).toBe('invalid_request');
  });

  test('a code with another verifier, for another address, or a second time', async () => {
    await openHere();
    const verifier = newVerifier();
    const newCode = () => logIn(newBrowser(), 'customer', verifier);
    const refused = { status: 400, body: { error: 'invalid_grant' } };
    expect(await exchange(await newCode(), newVerifier())).toMatchObject(refused);
    expect(await exchange(await newCode(), verifier, 'http://127.0.0.1:5173/callback')).toMatchObject(refused);
    const code = await newCode();
    expect(await exchange(code, verifier)).toMatchObject({ status: 200 });
    expect(await exchange(code, verifier)).toMatchObject(refused);
  });
});

describe('from outside', () => {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const outside = addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address;

  test.skipIf(!outside)('it cannot be reached', async () => {
    await openHere();
    await expect(fetch(`http://${outside}:${port}/jwks`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  });

  /** fetch does not let a Host be set. */
  const statusFor = (host: string) =>
    new Promise<number>((done, failed) => {
      request({ port, host: '127.0.0.1', path: '/jwks', headers: { host } }, (response) =>
        done(response.resume().statusCode!),
      )
        .on('error', failed)
        .end();
    });

  test('it answers to its own names, and to none that another site has given this machine', async () => {
    await openHere({ issuer: 'http://identity:3000' });
    for (const host of ['identity:3000', 'localhost:4000', `127.0.0.1:${port}`, '[::1]:3000'])
      expect(await statusFor(host)).toBe(200);
    for (const host of ['shop.example', 'identity.example:3000', '127.0.0.1.example', '169.254.1.1', 'x y'])
      expect(await statusFor(host)).toBe(421);
  });

  test('its tokens name the issuer that it was given, and its document leads to where it was asked', async () => {
    await openHere({ issuer: 'http://identity:3000' });
    expect(await get('/.well-known/openid-configuration')).toMatchObject({
      issuer: 'http://identity:3000',
      authorization_endpoint: url('/auth'),
    });
    expect((await verify(tokenOf('clerk'))).iss).toBe('http://identity:3000');
  });

  test('pages of this machine may call it, and others may not', async () => {
    await openHere();
    const verifier = newVerifier();
    const allowed = async (origin: string) => {
      const code = await logIn(newBrowser(), 'customer', verifier);
      const body = new URLSearchParams({
        grant_type: 'authorization_code',
        client_id: CLIENT,
        redirect_uri: REDIRECT,
        code,
        code_verifier: verifier,
      });
      const response = await fetch(url('/token'), { method: 'POST', body, headers: { origin } });
      return response.headers.get('access-control-allow-origin');
    };
    expect(await allowed('http://localhost:5173')).toBe('http://localhost:5173');
    expect(await allowed('https://shop.example')).toBe(null);
    expect(await allowed('null')).toBe(null);
  });
});

describe('keys', () => {
  const keyIds = async () => (await get('/jwks')).keys.map(({ kid }: { kid: string }) => kid) as string[];

  test('and secret survive a restart: a token from before is still good', async () => {
    await openHere();
    const { body } = await askAsMachine();
    const before = [await keyIds(), secret()];
    await closeHere();
    await openHere();
    expect([await keyIds(), secret()]).toEqual(before);
    await verify(body.access_token);
  });

  test('are rotated while it is open: the new one is published, then signs, and the old one stays as long as its tokens', async () => {
    const clock = new ManualClock(new Date().toISOString());
    await openHere({ clock });
    const [first] = await keyIds();
    const signedBy = async () => decodeProtectedHeader((await askAsMachine()).body.access_token).kid;
    const old = (await askAsMachine()).body.access_token;

    const signsFrom = await rotateKeys(identityIn(data), clock);
    expect(signsFrom.getTime() - clock.now().getTime()).toBe(PUBLISHED_BEFORE_MS);
    const [, second] = await keyIds();
    expect(await keyIds()).toEqual([first, second]);
    expect(await signedBy()).toBe(first);

    clock.set(PUBLISHED_BEFORE_MS);
    expect(await signedBy()).toBe(second);
    expect(new Set(await keyIds())).toEqual(new Set([first, second]));
    await verify(old);

    clock.set(TOKEN_LIFETIME_S * 1_000);
    expect(await keyIds()).toContain(first);
    clock.set(60_001);
    expect(await keyIds()).toEqual([second]);
    await expect(verify(old)).rejects.toMatchObject({ code: 'ERR_JWKS_NO_MATCHING_KEY' });
  });

  test('may be rotated during a login', async () => {
    const clock = new ManualClock(new Date().toISOString());
    await openHere({ clock });
    const browser = newBrowser();
    const verifier = newVerifier();
    const page = await browser.go(authorization(verifier));
    await rotateKeys(identityIn(data), clock);
    clock.set(PUBLISHED_BEFORE_MS);
    const { at } = await browser.go(page.at.href, { form: { account: 'customer' } });
    await verify((await exchange(at.searchParams.get('code')!, verifier)).body.access_token);
  });

  test('may be rotated several times in a row', async () => {
    const clock = new ManualClock();
    await openHere({ clock });
    for (let i = 0; i < 3; i++) await rotateKeys(identityIn(data), clock);
    expect(new Set(await keyIds()).size).toBe(4);
  });

  test.each(['', '{}', '[]', '[{"signsFrom":"2026-01-01T00:00:00Z","key":{"kty":"oct","k":"c2VjcmV0"}}]'])(
    'in a file that says %j are refused, with the remedy',
    async (text) => {
      await openHere();
      await closeHere();
      const file = join(identityIn(data), 'keys.json');
      writeFileSync(file, text);
      const refused = await openHere().catch((error: unknown) => error);
      expect(refused).toBeInstanceOf(Advice);
      expect((refused as Advice).message).toBe(
        `${file} does not hold the keys of the OpenID provider. Delete it, and the provider makes a new key: tokens from before are then refused.`,
      );
    },
  );

  test('that are lost while it is open are replaced', async () => {
    await openHere();
    const before = await keyIds();
    rmSync(join(identityIn(data), 'keys.json'));
    const after = await keyIds();
    expect(after).toHaveLength(1);
    expect(after).not.toEqual(before);
    await verify((await askAsMachine()).body.access_token, new Date());
  });

  test('that cannot be read any more are reported, and the provider stays open', async () => {
    await openHere();
    const file = join(identityIn(data), 'keys.json');
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, 'broken');
    expect((await fetch(url('/jwks'))).status).toBe(500);
    expect(complaints.splice(0)).toEqual([expect.stringContaining(`${file} does not hold the keys`)]);
    writeFileSync(file, text);
    expect(await keyIds()).toHaveLength(1);
  });
});

describe('header files', () => {
  const texts = () => accountNames.map((name) => readFileSync(headerFile(data, name), 'utf8'));

  test('hold a line for curl with a token for each account', async () => {
    await openHere();
    for (const name of accountNames) {
      const { subject, roles } = accounts[name];
      expect(await verify(tokenOf(name))).toMatchObject({
        sub: subject,
        roles,
        client_id: CLIENT,
        jti: expect.any(String),
      });
    }
  });

  test('are renewed when half of the life of a token is over', async () => {
    const clock = new ManualClock();
    await openHere({ clock });
    const before = texts();
    const halfMs = (TOKEN_LIFETIME_S / 2) * 1_000;
    await clock.advance(halfMs - 1_000);
    expect(texts()).toEqual(before);
    await clock.advance(30_000);
    await expect.poll(texts).not.toContain(before.at(-1));
    expect(texts().filter((each) => before.includes(each))).toEqual([]);
    expect(decodeJwt(tokenOf('customer')).exp! * 1_000).toBeGreaterThan(clock.now().getTime() + halfMs);
  });

  test('are renewed at once after the clock was set, or the machine has slept', async () => {
    const clock = new ManualClock();
    await openHere({ clock });
    for (const leapMs of [10 * 3_600_000, -20 * 3_600_000]) {
      const before = texts();
      clock.set(leapMs);
      await expect.poll(() => clock.sleeping).toBe(1);
      await clock.advance(30_000);
      await expect.poll(texts).not.toContain(before.at(-1));
      await verify(tokenOf('customer'), clock.now());
    }
  });

  test('are written again when one was deleted', async () => {
    const clock = new ManualClock();
    await openHere({ clock });
    rmSync(headerFile(data, 'metrics'));
    await clock.advance(30_000);
    await expect.poll(() => existsSync(headerFile(data, 'metrics'))).toBe(true);
  });

  test('go with the provider, and with nothing that somebody else has put beside them', async () => {
    await openHere();
    await closeHere();
    expect(existsSync(headersIn(data))).toBe(false);
    await openHere();
    writeFileSync(join(headersIn(data), 'my-own'), '');
    await closeHere();
    expect(existsSync(join(headersIn(data), 'my-own'))).toBe(true);
    expect(accountNames.filter((name) => existsSync(headerFile(data, name)))).toEqual([]);
  });
});

test('a port that is in use is named, with its variable, and nothing is written over', async () => {
  await openHere();
  const before = tokenOf('customer');
  await expect(openHere()).rejects.toThrow(
    new RegExp(`^Port ${port} is in use .* Free it, or set IDENTITY_PORT to another port\\.$`),
  );
  expect(tokenOf('customer')).toBe(before);
});

test('an address that this machine does not have is named, with the variables', async () => {
  await expect(openHere({ host: '192.0.2.1' })).rejects.toThrow(
    /cannot listen at 192\.0\.2\.1:\d+: .*IDENTITY_PORT.*HOST/,
  );
});
