/**
 * Access tokens (RFC 9068): who is calling, by the signature of an issuer. Its keys are found by OpenID Connect Discovery
 * and kept, so a request waits for the issuer only where the service has just started or a token names a key that is new.
 *
 *   keys younger than FRESH_MS      are used
 *   older                           are used, and fetched again meanwhile
 *   older than LIFETIME_MS          the issuer was away all that time: 503 until it answers, and nobody is let in
 *   a key that is not among them    fetched, at most once in COOLDOWN_MS: that is how an issuer's new key gets known
 */
import { createLocalJWKSet, errors, type JWTPayload, jwtVerify, type LocalJWKSet } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { Clock, Log } from '#runtime';
import { type BaseConfig, type Identity, roles } from '#service';
import { Problem, tryAgain } from '../http/problem.js';

/** Only public-key signatures: with a shared secret every service that can verify could also sign. */
const ALGORITHMS = ['ES256', 'ES384', 'EdDSA', 'RS256', 'PS256'];

const FRESH_MS = 5 * 60_000;
const LIFETIME_MS = 4 * 60 * 60_000;
const COOLDOWN_MS = 10_000;
/** How long all of it may take: less than a request may, so that this is still told why. */
const FETCH_TIMEOUT_MS = 1_500;
/** For how long after a failure requests are refused without another look. */
const RETRY_MS = 1_000;
/** How far the issuer's clock may be from ours. */
const TOLERANCE_S = 5;
/** How many tokens are remembered; one has a kilobyte or two. */
const MAX_REMEMBERED = 1_000;

export type TokenSettings = Pick<BaseConfig, 'AUTH_ISSUER' | 'AUTH_AUDIENCE' | 'AUTH_ROLES_CLAIM' | 'AUTH_TOKEN_TYPE'>;

export interface Tokens {
  /** The identity in an `Authorization` header. @throws Problem 401 or 503 */
  identify(authorization: string | undefined): Promise<Identity>;
  /** The same, at once, where that header was verified before; undefined where it has to be verified. */
  known(authorization: string | undefined): Identity | undefined;
}

interface Verified {
  readonly identity: Identity;
  readonly expiresMs: number;
}

interface Keys {
  readonly jwks: string;
  readonly find: LocalJWKSet;
  readonly loadedMs: number;
}

const discovery = z.object({ issuer: z.string(), jwks_uri: z.url({ protocol: /^https?$/ }) });
const keySet = z.object({ keys: z.array(z.looseObject({ kty: z.string() })) });

export class IssuerTokens implements Tokens {
  /** By the whole header. */
  private readonly verified = new LRUCache<string, Verified>({ max: MAX_REMEMBERED });
  private keys: Keys | undefined;
  private fetching: Promise<Keys> | undefined;
  private fetchedMs = -Infinity;
  private failedMs = -Infinity;

  constructor(
    private readonly settings: TokenSettings,
    private readonly ports: { readonly clock: Clock; readonly log: Log },
  ) {}

  async identify(authorization: string | undefined): Promise<Identity> {
    const token = tokenIn(authorization);
    const keys = this.usableKeys() ?? (await this.fetchKeys());
    const known = this.known(authorization);
    if (known) return known;
    const payload = await this.verify(token, keys);
    const identity = { subject: payload.sub!, roles: this.rolesIn(payload) };
    this.verified.set(authorization!, { identity, expiresMs: payload.exp! * 1_000 });
    return identity;
  }

  known(authorization = ''): Identity | undefined {
    const known = this.verified.get(authorization);
    const isGood = known && known.expiresMs > this.ports.clock.now().getTime() && this.usableKeys() !== undefined;
    return isGood ? known.identity : undefined;
  }

  private async verify(token: string, keys: Keys): Promise<JWTPayload> {
    const { AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience, AUTH_TOKEN_TYPE: typ } = this.settings;
    const options = {
      issuer,
      audience,
      typ,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: TOLERANCE_S,
      currentDate: this.ports.clock.now(),
    };
    try {
      const { payload } = await jwtVerify(token, keys.find, options);
      if (typeof payload.sub !== 'string' || !/^[\x21-\x7e]{1,255}$/.test(payload.sub)) {
        throw new errors.JWTClaimValidationFailed('"sub" is not a name', payload, 'sub', 'check_failed');
      }
      return payload;
    } catch (error) {
      const isNewKey = error instanceof errors.JWKSNoMatchingKey && this.elapsedMs(this.fetchedMs) >= COOLDOWN_MS;
      if (isNewKey) return this.verify(token, await this.fetchKeys());
      throw refusalOf(error);
    }
  }

  /** An unknown role grants nothing: a provider may have more than the shop knows. */
  private rolesIn(payload: JWTPayload): Identity['roles'] {
    const claim = this.settings.AUTH_ROLES_CLAIM;
    const named = claimIn(payload, claim);
    const given = typeof named === 'string' ? named.split(' ') : Array.isArray(named) ? named : [];
    return roles.filter((role) => given.includes(role));
  }

  /** Undefined where they have to be fetched first. */
  private usableKeys(): Keys | undefined {
    const { keys } = this;
    const ageMs = keys ? this.elapsedMs(keys.loadedMs) : Infinity;
    if (ageMs >= LIFETIME_MS) return undefined;
    if (ageMs >= FRESH_MS && this.elapsedMs(this.fetchedMs) >= COOLDOWN_MS) this.fetchKeys().catch(() => {});
    return keys;
  }

  /** Requests that wait at the same time share one look. @throws Problem 503 */
  private async fetchKeys(): Promise<Keys> {
    if (this.elapsedMs(this.failedMs) < RETRY_MS) throw issuerUnavailable();
    this.fetching ??= this.fetchNow().finally(() => (this.fetching = undefined));
    return this.fetching;
  }

  private async fetchNow(): Promise<Keys> {
    const { clock, log } = this.ports;
    const { AUTH_ISSUER: issuer } = this.settings;
    this.fetchedMs = clock.monotonicMs();
    const signal = AbortSignal.timeout(FETCH_TIMEOUT_MS);
    try {
      const found = discovery.parse(
        await getJson(`${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`, signal),
      );
      if (found.issuer !== issuer) {
        throw new Error(`It calls itself ${found.issuer}, and AUTH_ISSUER has to be exactly that.`);
      }
      const set = keySet.parse(await getJson(found.jwks_uri, signal));
      const jwks = JSON.stringify(set);
      // A token by a key that has been withdrawn is not remembered any longer than the key.
      if (jwks !== this.keys?.jwks) this.verified.clear();
      this.keys = { jwks, find: createLocalJWKSet(set), loadedMs: clock.monotonicMs() };
      return this.keys;
    } catch (error) {
      log.warn({ issuer, err: error }, 'The keys of AUTH_ISSUER cannot be fetched.');
      this.failedMs = clock.monotonicMs();
      throw issuerUnavailable();
    }
  }

  private elapsedMs(sinceMs: number): number {
    return this.ports.clock.monotonicMs() - sinceMs;
  }
}

function issuerUnavailable(): Problem {
  return tryAgain(
    'issuer-unavailable',
    'Who is calling cannot be verified now: the issuer of tokens is away. Try again.',
  );
}

async function getJson(url: string, signal: AbortSignal): Promise<unknown> {
  const response = await fetch(url, { signal, redirect: 'error' });
  if (!response.ok) throw new Error(`GET ${url} is answered with ${response.status}.`);
  return response.json();
}

/** Names with dots, as some providers have them (`https://shop.example/roles`), are looked for as they stand first. */
function claimIn(payload: JWTPayload, claim: string): unknown {
  if (Object.hasOwn(payload, claim)) return payload[claim];
  return claim
    .split('.')
    .reduce<unknown>((at, part) => (isObject(at) && Object.hasOwn(at, part) ? at[part] : undefined), payload);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function tokenIn(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw unauthorized('unauthenticated', 'Say who you are: send Authorization: Bearer <access token>.');
  }
  const token = tokenOf(authorization);
  if (token !== undefined) return token;
  throw unauthorized('token-invalid', 'Authorization is not "Bearer" with one access token, a signed JWT.', true);
}

function tokenOf(authorization: string | undefined): string | undefined {
  return /^Bearer +([\w-]+\.[\w-]+\.[\w-]*)$/i.exec(authorization ?? '')?.[1];
}

function refusalOf(error: unknown): unknown {
  if (error instanceof errors.JWTExpired) {
    return unauthorized('token-expired', 'The access token has expired: get a new one.', true);
  }
  if (!(error instanceof errors.JOSEError)) return error;
  const detail = `The access token is not accepted: ${REASONS[error.code] ?? error.message}.`;
  return unauthorized('token-invalid', detail, true);
}

/** By the code of jose. What a claim lacks, jose says itself. */
const REASONS: Readonly<Record<string, string>> = {
  ERR_JOSE_ALG_NOT_ALLOWED: 'it is not signed by an algorithm that is accepted',
  ERR_JOSE_NOT_SUPPORTED: 'it is not signed by an algorithm that is accepted',
  ERR_JWKS_NO_MATCHING_KEY: 'it is signed by none of the keys of the issuer',
  ERR_JWKS_MULTIPLE_MATCHING_KEYS: 'it does not say by which key it is signed',
  ERR_JWS_SIGNATURE_VERIFICATION_FAILED: 'its signature is wrong',
};

/** RFC 6750, section 3: who has sent no token is told nothing of what is wrong with it. */
function unauthorized(code: string, detail: string, hasToken = false): Problem {
  const error = hasToken ? `, error="invalid_token", error_description="${detail.replace(/["\\]/g, "'")}"` : '';
  return new Problem(401, code, detail, { headers: { 'www-authenticate': `Bearer realm="larder"${error}` } });
}
