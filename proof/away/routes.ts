/** What the routes of the gateway answer while something is away. */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents } from '../../apps/gateway/src/http/read-events.js';
import { type Service, services } from '../../apps/shop.js';
import type { Headers } from '../../scripts/lib/api.js';
import type { Absence } from './absences.js';

/** Of a service, what the gateway waits for it at most; of what is put together, half a second more. */
const ANSWER_WITHIN_MS = 6_000;
/** How soon the stream says who is away: a silent service is noticed after five seconds. */
const TOLD_WITHIN_MS = 12_000;

const AGAIN_MS = 1_000;

export interface Route {
  readonly path: string;
  /** The services that it asks. */
  readonly of: readonly Service[];
  /** Whether it answers with what there is, and names what is missing. */
  readonly inParts?: boolean;
  /** Whether the services need no server for it. */
  readonly isOfCode?: boolean;
  /** Whether it leads to the OpenID provider. */
  readonly isLogin?: boolean;
  /** Who asks; default: somebody with all roles. */
  readonly as?: 'customer';
}

export const routesOf = (orderId: string): readonly Route[] => [
  { path: '/orders', of: ['order'] },
  { path: `/orders/${orderId}`, of: ['order'] },
  { path: `/orders/${orderId}/history`, of: ['order'] },
  { path: `/orders/${orderId}/full`, of: services, inParts: true },
  { path: `/orders/${orderId}/story`, of: services, inParts: true },
  { path: '/prices', of: ['order'] },
  { path: '/stock', of: ['inventory'] },
  { path: '/stock/honey', of: ['inventory'] },
  { path: `/reservations/${orderId}`, of: ['inventory'] },
  { path: `/payments/${orderId}`, of: ['payment'] },
  { path: '/order/admin/attention', of: ['order'] },
  { path: '/payment/admin/attention', of: ['payment'] },
  { path: '/order/admin/past-attention', of: ['order'] },
  ...services.flatMap((service) => [
    { path: `/${service}/admin/dead-letters`, of: [service] },
    { path: `/${service}/admin/projections`, of: [service] },
    { path: `/${service}/admin/flow`, of: [service], isOfCode: true },
    { path: `/${service}/admin/troubles`, of: [service], isOfCode: true },
  ]),
  { path: '/flow', of: services, inParts: true, isOfCode: true },
  { path: '/admin/balance', of: [] },
  { path: '/docs-json', of: services, inParts: true, isOfCode: true },
  { path: '/session', of: [] },
  { path: '/login', of: [], isLogin: true },
  { path: '/console/orders', of: [] },
  { path: '/health/live', of: [] },
  ...['/orders', `/orders/${orderId}`, `/orders/${orderId}/story`, '/prices'].map((path): Route => {
    return { path, of: ['order'], as: 'customer' };
  }),
];

/** What an answer is, in a few words for the table: `whole`, `without order`, `503`. */
export interface Seen {
  readonly words: string;
  /** What is wrong with it. */
  readonly faults: readonly string[];
}

/** What is wrong counts when it is so again: on a busy machine, what is there may be late, too. */
export async function lookAt(gateway: string, route: Route, caller: Headers, absence: Absence): Promise<Seen> {
  const first = await lookOnce(gateway, route, caller, absence);
  if (first.faults.length === 0) return first;
  await sleep(AGAIN_MS);
  return lookOnce(gateway, route, caller, absence);
}

async function lookOnce(
  gateway: string,
  route: Route,
  caller: Headers,
  { lost, listens, server }: Absence,
): Promise<Seen> {
  const startMs = performance.now();
  // Its own name is localhost, under which alone somebody logs in.
  const at = route.isLogin ? gateway.replace('127.0.0.1', 'localhost') : gateway;
  const response = await fetch(at + route.path, {
    headers: caller,
    redirect: 'manual',
    signal: AbortSignal.timeout(60_000),
  });
  const text = await response.text();
  const tookMs = performance.now() - startMs;
  const faults: string[] = [];
  if (tookMs > ANSWER_WITHIN_MS) faults.push(`took ${Math.round(tookMs)} ms`);
  const missing = route.isOfCode && listens ? [] : route.of.filter((service) => lost.includes(service));
  const isWhole = missing.length === 0 && !(route.isLogin && server === 'the OpenID provider');
  const expected = isWhole ? 'whole' : missing.length === route.of.length ? '503' : `without ${missing.join(', ')}`;
  const isAnswer = route.isLogin ? response.headers.get('location')?.includes('/auth?') : response.status === 200;
  const words = isAnswer ? wordsOf(route, text) : `${response.status}`;
  if (words !== expected) faults.push(`is ${words}, and not ${expected}: ${text.slice(0, 300)}`);
  if (response.status === 503) {
    const { code, detail, correlationId, service } = JSON.parse(text) as Record<string, string | undefined>;
    if (response.headers.get('retry-after') === null) faults.push('has no Retry-After');
    if (!code || !detail || !correlationId) faults.push(`has no code, words or correlation id: ${text}`);
    if (!listens && missing.length === 1 && service !== missing[0]) faults.push(`does not name ${missing[0]}: ${text}`);
  }
  return { words, faults: faults.map((fault) => `${route.path} ${fault}`) };
}

/** Which service each part of `/full` is of. */
const PARTS: Readonly<Record<string, Service>> = {
  order: 'order',
  history: 'order',
  reservation: 'inventory',
  payment: 'payment',
};

function wordsOf({ path, inParts }: Route, text: string): string {
  if (!inParts) return 'whole';
  const body = JSON.parse(text) as { complete?: boolean; missing?: string[]; info?: { description: string } };
  const missing = body.info
    ? services.filter((service) => body.info!.description.includes(`**${service} does not answer now`))
    : services.filter((service) =>
        body.missing!.some((part) => (path.endsWith('/full') ? PARTS[part] : part) === service),
      );
  if (body.complete !== undefined && body.complete !== (missing.length === 0)) return `${body.complete} for complete`;
  return missing.length === 0 ? 'whole' : `without ${missing.join(', ')}`;
}

/** Listens until the stream says that exactly these services are away, and returns what it said last. */
export async function listenUntil(gateway: string, caller: Headers, { lost }: Absence): Promise<Seen> {
  const over = new AbortController();
  const timer = setTimeout(() => over.abort(), TOLD_WITHIN_MS);
  const wanted = JSON.stringify(lost);
  let away = 'nothing';
  try {
    const response = await fetch(`${gateway}/stream`, { headers: caller, signal: over.signal });
    if (response.status !== 200) return { words: `${response.status}`, faults: [`/stream is ${response.status}`] };
    for await (const events of readEvents(response.body!)) {
      const last = events.findLast(({ name }) => name === 'away');
      if (last) away = JSON.stringify((JSON.parse(last.data) as { services: string[] }).services);
      if (away === wanted) break;
    }
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
    over.abort();
  }
  const words = lost.length === 0 ? 'whole' : `names ${lost.join(', ')}`;
  return away === wanted ? { words, faults: [] } : { words: away, faults: [`/stream says that ${away} are away`] };
}
