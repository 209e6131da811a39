/**
 * Login for browsers, by OpenID Connect: the gateway is the client, and no page ever has a token (a backend for frontend,
 * docs/adr/0036-backend-for-frontend.md).
 *
 *   GET /login?returnTo=/orders ─▶ the provider, with PKCE, state and nonce, which a sealed cookie keeps
 *   GET /callback?code=… ────────▶ the code for tokens ─▶ the session's cookie ─▶ returnTo
 *   GET /session                   who is logged in, and what they may do
 *   POST /logout                   ends the session, and says where the provider's ends
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { decodeJwt } from 'jose';
import * as openid from 'openid-client';
import { extendDeadline, Problem, type Tokens, tryAgain } from '#nest';
import type { Clock, Log } from '#runtime';
import { type AccessTable, callerOf, type Identity, isLoopback } from '#service';
import type { LoggedOut, Session } from '../api.js';
import { type GatewayConfig, publicUrlOf } from '../definition.js';
import { ANSWER_SECONDS, type Provider, providerFor } from './provider.js';
import { loginAt, returnPath } from './return-to.js';
import { type CookieSettings, SealedCookie, TooLarge } from './sealed-cookie.js';
import type { Sessions } from './sessions.js';

/** How long somebody may take at the provider. */
const LOGIN_SECONDS = 10 * 60;

/** What has to be known again when the browser comes back. */
type Pending = {
  readonly state: string;
  readonly nonce: string;
  readonly verifier: string;
  readonly returnTo: string;
};

interface LoginParts {
  readonly config: GatewayConfig;
  readonly access: AccessTable;
  readonly sessions: Sessions;
  readonly cookies: CookieSettings;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly log: Log;
}

export class Login {
  private readonly publicUrl: URL;
  private readonly pending: SealedCookie<Pending>;
  private readonly provider: Provider;

  constructor(private readonly parts: LoginParts) {
    this.publicUrl = publicUrlOf(parts.config);
    this.pending = new SealedCookie('larder-login', parts.cookies);
    const { AUTH_ISSUER, LOGIN_CLIENT_ID, LOGIN_CLIENT_SECRET } = parts.config;
    this.provider = providerFor(AUTH_ISSUER, LOGIN_CLIENT_ID, LOGIN_CLIENT_SECRET);
  }

  serve(http: FastifyInstance): void {
    http.get('/login', (request, reply) => this.begin(request, reply));
    http.get('/callback', (request, reply) => this.end(request, reply));
    http.post('/logout', (request, reply) => this.logOut(request, reply));
    http.get('/session', (request, reply) => this.session(request, reply));
  }

  private async begin(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { hostname } = this.publicUrl;
    // Under another name of this machine, the browser would not send the cookie to /callback.
    if (isLoopback(hostname) && isLoopback(request.hostname) && request.hostname !== hostname) {
      return reply.redirect(new URL(request.url, this.publicUrl).href, 303);
    }
    const returnTo = returnPath((request.query as { returnTo?: unknown }).returnTo);
    extendDeadline(request, ANSWER_SECONDS * 1_000);
    const provider = await this.provider.now().catch((error: unknown) => {
      throw problemOf(error, returnTo);
    });
    const pending: Pending = {
      state: openid.randomState(),
      nonce: openid.randomNonce(),
      verifier: openid.randomPKCECodeVerifier(),
      returnTo,
    };
    const { AUTH_AUDIENCE: audience, LOGIN_SCOPE: scope } = this.parts.config;
    const url = openid.buildAuthorizationUrl(provider, {
      redirect_uri: new URL('/callback', this.publicUrl).href,
      scope,
      audience, // Without it, Auth0 issues a token that only itself can read.
      state: pending.state,
      nonce: pending.nonce,
      code_challenge: await openid.calculatePKCECodeChallenge(pending.verifier),
      code_challenge_method: 'S256',
    });
    await this.pending.set(reply, pending, this.nowSeconds() + LOGIN_SECONDS);
    return reply.redirect(this.forBrowsers(url), 303);
  }

  private async end(request: FastifyRequest, reply: FastifyReply): Promise<unknown> {
    const { search, searchParams } = new URL(request.url, this.publicUrl);
    const pending = await this.pending.open(request.headers.cookie);
    this.pending.delete(reply);
    if (pending === undefined || typeof pending === 'string' || searchParams.get('state') !== pending.state) {
      throw loginOver('/');
    }
    extendDeadline(request, 3 * ANSWER_SECONDS * 1_000);
    try {
      const granted = await openid.authorizationCodeGrant(
        await this.provider.known(),
        new URL(`/callback${search}`, this.publicUrl),
        { pkceCodeVerifier: pending.verifier, expectedState: pending.state, expectedNonce: pending.nonce },
      );
      const { access_token: token } = granted;
      const { subject } = await this.parts.tokens.identify(`Bearer ${token}`);
      const { name, preferred_username: username } = granted.claims()!;
      const person = { token, name: String(name ?? username ?? subject) };
      await this.parts.sessions.begin(reply, person, decodeJwt(token).exp!);
    } catch (error) {
      throw problemOf(error, pending.returnTo);
    }
    return reply.redirect(pending.returnTo, 303);
  }

  private async session(request: FastifyRequest, reply: FastifyReply): Promise<Session> {
    const { session, headers } = request;
    if (headers.authorization === undefined) return {};
    try {
      const { subject, roles } = await this.parts.tokens.identify(headers.authorization);
      const caller = { subject, name: session?.name ?? subject, roles, may: this.allowedTo({ subject, roles }) };
      return { caller, ...(session && { csrf: session.csrf }) };
    } catch (error) {
      // Of a session, the browser can do nothing about it but log in again.
      if (!(session && error instanceof Problem && error.status === 401)) throw error;
      this.parts.sessions.end(reply);
      return {};
    }
  }

  private allowedTo(identity: Identity): string[] {
    return Object.entries(this.parts.access).flatMap(([operation, rule]) =>
      rule !== 'anyone' && callerOf(identity, rule) ? operation : [],
    );
  }

  private async logOut(request: FastifyRequest, reply: FastifyReply): Promise<LoggedOut> {
    const { session } = request;
    this.parts.sessions.end(reply);
    extendDeadline(request, ANSWER_SECONDS * 1_000);
    return { location: session ? await this.afterLogout() : '/' };
  }

  /** Where the provider ends a session of its own, if it has one and can be asked. */
  private async afterLogout(): Promise<string> {
    const provider = await this.provider.now().catch((error: unknown) => {
      this.parts.log.warn({ err: error }, 'A session has ended here, and at the OpenID provider it goes on.');
    });
    if (provider?.serverMetadata().end_session_endpoint === undefined) return '/';
    return this.forBrowsers(openid.buildEndSessionUrl(provider, { post_logout_redirect_uri: this.publicUrl.href }));
  }

  /** An address of the provider, where browsers reach it. */
  private forBrowsers({ href, pathname, search }: URL): string {
    const { LOGIN_ISSUER_URL } = this.parts.config;
    return LOGIN_ISSUER_URL === undefined ? href : new URL(`${pathname}${search}`, LOGIN_ISSUER_URL).href;
  }

  private nowSeconds(): number {
    return Math.floor(this.parts.clock.now().getTime() / 1_000);
  }
}

/** Codes of openid-client that say that the provider did not answer, or not as a provider does. */
const AWAY: readonly unknown[] = [
  'OAUTH_TIMEOUT',
  'OAUTH_RESPONSE_IS_NOT_CONFORM',
  'OAUTH_RESPONSE_IS_NOT_JSON',
  'OAUTH_PARSE_ERROR',
];

/** What a login that failed is for the browser, with the way to begin again. */
function problemOf(error: unknown, returnTo: string): unknown {
  const { code } = error as { code?: unknown };
  const extras = { login: loginAt(returnTo) };
  if (error instanceof openid.AuthorizationResponseError) {
    const why = error.error_description ?? error.error;
    return new Problem(400, 'login-refused', `The OpenID provider has refused the login: ${why}`, { extras });
  }
  if (error instanceof openid.ResponseBodyError && error.error === 'invalid_grant') return loginOver(returnTo);
  const isAway =
    AWAY.includes(code) ||
    (error instanceof TypeError && error.message === 'fetch failed') ||
    (error instanceof openid.ResponseBodyError && error.status >= 500) ||
    (error instanceof Problem && error.status === 503);
  if (isAway) {
    return tryAgain(
      'issuer-unavailable',
      'Nobody can log in now: the OpenID provider is away. Try again.',
      extras,
      error,
    );
  }
  if (error instanceof TooLarge) {
    const detail = `The access token is too large for the cookie of a session. ${error.message} Have the OpenID provider name less in it, such as fewer roles or groups.`;
    return new Problem(502, 'token-too-large', detail, { extras, cause: error });
  }
  if (error instanceof Problem || error instanceof openid.ClientError || error instanceof openid.ResponseBodyError) {
    const detail = `What the OpenID provider has answered is not accepted: ${error.message.replace(/\.$/, '')}.`;
    return new Problem(502, 'login-failed', detail, { extras, cause: error });
  }
  return error;
}

function loginOver(returnTo: string): Problem {
  const detail = 'This login is over: it took too long, was used before, or was begun in another browser or tab.';
  return new Problem(400, 'login-over', detail, { extras: { login: loginAt(returnTo) } });
}
