/** How pages ask the gateway: who is logged in, and what the shop answers. */
import { computed, signal } from '@preact/signals';
import { LarderClient, LarderProblem, type Problem } from '#client';
import type { Session } from '../../gateway/src/api.js';

/** Longer than the gateway waits for any service. */
const ANSWER_WITHIN_MS = 10_000;
/** Of a gateway that is known to be away, and of what it answers by itself. */
const SOON_MS = 3_000;
const AGAIN_MS = 2_000;

/** The gateway has not answered. */
export class NoAnswer extends Error {
  override readonly name = 'NoAnswer';
}

/** Undefined until it is known. */
export const session = signal<Session | undefined>(undefined);

const operations = computed(() => new Set(session.value?.caller?.may));

/** Whether who is logged in may do this, by the gateway's table: `POST /orders`. What they may not is not shown. */
export const may = (operation: string): boolean => operations.value.has(operation);

/** Asks who is logged in, and so whether the gateway answers. */
export async function loadSession(): Promise<void> {
  session.value = await ask<Session>('/session', { withinMs: SOON_MS });
}

let heardMs = Date.now();

/** Since when the gateway has said nothing, by the clock of this browser; undefined while it answers. */
export const silentSince = signal<number | undefined>(undefined);

/** The gateway is there: it has answered, or told something. */
export function hear(): void {
  heardMs = Date.now();
  silentSince.value = undefined;
}

/** From now on it is away, and is asked until it is back. */
function miss(): void {
  if (silentSince.value !== undefined) return;
  silentSince.value = heardMs;
  const again = () =>
    setTimeout(() => {
      if (silentSince.value !== undefined)
        void loadSession()
          .catch(() => {})
          .then(again);
    }, AGAIN_MS);
  again();
}

/** Where somebody logs in, and comes back to the page that they are on. */
export const loginUrl = (): string => `/login?returnTo=${encodeURIComponent(location.pathname + location.search)}`;

async function send(
  request: Request,
  withinMs = silentSince.value === undefined ? ANSWER_WITHIN_MS : SOON_MS,
): Promise<Response> {
  const { method } = request;
  const csrf = session.value?.csrf;
  if (csrf !== undefined && method !== 'GET') request.headers.set('Larder-CSRF', csrf);
  let response: Response;
  try {
    response = await fetch(request, { signal: AbortSignal.timeout(withinMs) });
    await response.clone().arrayBuffer(); // What breaks off is no answer either.
  } catch (error) {
    miss();
    const isSilent = error instanceof Error && error.name === 'TimeoutError';
    const what = `The gateway ${isSilent ? 'does not answer' : 'cannot be reached'}.`;
    const whether = ' It is not known whether this was done. You can ask for it again: it counts once.';
    throw new NoAnswer(`${what}${method === 'GET' ? '' : whether}`, { cause: error });
  }
  hear();
  // The session has ended: the page then says how to begin another.
  if (response.status === 401 && session.value?.caller) session.value = {};
  return response;
}

export const shop = new LarderClient({}, { fetch: (request) => send(request), retries: 1 });

/** For what the client has no method for. @throws LarderProblem, or NoAnswer */
export async function ask<T>(
  url: string,
  { method = 'GET', body, withinMs }: { method?: string; body?: object; withinMs?: number } = {},
): Promise<T> {
  const headers = { accept: 'application/json', ...(body && { 'content-type': 'application/json' }) };
  const content = body === undefined ? {} : { body: JSON.stringify(body) };
  const response = await send(new Request(url, { method, headers, ...content }), withinMs);
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer as T;
  const problem = answer as Problem | undefined;
  const detail = problem?.detail ?? `${url} was answered with ${response.status}, and not by the shop.`;
  throw new LarderProblem(response.status, problem?.code ?? 'unknown', detail, problem);
}

/** What services answer, each by itself: one that is away is named, and the others are shown. Some do answer. */
export interface Answers<T> {
  readonly found: readonly { readonly service: string; readonly answer: T }[];
  readonly away: readonly { readonly service: string; readonly error: unknown }[];
}

/** The services of which this may be asked: `GET /admin/projections` of order is `GET /order/admin/projections` here. */
export function servicesWith(operation: string): string[] {
  const [method, path] = operation.split(' ') as [string, string];
  return [...operations.value].flatMap((each) => {
    const service =
      each.startsWith(`${method} /`) && each.endsWith(path) && each.slice(method.length + 2, -path.length);
    return service && !service.includes('/') ? [service] : [];
  });
}

/** Asks `read` of every service that has `operation`. */
export const askEach = <T>(operation: string, read: (service: string) => Promise<T>): Promise<Answers<T>> =>
  askAll(servicesWith(operation), read);

/** Asks `read` of each of these services. @throws what the first fails with, when none answers; NoAnswer, without the gateway */
export async function askAll<T>(
  services: readonly string[],
  read: (service: string) => Promise<T>,
): Promise<Answers<T>> {
  const answers = await Promise.allSettled(services.map(read));
  const of = services.map((service, i) => ({ service, answer: answers[i]! }));
  const [first] = answers;
  // Then the services are not away: what was told before is more than a part that came just in time.
  const silence = answers.find((each) => each.status === 'rejected' && each.reason instanceof NoAnswer);
  if (silence?.status === 'rejected') throw silence.reason;
  if (first?.status === 'rejected' && answers.every(({ status }) => status === 'rejected')) throw first.reason;
  return {
    found: of.flatMap(({ service, answer }) =>
      answer.status === 'fulfilled' ? [{ service, answer: answer.value }] : [],
    ),
    away: of.flatMap(({ service, answer }) =>
      answer.status === 'rejected' ? [{ service, error: answer.reason as unknown }] : [],
    ),
  };
}

/** Logs out here and at the provider. */
export async function logOut(): Promise<void> {
  const answer = await ask<{ location?: string } | undefined>('/logout', { method: 'POST' });
  location.assign(answer?.location ?? '/');
}
