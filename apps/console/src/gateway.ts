/** How pages ask the gateway: who is logged in, and what the shop answers. */
import { computed, signal } from '@preact/signals';
import { LarderClient, LarderProblem, type Problem } from '#client';
import type { Session } from '../../gateway/src/api.js';

/** Undefined until it is known. */
export const session = signal<Session | undefined>(undefined);

const operations = computed(() => new Set(session.value?.caller?.may));

/** Whether who is logged in may do this, by the gateway's table: `POST /orders`. What they may not is not shown. */
export const may = (operation: string): boolean => operations.value.has(operation);

export async function loadSession(): Promise<void> {
  session.value = await ask<Session>('/session');
}

/** Where somebody logs in, and comes back to the page that they are on. */
export const loginUrl = (): string => `/login?returnTo=${encodeURIComponent(location.pathname + location.search)}`;

async function send(request: Request): Promise<Response> {
  const csrf = session.value?.csrf;
  if (csrf !== undefined && request.method !== 'GET') request.headers.set('Larder-CSRF', csrf);
  const response = await fetch(request).catch((error: unknown) => {
    throw new Error('The gateway cannot be reached.', { cause: error });
  });
  // The session has ended: the page then says how to begin another.
  if (response.status === 401 && session.value?.caller) session.value = {};
  return response;
}

export const shop = new LarderClient({}, { fetch: send, retries: 1 });

/** For what the client has no method for. @throws LarderProblem */
export async function ask<T>(
  url: string,
  { method = 'GET', body }: { method?: string; body?: object } = {},
): Promise<T> {
  const headers = { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) };
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await send(new Request(url, { method, headers, ...content }));
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer as T;
  const problem = answer as Problem | undefined;
  const detail = problem?.detail ?? `${url} was answered with ${response.status}, and not by the shop.`;
  throw new LarderProblem(response.status, problem?.code ?? 'unknown', detail, problem);
}

/** Logs out here and at the provider. */
export async function logOut(): Promise<void> {
  const answer = await ask<{ location?: string } | undefined>('/logout', { method: 'POST' });
  location.assign(answer?.location ?? '/');
}
