/**
 * `GET /orders/:orderId/story`: what all services tell of an order, put together.
 *
 *   staff      ──▶ /admin/stories/:orderId of each service, at the same time
 *   a customer ──▶ /orders/:orderId/history of order alone: what the others know is not theirs to see
 *
 * A service that does not answer in time is missing, and named; only order says that there is no such order.
 */
import type { FastifyInstance } from 'fastify';
import { extendDeadline, Problem, tryAgain } from '#nest';
import type { Clock } from '#runtime';
import { byTime, type OrderStory } from '#service';
import type { components } from '../../../../libs/client/src/generated/order.js';
import { services } from '../../../shop.js';
import type { Ahead, Exchange, Story, StoryFact } from '../api.js';
import { isRefusal, PART_WITHIN_MS, readPart, refusalOf } from './inside.js';

const ORDER_ID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

/** What the order service shows a customer of the past. */
type History = components['schemas']['History'];

interface ToldPart {
  readonly facts: readonly StoryFact[];
  readonly ahead?: Ahead;
  readonly exchanges?: readonly Exchange[];
}

export function serveStories(
  http: FastifyInstance,
  { clock, partWithinMs = PART_WITHIN_MS }: { readonly clock: Clock; readonly partWithinMs?: number },
): void {
  http.get<{ Params: { orderId: string } }>('/orders/:orderId/story', async (request, reply) => {
    const { orderId } = request.params;
    if (!ORDER_ID.test(orderId)) throw new Problem(422, 'invalid-request', 'orderId: This is not the id of an order.');
    extendDeadline(request, partWithinMs);
    const isForStaff = request.caller?.whose === 'any';
    const asked = services.map(async (service): Promise<ToldPart | undefined> => {
      if (!isForStaff && service !== 'order') return undefined;
      const path = isForStaff ? `/${service}/admin/stories/${orderId}` : `/orders/${orderId}/history`;
      const answer = await readPart(request, path, { clock, withinMs: partWithinMs });
      if (service === 'order' && isRefusal(answer)) throw refusalOf(answer);
      if (answer?.status !== 200) return undefined;
      return isForStaff ? (answer.body as OrderStory) : partOf(orderId, answer.body as History);
    });
    const parts = await Promise.all(asked);
    const missing = services.filter((_, i) => parts[i] === undefined);
    if (missing.length === services.length) {
      throw isForStaff
        ? tryAgain('unavailable', 'No service answers. Try again.')
        : tryAgain('unavailable', 'order does not answer. Try again.', { service: 'order' });
    }
    const ahead = parts.find((part) => part?.ahead)?.ahead;
    const exchanges = parts.find((part) => part?.exchanges)?.exchanges;
    const story: Story = {
      orderId,
      at: clock.now().toISOString(),
      complete: missing.length === 0,
      missing,
      facts: byTime(parts.flatMap((part) => part?.facts ?? [])),
      ...(ahead && { ahead }),
      ...(exchanges && { exchanges }),
    };
    return reply.send(story);
  });
}

/** What a customer sees of their order: neither who decided, nor positions, nor since when read models show it. */
function partOf(orderId: string, { events }: History): ToldPart {
  const stream = `order-${orderId}`;
  const facts = events.map(({ revision, type, at, data }) => {
    return { id: `${stream}/${revision}`, service: 'order', stream, revision, type, data, recordedAt: at, shown: {} };
  });
  return { facts };
}
