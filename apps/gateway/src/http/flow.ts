/**
 * `GET /flow`: how the shop flows, in figures of now.
 *
 *   each instance of each service ──▶ /admin/flow ──┬─ what is stored: the same from all of a service, told once
 *   this gateway ───────────────────────────────────┘─ what is an instance's own: told of each
 *
 * A service of which no instance answers is missing, and named. Of several, the one is told that has counted for the longest.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Agent } from 'undici';
import { extendDeadline } from '#nest';
import { type Clock, within } from '#runtime';
import type { ServiceFlow } from '#service';
import { perService, services } from '../../../shop.js';
import type { Flow } from '../api.js';
import type { Calls } from './calls.js';
import type { Instance, Instances } from './instances.js';

/** How long an instance may take: each of its figures is there, or left out, before that. */
const ANSWER_WITHIN_MS = 2_000;
const MARGIN_MS = 500;

export interface FlowOptions {
  readonly clock: Clock;
  readonly agent: Agent;
  readonly instances: Pick<Instances, 'all'>;
  readonly calls: Pick<Calls, 'isOpen'>;
  /** What this gateway is called. */
  readonly name: string;
  /** How many read `/stream` here. */
  readonly readers: () => number;
  readonly answerWithinMs?: number;
}

export function serveFlow(http: FastifyInstance, options: FlowOptions): void {
  const { clock, instances, calls, name, readers, answerWithinMs = ANSWER_WITHIN_MS } = options;
  http.get('/flow', async (request, reply) => {
    extendDeadline(request, answerWithinMs + MARGIN_MS);
    const asked = services.flatMap((service) => instances.all(service));
    const found = await Promise.all(
      asked.map(async (instance) => {
        const ask = (signal: AbortSignal) => askInstance(request, instance, options.agent, signal);
        const flow = await within(clock, answerWithinMs, ask, () => undefined).catch(() => undefined);
        return { ...instance, flow };
      }),
    );
    const told = services.flatMap((service) =>
      longestOf(found.flatMap((it) => (it.service === service && it.flow) || [])),
    );
    const missing = services.filter((service) => !told.some((it) => it.service === service));
    const flow: Flow = {
      at: clock.now().toISOString(),
      complete: found.every(({ flow }) => flow !== undefined) && missing.length === 0,
      missing,
      services: told.map(sharedOf),
      instances: found.map(({ service, url, state, flow }) => ({
        service,
        url,
        state,
        ...(flow && { name: flow.instance, circuits: flow.circuits }),
      })),
      gateway: { name, circuits: perService((each) => (calls.isOpen(each) ? 'open' : 'closed')), readers: readers() },
    };
    return reply.send(flow);
  });
}

async function askInstance(
  { headers, cause, ip }: FastifyRequest,
  { url, host, state }: Instance,
  agent: Agent,
  signal: AbortSignal,
): Promise<ServiceFlow | undefined> {
  if (state === 'out') return undefined;
  const answer = await agent.request({
    origin: url,
    path: '/admin/flow',
    method: 'GET',
    headers: {
      host,
      'x-correlation-id': cause.correlationId,
      'x-forwarded-for': ip,
      ...(headers.authorization && { authorization: headers.authorization }),
    },
    signal,
  });
  if (answer.statusCode === 200) return (await answer.body.json()) as ServiceFlow;
  await answer.body.dump();
  return undefined;
}

/** The one to tell: none when nobody has answered. */
function longestOf(flows: readonly ServiceFlow[]): ServiceFlow[] {
  const countedOver = ({ orders }: ServiceFlow) => orders?.toSettle.seconds ?? 0;
  const [first, ...others] = flows;
  return first ? [others.reduce((best, it) => (countedOver(it) > countedOver(best) ? it : best), first)] : [];
}

function sharedOf(flow: ServiceFlow): Flow['services'][number] {
  const { circuits: _, ...shared } = flow;
  return shared;
}
