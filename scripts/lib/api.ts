/** The shop's HTTP API, as its scripts and tests call it. */
import { Advice } from './advice.js';

/**
 * Calls the API and returns the body of the response.
 * @throws Advice with the status and the body, unless the response is a 2xx
 */
export async function call<T = unknown>(
  method: 'GET' | 'POST' | 'PUT',
  url: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
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
export async function find<T>(url: string): Promise<T | undefined> {
  const response = await fetch(url);
  if (response.ok) return (await response.json()) as T;
  const text = await response.text();
  if (response.status === 404) return undefined;
  throw new Advice(`GET ${url} returned ${response.status}: ${text}`);
}
