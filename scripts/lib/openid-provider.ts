/**
 * An OpenID provider for development and for compose: `oidc-provider`, a certified one, with a few accounts that need no
 * password. So the services have one way to know who calls, here and anywhere, and no switch that turns it off.
 *
 *   a browser ── authorization code and PKCE, by a page where one chooses an account ──┐
 *   a machine ── client credentials, with the secret in identity/metrics-secret ───────┼─▶ access tokens (RFC 9068)
 *   curl, the commands ── as/<account> in the data folder, written anew in time ───────┘
 *
 * Who has asked for what is kept in memory: only keys and secret outlive it, so tokens do.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { importJWK, SignJWT } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Clock } from '#runtime';
import { type Account, accountNames, accountOf, accounts, isMachine } from './accounts.js';
import { isLoopback } from '#service';
import { portVariable, whoUses } from './addresses.js';
import { Advice } from './advice.js';
import { deleteHeaders, headerFile, headersIn, identityIn } from './data-folder.js';
import { errorPage, homePage, htmlOf, loginPage, pageHeaders, sendPage } from './identity-pages.js';
import {
  type AdapterFactory,
  type AdapterPayload,
  type Configuration,
  interactionPolicy,
  Provider,
} from './oidc-provider.js';
import { ALGORITHM, type PrivateKey, signingKeys, TOKEN_LIFETIME_S, writePrivately } from './signing-keys.js';

/** For whom its access tokens are; the services ask for it by default. */
export const AUDIENCE = 'larder';

/** The client of applications on this machine: it is public, so it has no secret, and proves itself by PKCE. */
export const CLIENT = 'larder';

/** Where a login may lead back to: an application at any port of this machine. */
const REDIRECTS = ['http://127.0.0.1/callback', 'http://localhost/callback'];

const RESOURCE = `urn:${AUDIENCE}`;
const SESSION_COOKIE = 'larder_session';
const LOGIN_LIFETIME_S = 10 * 60;
const MAX_FORM_BYTES = 1_000;

/** A header file is written anew when its token has half of its life left; that is looked at this often. */
const RENEWED_AFTER_MS = (TOKEN_LIFETIME_S / 2) * 1_000;
const LOOKED_AT_EVERY_MS = 30_000;

export interface OpenIdProviderOptions {
  /** The folder of the shop's data. */
  readonly data: string;
  readonly port: number;
  /** The address that it listens on. Nobody needs a password, so it is loopback unless a network keeps others away. */
  readonly host?: string;
  /** What its tokens are issued by; default: where it listens. */
  readonly issuer?: string;
  /** The secret of the machine `gateway`; without one there is no such machine. */
  readonly gatewaySecret?: string | undefined;
  readonly clock: Clock;
  /** Is told what goes wrong while it is open. */
  warn(complaint: string): void;
}

export interface OpenIdProvider {
  readonly issuer: string;
  /** Stops, and deletes the header files, whose tokens it could not renew. */
  close(): Promise<void>;
}

/** @throws Advice when the port is in use, or the keys cannot be read */
export async function openProvider(options: OpenIdProviderOptions): Promise<OpenIdProvider> {
  const { data, port, host = '127.0.0.1', issuer = `http://127.0.0.1:${port}`, gatewaySecret, clock, warn } = options;
  const folder = identityIn(data);
  const secrets = {
    [accounts.metrics.subject]: metricsSecret(folder),
    ...(gatewaySecret && { gateway: gatewaySecret }),
  };
  const adapter = inMemory();
  const cookieKeys = [randomBytes(32).toString('base64url')];

  // A provider has the keys that it was made with: after a rotation there is another one, with the same memory.
  let made: { provider: Provider; handle: ReturnType<Provider['callback']>; keyIds: string } | undefined;
  const current = async () => {
    const keys = await signingKeys(folder, clock);
    const keyIds = keys.map(({ kid }) => kid).join();
    if (made?.keyIds !== keyIds) {
      const provider = new Provider(issuer, configuration(keys, secrets, adapter, cookieKeys));
      made = { provider, handle: provider.callback(), keyIds };
    }
    return made;
  };
  await current();

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      warn(`The OpenID provider could not answer: ${error instanceof Error ? error.message : String(error)}`);
      if (response.headersSent) response.destroy();
      else sendPage(response, 500, errorPage('That went wrong', 'The OpenID provider could not answer.'));
    });
  });
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    // A page of another site can have the browser ask this machine, but by a name of its own (DNS rebinding).
    if (!names(request.headers.host, issuer)) {
      const detail = `This provider is ${issuer}, and answers under that name and those of this machine only.`;
      return sendPage(response, 421, errorPage('Wrong address', detail));
    }
    if (request.url === '/') return sendPage(response, 200, homePage(issuer));
    forgetSession(request);
    const { provider, handle } = await current();
    if (request.url?.startsWith('/interaction/')) return logIn(provider, request, response);
    await handle(request, response);
  };
  await listen(server, port, host);

  const files = new HeaderFiles(data, issuer, clock);
  const stop = new AbortController();
  await files.renew();
  const renewing = (async () => {
    while (!stop.signal.aborted) {
      await clock.sleep(LOOKED_AT_EVERY_MS, stop.signal);
      if (stop.signal.aborted) return;
      await files
        .renew()
        .catch((error: unknown) => warn(`The files in ${headersIn(data)} could not be renewed: ${String(error)}`));
    }
  })();

  return {
    issuer,
    async close() {
      stop.abort();
      await renewing;
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
      deleteHeaders(data);
    },
  };
}

/** The secret of the machine that reads metrics, which is made once. */
function metricsSecret(folder: string): string {
  const file = join(folder, 'metrics-secret');
  if (!existsSync(file)) writePrivately(file, randomBytes(32).toString('base64url'));
  const secret = readFileSync(file, 'utf8').trim();
  if (secret === '') throw new Advice(`${file} is empty. Delete it, and the provider makes a new secret.`);
  return secret;
}

function configuration(
  keys: [PrivateKey, ...PrivateKey[]],
  secrets: Readonly<Record<string, string>>,
  adapter: AdapterFactory,
  cookieKeys: string[],
): Configuration {
  const lifetime = () => TOKEN_LIFETIME_S;
  return {
    adapter,
    jwks: { keys },
    clients: [
      {
        client_id: CLIENT,
        client_name: 'an application on this machine',
        application_type: 'native', // So that the port is free to choose.
        redirect_uris: REDIRECTS,
        token_endpoint_auth_method: 'none',
      },
      ...Object.entries(secrets).map(([client_id, client_secret]) => ({
        client_id,
        client_secret,
        // The gateway sends its secret in the form, as openid-client does, and curl in a header.
        token_endpoint_auth_method: client_id === 'gateway' ? ('client_secret_post' as const) : undefined,
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
      })),
    ],
    clientDefaults: { id_token_signed_response_alg: ALGORITHM },
    clientBasedCORS: (_, origin) => isOnThisMachine(origin),
    responseTypes: ['code'],
    pkce: { required: () => true },
    scopes: ['openid', 'profile'],
    claims: { openid: ['sub'], profile: ['name', 'roles'] },
    conformIdTokenClaims: false, // An application learns by the ID token alone who has logged in.
    findAccount: (_, subject) => {
      const account = accountOf(subject);
      return account && { accountId: subject, claims: () => ({ sub: subject, ...claimsOf(account) }) };
    },
    // Everybody here has agreed: the applications are the shop's own.
    async loadExistingGrant({ oidc }) {
      const grant = new oidc.provider.Grant({ clientId: oidc.client!.clientId, accountId: oidc.session!.accountId! });
      grant.addOIDCScope('openid profile');
      await grant.save();
      return grant;
    },
    interactions: { policy: loginOnly(), url: (_, { uid }) => `/interaction/${uid}` },
    extraTokenClaims: (_, token) => {
      if ('accountId' in token) return rolesOf(token.accountId);
      return token.clientId === 'gateway' ? { roles: ['service'] } : rolesOf(token.clientId!);
    },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      rpInitiatedLogout: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => RESOURCE,
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: '',
          audience: AUDIENCE,
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: ALGORITHM, kid: keys[0].kid } },
        }),
      },
    },
    ttl: {
      AccessToken: lifetime,
      ClientCredentials: lifetime,
      IdToken: lifetime,
      Grant: lifetime,
      Session: lifetime,
      Interaction: () => LOGIN_LIFETIME_S,
      AuthorizationCode: () => 60,
    },
    // Cookies know no ports: other programs on this machine have theirs under the same host.
    cookies: {
      keys: cookieKeys,
      names: { session: SESSION_COOKIE, interaction: 'larder_login', resume: 'larder_resume' },
    },
    renderError(context, { error, error_description: detail }) {
      for (const [name, value] of Object.entries(pageHeaders)) context.set(name, value);
      context.body = htmlOf(errorPage('This login does not work', `${error}: ${detail}`));
    },
  };
}

function rolesOf(subject: string) {
  const account = accountOf(subject);
  return account && { roles: [...account.roles] };
}

const claimsOf = ({ name, roles }: Account) => ({ name, roles: [...roles] });

/** Nobody is asked for consent. */
function loginOnly() {
  const policy = interactionPolicy.base();
  policy.remove('consent');
  return policy;
}

async function logIn(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const login = await provider.interactionDetails(request, response).catch(() => undefined);
  if (!login)
    return sendPage(
      response,
      400,
      errorPage('This login is over', 'It has been used, or took too long, or has no cookie.'),
    );
  if (request.method === 'GET') {
    const client = await provider.Client.find(String(login.params['client_id']));
    return sendPage(response, 200, loginPage(client?.clientName ?? CLIENT, `/interaction/${login.uid}`));
  }
  if (request.method !== 'POST') {
    response.setHeader('allow', 'GET, POST');
    return sendPage(response, 405, errorPage('That is not possible here', 'A login is read, or sent as a form.'));
  }
  const form = await readForm(request);
  const chosen = accountNames.find((name) => name === form?.get('account'));
  if (form?.has('cancel'))
    return provider.interactionFinished(request, response, {
      error: 'access_denied',
      error_description: 'The login was cancelled.',
    });
  if (!chosen || isMachine(accounts[chosen]))
    return sendPage(
      response,
      422,
      errorPage('Nobody by that name', 'The form names none of the accounts to choose from.'),
    );
  // It replaces whatever was sent before: somebody may have gone back to the page.
  return provider.interactionFinished(
    request,
    response,
    { login: { accountId: accounts[chosen].subject, remember: false } },
    { mergeWithLastSubmission: false },
  );
}

/** The fields of a form, or undefined when it is too long to be one of ours. */
async function readForm(request: IncomingMessage): Promise<URLSearchParams | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    if ((bytes += chunk.length) > MAX_FORM_BYTES) return undefined;
    chunks.push(chunk);
  }
  return new URLSearchParams(Buffer.concat(chunks).toString());
}

/** A file for each account, with a line that curl takes as a header: `curl -H @.data/as/customer …`. */
class HeaderFiles {
  private renewedMs: number | undefined;

  constructor(
    private readonly data: string,
    private readonly issuer: string,
    private readonly clock: Clock,
  ) {}

  /** Writes the files, unless all are there and young enough. The clock may have been set, or the machine have slept. */
  async renew(): Promise<void> {
    const ageMs = this.clock.now().getTime() - (this.renewedMs ?? -Infinity);
    const complete = accountNames.every((name) => existsSync(headerFile(this.data, name)));
    if (complete && ageMs >= 0 && ageMs < RENEWED_AFTER_MS) return;
    const nowMs = this.clock.now().getTime();
    const [key] = await signingKeys(identityIn(this.data), this.clock);
    for (const name of accountNames) {
      const token = await this.sign(accounts[name], key, Math.floor(nowMs / 1_000));
      writePrivately(headerFile(this.data, name), `Authorization: Bearer ${token}\n`);
    }
    this.renewedMs = nowMs;
  }

  /** The same claims as in a token that somebody has logged in for. */
  private async sign({ subject, roles }: Account, key: PrivateKey, nowS: number): Promise<string> {
    return new SignJWT({ roles: [...roles], client_id: CLIENT })
      .setProtectedHeader({ alg: ALGORITHM, typ: 'at+jwt', kid: key.kid })
      .setIssuer(this.issuer)
      .setAudience(AUDIENCE)
      .setSubject(subject)
      .setJti(randomUUID())
      .setIssuedAt(nowS)
      .setExpirationTime(nowS + TOKEN_LIFETIME_S)
      .sign(await importJWK(key, ALGORITHM));
  }
}

/** What the provider notes of logins under way. It is one for all keys, so that a rotation disturbs none. */
function inMemory(): AdapterFactory {
  const notes = new LRUCache<string, AdapterPayload>({ max: 10_000 });
  const find = (matches: (payload: AdapterPayload) => boolean) => [...notes.values()].find(matches);
  return (model) => ({
    async upsert(id, payload, expiresIn) {
      notes.set(`${model}:${id}`, payload, expiresIn ? { ttl: expiresIn * 1_000 } : {});
    },
    find: async (id) => notes.get(`${model}:${id}`),
    findByUid: async (uid) => find((payload) => payload.kind === model && payload.uid === uid),
    findByUserCode: async () => undefined, // A device without a browser logs in by it; none does here.
    async consume(id) {
      const note = notes.get(`${model}:${id}`);
      if (note) note['consumed'] = true;
    },
    async destroy(id) {
      notes.delete(`${model}:${id}`);
    },
    async revokeByGrantId(grantId) {
      const granted = [...notes.entries()].filter(([, payload]) => payload.grantId === grantId);
      for (const [key] of granted) notes.delete(key);
    },
  });
}

/** A login knows nothing of the one before: the next time one may want to be somebody else, so the page asks each time. */
function forgetSession({ headers }: IncomingMessage): void {
  const kept = headers.cookie?.split(/; */).filter((each) => !each.startsWith(`${SESSION_COOKIE}=`));
  if (kept) headers.cookie = kept.join('; ');
}

function isOnThisMachine(origin: string): boolean {
  return URL.canParse(origin) && isLoopback(new URL(origin).hostname);
}

/** Whether the Host header is a name of the issuer or of this machine; a published port may be another than ours. */
function names(host: string | undefined, issuer: string): boolean {
  const origin = `http://${host}`;
  return isOnThisMachine(origin) || (URL.canParse(origin) && new URL(origin).hostname === new URL(issuer).hostname);
}

function listen(server: ReturnType<typeof createServer>, port: number, host: string): Promise<void> {
  return new Promise((done, failed) => {
    server.once('error', ({ code, message }: NodeJS.ErrnoException) => {
      const variable = portVariable('identity');
      failed(
        new Advice(
          code === 'EADDRINUSE'
            ? `Port ${port} is in use (\`${whoUses(port)}\` shows by what). Free it, or set ${variable} to another port.`
            : `The OpenID provider cannot listen at ${host}:${port}: ${message}. Set ${variable} to another port, or HOST to an address of this machine.`,
        ),
      );
    });
    server.listen(port, host, done);
  });
}
