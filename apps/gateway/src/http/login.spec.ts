/** Login for browsers, by HTTP alone: at the provider for development, and at one that does what it should not. */
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from 'jose';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as textOf } from 'node:stream/consumers';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { logIn, openGateway, sessionOf } from '#test/gateway';
import { headerFile } from '../../../../scripts/lib/data-folder.js';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import { openProvider, type OpenIdProvider } from '../../../../scripts/lib/openid-provider.js';

type Key = Parameters<SignJWT['sign']>[0];
type Gateway = Awaited<ReturnType<typeof openGateway>>;

const atCallback = ({ pathname }: URL) => pathname === '/callback';
const json = { accept: 'application/json' };

describe('at the provider for development', () => {
  let data: string;
  let port: number;
  let provider: OpenIdProvider;
  let gateway: Gateway;

  const openProviderHere = async () =>
    (provider = await openProvider({
      data,
      port,
      clock: new SystemClock(),
      warn: (complaint) => expect.fail(complaint),
    }));

  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'larder-login-'));
    port = await freePort();
    await openProviderHere();
    gateway = await openGateway(provider.issuer);
  });
  afterAll(async () => {
    await gateway.stop();
    await provider.close();
    rmSync(data, { recursive: true });
  });

  /** Somebody who has chosen an account: what they are led back to, before they go there. */
  async function atTheDoor(account = 'customer', returnTo = '/session') {
    const browser = gateway.newBrowser(atCallback);
    const { at } = await logIn(browser, account, returnTo);
    return { browser, at };
  }

  test('somebody logs in, comes back to where they were, and the page is told who they are', async () => {
    const browser = gateway.newBrowser();
    const { at, status, text } = await logIn(browser, 'clerk', '/session?from=here');
    expect([at.href, status]).toEqual([`${gateway.url}/session?from=here`, 200]);
    expect(JSON.parse(text)).toEqual({
      caller: { subject: 'cleo', name: 'Cleo', roles: ['clerk'], may: expect.any(Array) },
      csrf: expect.stringMatching(/^[\w-]{22}$/),
    });
  });

  test('what they may is what the table of access says of their roles, and nothing that is for anyone', async () => {
    const [clerk, operator] = [gateway.newBrowser(), gateway.newBrowser()];
    await logIn(clerk, 'clerk');
    await logIn(operator, 'operator');
    const [mayClerk, mayOperator] = [(await sessionOf(clerk)).caller.may, (await sessionOf(operator)).caller.may];
    expect(mayClerk).toEqual(expect.arrayContaining(['PUT /prices/:sku', 'POST /orders', 'GET /orders/:orderId']));
    expect(mayOperator).toEqual(expect.arrayContaining(['GET /payment/admin/attention', 'GET /orders/:orderId']));
    expect(mayClerk).not.toContain('GET /payment/admin/attention');
    expect(mayOperator).not.toContain('PUT /prices/:sku');
    for (const each of ['GET /login', 'POST /webhooks/payments']) expect(mayOperator).not.toContain(each);
  });

  test('no page gets a token: the cookies are sealed, scripts cannot read them, and answers hold none', async () => {
    const { browser, at } = await atTheDoor();
    const { text, headers, asked } = await browser.go(at.href);
    expect([text, ...asked].join('\n')).not.toMatch(/eyJ[\w-]+\.eyJ/);
    const cookies = headers.getSetCookie();
    expect(headers.get('cache-control')).toBe('no-store');
    expect(cookies).toEqual([]); // Nothing but /callback sets one.
    expect(browser.valueOf('larder-session')).toMatch(/^[\w-]+\.\.[\w-]+\.[\w-]+\.[\w-]+$/);
    expect(browser.valueOf('larder-login')).toBeUndefined();
  });

  test('a login asks with PKCE, and with a state and a nonce that are new each time', async () => {
    const browser = gateway.newBrowser(({ pathname }) => pathname === '/auth');
    const asked = [];
    for (let i = 0; i < 2; i++) asked.push((await browser.go('/login')).at.searchParams);
    const [first, second] = asked.map((each) => Object.fromEntries(each));
    expect(first).toEqual({
      client_id: 'larder',
      response_type: 'code',
      redirect_uri: `${gateway.url}/callback`,
      scope: 'openid profile',
      audience: 'larder',
      state: expect.any(String),
      nonce: expect.any(String),
      code_challenge: expect.any(String),
      code_challenge_method: 'S256',
    });
    for (const each of ['state', 'nonce', 'code_challenge']) expect(first![each]).not.toBe(second![each]);
  });

  test('each login begins another session, also in a browser that has one', async () => {
    const browser = gateway.newBrowser();
    await logIn(browser, 'customer');
    const [before, cookie] = [await sessionOf(browser), browser.valueOf('larder-session')];
    await logIn(browser, 'operator');
    const after = await sessionOf(browser);
    expect([before.caller.name, after.caller.name]).toEqual(['Ada', 'Otto']);
    expect(after.csrf).not.toBe(before.csrf);
    expect(browser.valueOf('larder-session')).not.toBe(cookie);
  });

  test('nobody is logged in without a cookie, and a token of its own counts as in any request', async () => {
    expect(await sessionOf(gateway.newBrowser())).toEqual({});
    const [name, value] = readFileSync(headerFile(data, 'operator'), 'utf8').trim().split(': ') as [string, string];
    const answer = await fetch(`${gateway.url}/session`, { headers: { [name]: value } });
    expect(await answer.json()).toEqual({
      caller: { subject: 'otto', name: 'otto', roles: ['operator'], may: expect.any(Array) },
    });
    expect(answer.headers.get('cache-control')).toBe('no-store');
    expect((await fetch(`${gateway.url}/session`, { headers: { [name]: `${value}x` } })).status).toBe(401);
  });

  test.each([
    'https://evil.example/',
    '//evil.example',
    '/\\evil.example',
    '/%2fevil.example',
    '/.//evil.example',
    'javascript:alert(1)',
  ])('a login that should lead to %s leads to the start', async (returnTo) => {
    const { browser, at } = await atTheDoor('customer', returnTo);
    expect((await browser.go(at.href)).at.href).toBe(`${gateway.url}/`);
  });

  test('under another name of this machine it goes to the one that the provider leads back to', async () => {
    const { host } = new URL(gateway.url.replace('localhost', '127.0.0.1'));
    const answer = await fetch(`http://${host}/login?returnTo=%2Forders`, { redirect: 'manual' });
    expect([answer.status, answer.headers.get('location'), answer.headers.getSetCookie()]).toEqual([
      303,
      `${gateway.url}/login?returnTo=%2Forders`,
      [],
    ]);
  });

  const OVER = { status: 400, text: expect.stringContaining('This login is over') };

  describe('is refused, with the way to log in again:', () => {
    test.each([
      ['without its state', (at: URL) => at.searchParams.delete('state')],
      ['with an empty state', (at: URL) => at.searchParams.set('state', '')],
      ['with another state', (at: URL) => at.searchParams.set('state', 'guessed')],
    ])('a login %s', async (_, change) => {
      const { browser, at } = await atTheDoor();
      change(at);
      expect(await browser.go(at.href)).toMatchObject(OVER);
      expect(await sessionOf(browser)).toEqual({});
    });

    test("another browser's login: nobody can be logged in as somebody else", async () => {
      const { at } = await atTheDoor('other');
      const victim = gateway.newBrowser();
      expect(await victim.go(at.href)).toMatchObject(OVER);
      await victim.go('/login'); // It has a login of its own under way.
      const page = await victim.go(at.href);
      expect(page).toMatchObject(OVER);
      expect(page.text).toContain('<a href="/login?returnTo=%2F">Log in</a>');
      expect(await sessionOf(victim)).toEqual({});
    });

    test("somebody else's code with one's own state: the verifier is another", async () => {
      const { at: theirs } = await atTheDoor('operator');
      const { browser, at } = await atTheDoor('customer', '/orders');
      at.searchParams.set('code', theirs.searchParams.get('code')!);
      const page = await browser.go(at.href);
      expect(page).toMatchObject(OVER);
      expect(page.text).toContain('/login?returnTo=%2Forders'); // What was wanted is not forgotten.
      expect(await sessionOf(browser)).toEqual({});
    });

    test('one that is sent twice, by the browser or with a copy of its cookies', async () => {
      const { browser, at } = await atTheDoor();
      const cookie = browser.cookiesFor(at);
      await browser.go(at.href);
      expect(await browser.go(at.href)).toMatchObject(OVER);
      const again = await fetch(at, { headers: { cookie, accept: 'text/html' } });
      expect([again.status, await again.text()]).toEqual([400, OVER.text]);
      expect(again.headers.getSetCookie()).toEqual([expect.stringMatching(/^larder-login=;/)]);
    });

    test('the older of two that a browser has under way', async () => {
      const browser = gateway.newBrowser(atCallback);
      const older = await browser.go('/login');
      const newer = await browser.go('/login');
      const [first, second] = [
        await browser.go(older.at.href, { form: { account: 'customer' } }),
        await browser.go(newer.at.href, { form: { account: 'clerk' } }),
      ];
      expect((await browser.go(second.at.href)).status).not.toBe(400);
      expect(await browser.go(first.at.href)).toMatchObject(OVER);
      expect((await sessionOf(browser)).caller.name).toBe('Cleo');
    });

    test('one with a code that is cut, given twice, or not there', async () => {
      for (const [change, status] of [
        [(at: URL) => at.searchParams.set('code', at.searchParams.get('code')!.slice(1)), 400],
        [(at: URL) => at.searchParams.append('code', 'x'), 502],
        [(at: URL) => at.searchParams.delete('code'), 502],
        [(at: URL) => at.searchParams.set('iss', 'https://evil.example'), 502],
      ] as const) {
        const { browser, at } = await atTheDoor();
        change(at);
        const page = await browser.go(at.href);
        expect([page.status, page.text]).toEqual([status, expect.stringContaining('Log in</a>')]);
        expect(await sessionOf(browser)).toEqual({});
      }
    });

    test('one that the person has cancelled, or the provider has refused, in its words as text', async () => {
      const browser = gateway.newBrowser(atCallback);
      const page = await browser.go('/login');
      const { at } = await browser.go(page.at.href, { form: { cancel: 'yes' } });
      at.searchParams.set('error_description', '<script>alert(1)</script>');
      const { status, text } = await browser.go(at.href);
      expect([status, text]).toEqual([400, expect.stringContaining('&lt;script&gt;alert(1)&lt;/script&gt;')]);
      expect(text).not.toContain('<script');
    });

    test('an error that comes without its state, whatever it says', async () => {
      const page = await gateway.newBrowser().go('/callback?error=access_denied&error_description=Call+0900');
      expect(page).toMatchObject(OVER);
      expect(page.text).not.toContain('0900');
    });
  });

  test('a refusal is a page for a browser and a problem for a program, with the id that the log has', async () => {
    const page = await gateway.newBrowser().go('/callback', { headers: { 'x-correlation-id': 'an-id-of-mine' } });
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; style-src 'sha256-[^;]+'; /);
    expect(page.text).toContain(page.headers.get('x-correlation-id'));
    const answer = await gateway.newBrowser().go('/callback', { headers: json });
    expect(answer.headers.get('content-type')).toContain('application/problem+json');
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'login-over', login: '/login?returnTo=%2F' });
  });

  test('whatever else is refused is a page, too: nothing is at a path, or one has to log in first', async () => {
    const nothing = await gateway.newBrowser().go('/nowhere');
    expect([nothing.status, nothing.text]).toEqual([404, expect.stringContaining('Nothing is at this path.')]);
    const first = await gateway.newBrowser().go('/orders?limit=3');
    expect([first.status, first.text]).toEqual([401, expect.stringContaining('Log in first: ')]);
    expect(first.text).toContain('<a href="/login?returnTo=%2Forders">');
  });

  test.each(['/docs', '/callback', '/nowhere', '/orders'])(
    'at %s a page may do nothing that it does not need',
    async (path) => {
      const { headers, text } = await gateway.newBrowser().go(path);
      expect(headers.get('content-type')).toMatch(/^text\/html/);
      const policy = headers.get('content-security-policy');
      expect(policy).toMatch(/^default-src 'none';.*frame-ancestors 'none'/);
      expect(policy).not.toContain('unsafe');
      expect(headers.get('permissions-policy')).toContain('camera=()');
      expect(headers.get('referrer-policy')).toBe('no-referrer');
      expect(text).not.toMatch(/ style=| on[a-z]+=|<script>/);
    },
  );

  test('while the provider is away nobody logs in, a page says so, and as soon as it is back one can', async () => {
    const away = await openGateway(provider.issuer);
    const { browser, at } = await atTheDoor('customer', '/orders');
    await provider.close();
    // Also at a gateway that has found the provider before.
    for (const each of [away, gateway]) {
      const page = await each.newBrowser().go('/login?returnTo=/orders');
      expect([page.status, page.headers.get('retry-after')]).toEqual([503, '1']);
      expect(page.text).toContain('the OpenID provider is away');
      expect(page.text).toContain('<a href="/login?returnTo=%2Forders">Log in</a>');
    }
    const late = await browser.go(at.href);
    expect(late).toMatchObject({ status: 503, text: expect.stringContaining('<a href="/login?returnTo=%2Forders">') });

    await openProviderHere();
    const other = away.newBrowser();
    await logIn(other, 'customer');
    expect((await sessionOf(other)).caller.name).toBe('Ada');
    await away.stop();
  });

  test('while the provider is away somebody stays logged in, also when a gateway that has just started cannot tell', async () => {
    const browser = gateway.newBrowser();
    await logIn(browser, 'customer');
    const [cookie, session] = [browser.valueOf('larder-session'), await sessionOf(browser)];
    await provider.close();
    expect(await sessionOf(browser)).toEqual(session);
    const restarted = await openGateway(provider.issuer);
    const answer = await browser.go(`${restarted.url}/session`, { headers: json });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1']);
    expect(JSON.parse(answer.text)).toMatchObject({ code: 'issuer-unavailable' });
    expect(browser.valueOf('larder-session')).toBe(cookie);

    await openProviderHere();
    const ask = () => browser.go(`${restarted.url}/session`, { headers: json });
    await expect.poll(async () => JSON.parse((await ask()).text)).toEqual(session);
    await restarted.stop();
  });
});

/** A provider that answers as each test has it. */
describe('at a provider that', () => {
  let keys: Awaited<ReturnType<typeof generateKeyPair>>;
  let server: Server;
  let issuer: string;
  let gateway: Gateway;
  let metadata: Record<string, unknown>;
  let idToken: JWTPayload & { signedBy?: Key };
  let accessToken: JWTPayload & { typ?: string };
  let answer: (granted: object) => { status: number; body: unknown };
  let asked: URLSearchParams | undefined;
  /** While true it takes requests and answers none. */
  let isSilent = false;

  beforeAll(async () => {
    keys = await generateKeyPair('ES256');
    const port = await freePort();
    issuer = `http://127.0.0.1:${port}`;
    const jwk = { ...(await exportJWK(keys.publicKey)), kid: 'one', alg: 'ES256' };
    server = createServer((request, response) => {
      if (isSilent) return;
      void (async () => {
        const send = (status: number, body: unknown) =>
          response
            .writeHead(status, { 'content-type': typeof body === 'string' ? 'text/html' : 'application/json' })
            .end(typeof body === 'string' ? body : JSON.stringify(body));
        const { pathname } = new URL(request.url!, issuer);
        if (pathname !== '/token') return void send(200, pathname === '/jwks' ? { keys: [jwk] } : metadata);
        asked = new URLSearchParams(await textOf(request));
        const { typ = 'at+jwt', ...claims } = accessToken;
        const { signedBy = keys.privateKey, ...identity } = idToken;
        const sign = (payload: JWTPayload, type: string, key: Key) =>
          new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: 'one', typ: type }).sign(key);
        const access_token = await sign(claims, typ, keys.privateKey);
        const id_token = await sign(identity, 'JWT', signedBy);
        const { status, body } = answer({ access_token, id_token, token_type: 'Bearer', expires_in: 600 });
        send(status, body);
      })();
    });
    await new Promise<void>((done) => server.listen(port, '127.0.0.1', done));
    gateway = await openGateway(issuer, { LOGIN_CLIENT_SECRET: 'a secret of the client', LOGIN_CLIENT_ID: 'the-door' });
  });
  afterAll(async () => {
    await gateway.stop();
    server.closeAllConnections();
    server.close();
  });

  const nowS = Math.floor(Date.now() / 1_000);

  beforeEach(() => {
    metadata = {
      issuer,
      authorization_endpoint: `${issuer}/auth`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      id_token_signing_alg_values_supported: ['ES256'],
    };
    idToken = { iss: issuer, aud: 'the-door', sub: 'ada', iat: nowS, exp: nowS + 600, preferred_username: 'ada.l' };
    accessToken = { iss: issuer, aud: 'larder', sub: 'ada', exp: nowS + 600, roles: ['customer'] };
    answer = (body) => ({ status: 200, body });
  });

  /** A login up to its end; the provider knows the nonce, unless `idToken` has one. */
  async function logInHere(at = gateway) {
    const browser = at.newBrowser(({ pathname }) => pathname === '/auth');
    const { searchParams } = (await browser.go('/login?returnTo=/session')).at;
    idToken = { nonce: searchParams.get('nonce')!, ...idToken };
    const page = await browser.go(`/callback?code=a-code&state=${searchParams.get('state')}`);
    return { ...page, browser };
  }

  test('behaves: the client shows its secret and its verifier, and a user name does for a name', async () => {
    const { status, browser } = await logInHere();
    expect([status, (await sessionOf(browser)).caller]).toMatchObject([200, { subject: 'ada', name: 'ada.l' }]);
    expect(Object.fromEntries(asked!)).toEqual({
      grant_type: 'authorization_code',
      code: 'a-code',
      redirect_uri: `${gateway.url}/callback`,
      client_id: 'the-door',
      client_secret: 'a secret of the client',
      code_verifier: expect.any(String),
    });
  });

  test.each<[string, () => unknown]>([
    ['names another nonce', () => (idToken = { ...idToken, nonce: 'of another login' })],
    ['names no nonce', () => (idToken = { ...idToken, nonce: undefined })],
    ['calls itself another issuer', () => (idToken = { ...idToken, iss: 'https://evil.example' })],
    ['has an ID token for another client', () => (idToken = { ...idToken, aud: 'another' })],
    ['has an ID token that has expired', () => (idToken = { ...idToken, exp: nowS - 60 })],
    ['sends no ID token', () => (answer = (body) => ({ status: 200, body: { ...body, id_token: undefined } }))],
    ['has an access token for another audience', () => (accessToken = { ...accessToken, aud: 'another' })],
    ['has an access token of another issuer', () => (accessToken = { ...accessToken, iss: 'https://evil.example' })],
    ['has an access token of another type', () => (accessToken = { ...accessToken, typ: 'JWT' })],
    ['has an opaque access token', () => (answer = (body) => ({ status: 200, body: { ...body, access_token: 'x' } }))],
    ['does not know the client', () => (answer = () => ({ status: 401, body: { error: 'invalid_client' } }))],
  ])('%s: nobody is logged in, and the page says that its answer is not accepted', async (_, change) => {
    change();
    const { status, text, browser } = await logInHere();
    expect([status, text]).toEqual([502, expect.stringContaining('is not accepted')]);
    expect(text).toContain('<a href="/login?returnTo=%2Fsession">Log in</a>');
    expect(await sessionOf(browser)).toEqual({});
  });

  test('signs by another key than its own: nobody is logged in', async () => {
    idToken = { ...idToken, signedBy: (await generateKeyPair('ES256')).privateKey };
    const { status, browser } = await logInHere();
    expect([status, await sessionOf(browser)]).toEqual([502, {}]);
  });

  test.each<[string, () => { status: number; body: unknown }]>([
    ['fails', () => ({ status: 500, body: 'Internal Server Error' })],
    ['fails in its own words', () => ({ status: 503, body: { error: 'temporarily_unavailable' } })],
    ['answers with a page', () => ({ status: 200, body: '<p>Under maintenance</p>' })],
  ])('%s: it is away', async (_, does) => {
    answer = does;
    const { status, text, browser } = await logInHere();
    expect([status, text]).toEqual([503, expect.stringContaining('the OpenID provider is away')]);
    expect(await sessionOf(browser)).toEqual({});
  });

  test('puts more into a token than a cookie holds: the page says what to do', async () => {
    accessToken = { ...accessToken, groups: Array.from({ length: 400 }, (_, i) => `group-${i}`) };
    const { status, text, browser } = await logInHere();
    expect([status, text]).toEqual([502, expect.stringContaining('name less in it, such as fewer roles or groups')]);
    expect(await sessionOf(browser)).toEqual({});
  });

  test('has sessions of its own: a logout leads to where they end, and from there to the start', async () => {
    metadata = { ...metadata, end_session_endpoint: `${issuer}/end` };
    const other = await openGateway(issuer, { LOGIN_CLIENT_ID: 'the-door' });
    const { browser } = await logInHere(other);
    const { csrf } = await sessionOf(browser);
    const { text } = await browser.go('/logout', { method: 'POST', headers: { ...json, 'larder-csrf': csrf } });
    const { location } = JSON.parse(text) as { location: string };
    expect(location.split('?')[0]).toBe(`${issuer}/end`);
    expect(Object.fromEntries(new URL(location).searchParams)).toEqual({
      client_id: 'the-door',
      post_logout_redirect_uri: `${other.url}/`,
    });
    expect(await sessionOf(browser)).toEqual({});
    await other.stop();
  });

  test('is silent: a logout ends the session, in time, and leads to the start instead', async () => {
    metadata = { ...metadata, end_session_endpoint: `${issuer}/end` };
    const { browser } = await logInHere();
    const { csrf } = await sessionOf(browser);
    isSilent = true;
    const out = await browser.go('/logout', { method: 'POST', headers: { ...json, 'larder-csrf': csrf } });
    isSilent = false;
    expect([out.status, JSON.parse(out.text)]).toEqual([200, { location: '/' }]);
    expect(browser.valueOf('larder-session')).toBeUndefined();
  });

  test('browsers find elsewhere than services do: they are led there', async () => {
    const other = await openGateway(issuer, { LOGIN_CLIENT_ID: 'the-door', LOGIN_ISSUER_URL: 'http://localhost:3004' });
    const { at } = await other.newBrowser().go('/login');
    expect(`${at.origin}${at.pathname}`).toBe('http://localhost:3004/auth');
    await other.stop();
  });
});
