/** Which tokens are accepted, and what becomes of requests while the issuer is away. */
import { createHmac } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { silentLog } from '#runtime';
import { ManualClock } from '#runtime/testing';
import type { Role } from '#service';
import { AUDIENCE, Issuer } from '../../../../proof/shop/issuer.js';
import { IssuerTokens, type TokenSettings } from './tokens.js';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

let issuer: Issuer;
let clock: ManualClock;
let tokens: IssuerTokens;
const others: Issuer[] = [];

function settingsOf(changes: Partial<TokenSettings> = {}): TokenSettings {
  return {
    AUTH_ISSUER: issuer.url,
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_ROLES_CLAIM: 'roles',
    AUTH_TOKEN_TYPE: 'at+jwt',
    ...changes,
  };
}

const open = (changes: Partial<TokenSettings> = {}) => new IssuerTokens(settingsOf(changes), { clock, log: silentLog });

beforeEach(async () => {
  issuer = await Issuer.open();
  clock = new ManualClock(new Date().toISOString());
  tokens = open();
});
afterEach(() => [issuer, ...others.splice(0)].forEach((each) => each.close()));

const identify = (token: string, by = tokens) => by.identify(`Bearer ${token}`);
const nowS = () => Math.floor(clock.now().getTime() / 1_000);
/** A token with these claims and header instead of the good ones. */
const token = (claims: object = {}, header: object = {}) => issuer.token('ada', ['clerk'], { claims, header });

test('a good token says who calls, with which of the roles that are known here', async () => {
  const good = issuer.token('ada', ['clerk', 'customer', 'janitor' as Role]);
  expect(await identify(good)).toEqual({ subject: 'ada', roles: ['customer', 'clerk'] });
});

test('without a token nobody is told what would be wrong with one', async () => {
  await expect(tokens.identify(undefined)).rejects.toMatchObject({
    status: 401,
    code: 'unauthenticated',
    headers: { 'www-authenticate': 'Bearer realm="larder"' },
  });
});

test.each([
  '',
  'Bearer',
  'Bearer  ',
  'Basic YWRhOnB3',
  'Bearer abc',
  'Bearer a.b.c.d',
  'Token a.b.c',
  'Bearer a.b.c d',
])('the header %j is no token', (header) =>
  expect(tokens.identify(header)).rejects.toMatchObject({
    status: 401,
    code: 'token-invalid',
    headers: { 'www-authenticate': expect.stringMatching(/^Bearer realm="larder", error="invalid_token", error_/) },
  }),
);

const refused: [string, () => string | Promise<string>][] = [
  ['for another audience', () => token({ aud: 'another shop' })],
  ['of another issuer, by its claim', () => token({ iss: 'https://login.example.com' })],
  ['of another type', () => token({}, { typ: 'JWT' })],
  ['without a type', () => token({}, { typ: undefined })],
  ['without an end', () => token({ exp: undefined })],
  ['without a subject', () => token({ sub: undefined })],
  ['with an empty subject', () => token({ sub: '' })],
  ['with a subject of several lines', () => token({ sub: 'ada\nbob' })],
  ['that is not valid yet', () => token({ nbf: nowS() + 60 })],
  ['with an unknown key', () => token({}, { kid: 'another' })],
  ['with a critical header that is not known', () => token({}, { crit: ['x'], x: 1 })],
  [
    'signed by another issuer',
    async () => {
      others.push(await Issuer.open());
      const [kid] = issuer.keySet().keys.map((key) => (key as { kid: string }).kid);
      return others[0]!.token('ada', ['operator'], { header: { kid }, claims: { iss: issuer.url } });
    },
  ],
  ['with another content', () => withPayload(token(), { sub: 'bob' })],
  ['without a signature', () => token().replace(/[^.]+$/, '')],
  ['of the algorithm none', () => `${token({}, { alg: 'none' }).split('.').slice(0, 2).join('.')}.`],
  ['of HS256, with the public key as the secret', () => signedByPublicKey()],
];
test.each(refused)('a token %s is not accepted', async (_, made) =>
  expect(identify(await made())).rejects.toMatchObject({ status: 401, code: 'token-invalid' }),
);

function withPayload(good: string, changes: object): string {
  const [header, payload, signature] = good.split('.') as [string, string, string];
  const claims = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), ...changes };
  return [header, Buffer.from(JSON.stringify(claims)).toString('base64url'), signature].join('.');
}

/** The old attack on verifiers that let the token choose its algorithm. */
function signedByPublicKey(): string {
  const [header, payload] = token({}, { alg: 'HS256' }).split('.');
  const secret = JSON.stringify(issuer.keySet().keys[0]);
  return `${header}.${payload}.${createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url')}`;
}

test('a token that has expired is refused with a code of its own, also when it was accepted before', async () => {
  const short = token({ exp: nowS() + 60 });
  await identify(short);
  await clock.advance(59_000);
  await identify(short);
  await clock.advance(7_000); // With the tolerance for clocks that differ.
  await expect(identify(short)).rejects.toMatchObject({ status: 401, code: 'token-expired' });
});

test('a token is remembered once it was good, and for no longer than it is', async () => {
  const short = token({ exp: nowS() + 60 });
  const known = () => tokens.known(`Bearer ${short}`);
  expect(known()).toBeUndefined();
  await identify(short);
  expect(known()).toEqual({ subject: 'ada', roles: ['clerk'] });
  await expect(identify(token({ aud: 'another shop' }))).rejects.toThrow();
  expect(tokens.known(`Bearer ${token({ aud: 'another shop' })}`)).toBeUndefined();
  for (const other of [undefined, '', `Bearer ${short}x`, short]) expect(tokens.known(other)).toBeUndefined();
  await clock.advance(60_000);
  expect(known()).toBeUndefined();
});

test.each([
  ['a name with dots, as it stands', 'https://shop.example/roles', { 'https://shop.example/roles': ['operator'] }],
  ['a place in an object', 'realm_access.roles', { realm_access: { roles: ['operator', 'offline_access'] } }],
  ['a text', 'scope', { scope: 'openid operator' }],
])('the roles are where the provider has them: %s', async (_, AUTH_ROLES_CLAIM, claims) => {
  expect(await identify(token(claims), open({ AUTH_ROLES_CLAIM }))).toEqual({ subject: 'ada', roles: ['operator'] });
});

test.each([
  { roles: undefined },
  { roles: null },
  { roles: 7 },
  { roles: { operator: true } },
  { roles: [['operator']] },
])('the claim %j grants nothing', async (claims) => expect((await identify(token(claims))).roles).toEqual([]));

test('another type of token is accepted where the provider has another', async () => {
  expect(await identify(token({}, { typ: 'JWT' }), open({ AUTH_TOKEN_TYPE: 'JWT' }))).toMatchObject({ subject: 'ada' });
});

test('the keys are fetched once, whoever asks at the same time, and a token is verified once', async () => {
  const good = token();
  await Promise.all(Array.from({ length: 20 }, () => identify(good)));
  await identify(token({ jti: 'another' }));
  expect(issuer.asked).toBe(1);
});

test('a new key is fetched when a token names it; made-up keys do not make us ask again and again', async () => {
  await identify(token());
  issuer.rotate();
  await clock.advance(10_000);
  await identify(token());
  expect(issuer.asked).toBe(2);
  for (let n = 0; n < 20; n++) await identify(token({}, { kid: `made up ${n}` })).catch(() => {});
  expect(issuer.asked).toBe(2);
});

test('a key that the issuer has withdrawn is accepted for five minutes more, also of a token that was accepted', async () => {
  const old = token();
  await identify(old);
  issuer.rotate({ withdrawn: true });
  await clock.advance(4 * MINUTE_MS);
  await identify(old);
  await clock.advance(MINUTE_MS);
  await identify(old); // Has the keys fetched, and does not wait for them.
  await expect.poll(() => identify(old).catch(({ code }) => code)).toBe('token-invalid');
});

test('while the issuer is away its keys go on for four hours; then there is 503 until it is back, and nobody is let in', async () => {
  const good = token();
  await identify(good);
  issuer.close();
  for (let hour = 0; hour < 3; hour++) {
    await clock.advance(HOUR_MS);
    await identify(good);
    await identify(token({ jti: `${hour}` }));
  }
  await clock.advance(HOUR_MS);
  await expect(identify(good)).rejects.toMatchObject({ status: 503, code: 'issuer-unavailable' });
  expect(tokens.known(`Bearer ${good}`)).toBeUndefined();
  await expect(identify(token({}, { alg: 'none' }))).rejects.toMatchObject({ status: 503 });

  others.push(await Issuer.open(Number(new URL(issuer.url).port)));
  await expect(identify(good)).rejects.toMatchObject({ status: 503 }); // It was asked within the last second.
  await clock.advance(1_000);
  await expect(identify(good)).rejects.toMatchObject({ status: 401 }); // Its keys are other ones.
  expect(await identify(others[0]!.token('ada', []))).toMatchObject({ subject: 'ada' });
});

test('an issuer that does not answer is given up before the request is', async () => {
  issuer.silent = true;
  await expect(identify(token())).rejects.toMatchObject({ status: 503, code: 'issuer-unavailable' });
});

test('an issuer with another name than AUTH_ISSUER is not trusted', async () => {
  const named = open({ AUTH_ISSUER: issuer.url.replace('127.0.0.1', 'localhost') });
  await expect(identify(token(), named)).rejects.toMatchObject({ status: 503, code: 'issuer-unavailable' });
});
