/**
 * `GET /orders/{orderId}/full`: an order with all that the services have of it, from those that answer.
 *
 *   the caller may not ask, no answer in READ_TIMEOUT, a refusal   the part is among `missing`
 *   404 of reservation or payment                                  there is none (yet): it is absent, and not missing
 *   4xx of the order itself                                        the answer to all
 *   nothing answers                                                503, with Retry-After
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { extendDeadline, tryAgain } from '#nest';
import type { Clock } from '#runtime';
import { callerOf } from '#service';
import type { FullOrder, OrderPart } from '../api.js';
import { gatewayAccess } from '../definition.js';
import { formatPositions, highestOf, parsePositions } from '../positions.js';
import { isRefusal, type Part, readPart, refusalOf } from './inside.js';

const partPaths: Readonly<Record<OrderPart, string>> = {
  order: '/orders/:orderId',
  reservation: '/reservations/:orderId',
  payment: '/payments/:orderId',
  history: '/orders/:orderId/history',
};

const partNames = Object.keys(partPaths) as OrderPart[];

/** The time in which the answer is put together. */
const MARGIN_MS = 500;

export function serveFullOrders(
  http: FastifyInstance,
  { clock, readTimeoutMs }: { readonly clock: Clock; readonly readTimeoutMs: number },
): void {
  http.get<{ Params: { orderId: string } }>('/orders/:orderId/full', async (request, reply) => {
    const { orderId } = request.params;
    extendDeadline(request, readTimeoutMs + MARGIN_MS);
    const headers = { 'larder-position': request.headers['larder-position'] };
    const asked = partNames.filter((part) => mayAsk(request, part));
    const answers = await Promise.all(
      asked.map(async (part) => {
        const path = partPaths[part].replace(':orderId', encodeURIComponent(orderId));
        return [part, await readPart(request, path, { clock, withinMs: readTimeoutMs, headers })] as const;
      }),
    );

    const found = Object.fromEntries(answers) as Partial<Record<OrderPart, Part>>;
    const { order, history } = found;
    // An order whose read model is behind is known to its history.
    const isKnown = history?.status === 200;
    if (isRefusal(order) && !isKnown) throw refusalOf(order);
    if (answers.every(([, answer]) => !answer || answer.status >= 500)) {
      throw tryAgain('unavailable', 'No service that knows of this order answers. Try again.');
    }
    const missing = partNames.filter((part) => !isAnswered(part, found[part]));
    const shown = partNames.filter((part) => found[part]?.status === 200);
    const positions = highestOf(...answers.map(([, answer]) => parsePositions(answer?.position ?? '')));
    if (positions.size > 0) reply.header('larder-position', formatPositions(positions));
    const full: FullOrder = {
      orderId,
      complete: missing.length === 0,
      missing,
      ...Object.fromEntries(shown.map((part) => [part, found[part]!.body])),
    };
    return full;
  });
}

function mayAsk({ caller }: FastifyRequest, part: OrderPart): boolean {
  const rule = gatewayAccess[`GET ${partPaths[part]}`]!;
  return rule === 'anyone' || (caller !== undefined && callerOf(caller, rule) !== undefined);
}

/** That there is no reservation, or no payment, is an answer. */
function isAnswered(part: OrderPart, answer: Part | undefined): boolean {
  return answer?.status === 200 || (answer?.status === 404 && (part === 'reservation' || part === 'payment'));
}
