/** The shop's HTTP API, as its scripts and tests call it. */
import { existsSync, readFileSync } from 'node:fs';
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

/**
 * Calls the API and returns the body of the response.
 * @throws Advice with the status and the body, unless the response is a 2xx
 */
export async function call<T = unknown>(
  method: 'GET' | 'POST' | 'PUT',
  url: string,
  body?: object,
  headers: Headers = {},
): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: { ...(body && { 'content-type': 'application/json' }), ...headers },
    ...(body && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (response.ok) return (text ? JSON.parse(text) : undefined) as T;
  throw new Advice(`${method} ${url} returned ${response.status}: ${text}`);
}

/** The resource at `url`, or undefined when the response is 404. @throws Advice for any other error */
export async function find<T>(url: string, headers: Headers = {}): Promise<T | undefined> {
  const response = await fetch(url, { headers });
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  if (response.status === 404) return undefined;
  throw new Advice(`GET ${url} returned ${response.status}: ${text}`);
}
