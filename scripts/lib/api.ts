/** The shop's HTTP API, as its scripts and tests call it. */
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AccountName } from './accounts.js';
import { dataFolder, shortPath } from './addresses.js';
import { Advice } from './advice.js';
import { headerFile } from './data-folder.js';

export type Headers = Readonly<Record<string, string>>;

/**
 * The header of a request that `account` makes, which is in its file: of the provider that is open, or of one's own.
 * @throws Advice when the file is not there, or holds something else
 */
export function actAs(account: AccountName): Headers {
  const file = headerFile(dataFolder(), account);
  const header = existsSync(file) ? headerIn(readFileSync(file, 'utf8')) : undefined;
  if (header) return header;
  throw new Advice(
    `${shortPath(file)} has no token of the ${account}. \`npm start\` writes one while the shop is open; with an OpenID provider of your own, put the line "Authorization: Bearer <token>" there.`,
  );
}

/** The header that a header file holds, or undefined when it holds something else. */
export function headerIn(text: string): Headers | undefined {
  const [, authorization] = /^Authorization: *(Bearer \S+)\s*$/i.exec(text) ?? [];
  return authorization ? { authorization } : undefined;
}

type Call = [method: 'GET' | 'POST' | 'PUT', url: string, body?: object, headers?: Headers];

/**
 * Calls the API and returns the body of the response.
 * @throws Advice with the status and the body, unless the response is a 2xx
 */
export async function call<T = unknown>(...[method, url, body, headers = {}]: Call): Promise<T> {
  const response = await send(method, url, body, headers);
  const text = await response.text();
  if (response.ok) return (text ? JSON.parse(text) : undefined) as T;
  throw new Advice(`${method} ${url} returned ${response.status}: ${text}`);
}

/** For how long a service that is too busy is asked again. */
const PATIENCE_MS = 30_000;

/** As `call`, of what may be sent twice: it is sent again, as Retry-After says, while the service is too busy. */
export async function callPatiently<T = unknown>(...args: Call): Promise<T> {
  const giveUpAt = performance.now() + PATIENCE_MS;
  while (performance.now() < giveUpAt) {
    const response = await send(...args);
    if (response.ok) return (await response.json().catch(() => undefined)) as T;
    await response.body?.cancel();
    if (response.status !== 503) break;
    await sleep(Number(response.headers.get('retry-after') ?? 1) * 1_000);
  }
  return call(...args);
}

function send(...[method, url, body, headers = {}]: Call): Promise<Response> {
  return fetch(url, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
}

/** The resource at `url`, or undefined when the response is 404. @throws Advice for any other error */
export async function find<T>(url: string, headers: Headers = {}): Promise<T | undefined> {
  const response = await fetch(url, { headers });
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  if (response.status === 404) return undefined;
  throw new Advice(`GET ${url} returned ${response.status}: ${text}`);
}
