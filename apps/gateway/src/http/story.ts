/**
 * `GET /orders/:orderId/story`: what all services tell of an order, put together.
 *
 *   staff      ──▶ /admin/stories/:orderId of each service, at the same time
 *   a customer ──▶ /orders/:orderId/history of order alone: what the others know is not theirs to see
 *
 * A service that does not answer in time is missing, and named; only order says that there is no such order.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { extendDeadline, Problem, tryAgain } from '#nest';
import type { Ahead, OrderStory } from '#service';
import { type Service, services } from '../../../shop.js';
import type { Story, StoryFact } from '../api.js';

/** How long one service may take; the others are shown without it. */
const PART_WITHIN_MS = 3_000;
const ORDER_ID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** What the order service shows a customer of the past. */
interface History {
  readonly events: readonly {
    readonly revision: number;
    readonly type: string;
    readonly at: string;
    readonly data: object;
  }[];
}

interface Part {
  readonly facts: readonly StoryFact[];
  readonly ahead?: Ahead;
}

export interface StoryOptions {
  /** Where an instance is that is ready; undefined when none is. */
  readonly urlOf: (service: Service) => string | undefined;
  readonly now: () => Date;
  readonly partWithinMs?: number;
}

export function storyRoute(http: FastifyInstance, options: StoryOptions): void {
  http.get<{ Params: { orderId: string } }>('/orders/:orderId/story', async (request, reply) => {
    const { orderId } = request.params;
    if (!ORDER_ID.test(orderId)) throw new Problem(422, 'invalid-request', 'orderId: This is not the id of an order.');
    const { partWithinMs = PART_WITHIN_MS } = options;
    extendDeadline(request, partWithinMs);
    const isForStaff = request.caller?.whose === 'any';
    const ask = (service: Service, path: string) => askService(service, path, request, options);
    const asked = services.map(async (service): Promise<Part | undefined> => {
      if (isForStaff) return (await ask(service, `/admin/stories/${orderId}`)) as OrderStory | undefined;
      if (service !== 'order') return undefined;
      const history = (await ask(service, `/orders/${orderId}/history`)) as History | undefined;
      return history && partOf(orderId, history);
    });
    const parts = await Promise.all(asked);
    const missing = services.filter((_, i) => parts[i] === undefined);
    if (missing.length === services.length) throw tryAgain('unavailable', 'No service answers. Try again.');
    const ahead = parts.find((part) => part?.ahead)?.ahead;
    const story: Story = {
      orderId,
      at: options.now().toISOString(),
      complete: missing.length === 0,
      missing,
      facts: byTime(parts.flatMap((part) => part?.facts ?? [])),
      ...(ahead && { ahead }),
    };
    return reply.header('Cache-Control', 'no-store').send(story);
  });
}

/**
 * The JSON that a service answers the caller with; undefined when it does not answer, or fails.
 * @throws Problem what order refuses
 */
async function askService(
  service: Service,
  path: string,
  request: FastifyRequest,
  { urlOf, partWithinMs = PART_WITHIN_MS }: StoryOptions,
): Promise<unknown> {
  const url = urlOf(service);
  if (url === undefined) return undefined;
  const { authorization = '' } = request.headers;
  const headers = { authorization, 'x-correlation-id': request.cause.correlationId, 'x-forwarded-for': request.ip };
  const answer = await fetch(url + path, { headers, signal: AbortSignal.timeout(partWithinMs) })
    .then(async (response) => ({ status: response.status, body: await response.json() }))
    .catch(() => undefined);
  if (answer?.status === 200) return answer.body;
  if (answer && answer.status >= 400 && answer.status < 500 && service === 'order') {
    const { code, detail } = answer.body as { code: string; detail: string };
    throw new Problem(answer.status, code, detail);
  }
  return undefined;
}

/** What a customer sees of their order: neither who decided, nor positions, nor since when read models show it. */
function partOf(orderId: string, { events }: History): Part {
  const stream = `order-${orderId}`;
  const facts = events.map(({ revision, type, at, data }) => {
    return { id: `${stream}/${revision}`, service: 'order', stream, revision, type, data, recordedAt: at, shown: {} };
  });
  return { facts };
}

/** By time; those of one service stay in the order of its store, whatever its instances' clocks say. */
function byTime(facts: readonly StoryFact[]): StoryFact[] {
  const latest = new Map<string, string>();
  const timed = facts.map((fact) => {
    const before = latest.get(fact.service) ?? '';
    const at = fact.recordedAt > before ? fact.recordedAt : before;
    latest.set(fact.service, at);
    return { fact, at };
  });
  return timed.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0)).map(({ fact }) => fact);
}
