/**
 * The background work of a service, assembled from its definition:
 *
 *   bus ──▶ consumer ──▶ handle ──▶ decider ──▶ store ──┬─▶ relay ──▶ bus
 *                                                       └─▶ projectors ──▶ read models, to-do lists ──▶ loops
 */
import type { MessageOf } from '#contracts';
import type { Cause } from '#event-store';
import {
  causeOf,
  Consumer,
  type Delivered,
  type Outbox,
  parseMessage,
  relay,
  toMessages,
  UnknownType,
} from '#message-bus';
import { projector } from '#projections';
import { supervise } from '#runtime';
import type { ServiceDefinition } from './definition.js';
import type { ServicePorts } from './ports.js';

/** How a service's events become messages. `store` returns events in their current shapes. */
export function outboxOf(definition: ServiceDefinition, { store, bus }: Pick<ServicePorts, 'store' | 'bus'>): Outbox {
  const { publishes, relays, messageOf } = definition;
  return { store, bus, topic: publishes.name, categories: relays, toMessage: toMessages(publishes, messageOf) };
}

/**
 * Checks a delivered message against the contract of its topic. Returns it with the command that it leads to, if any, and
 * the cause to record with the resulting events.
 * @throws UnknownType or ContractViolation, as parseMessage does
 */
export function receive<D extends ServiceDefinition>(
  definition: D,
  delivered: Delivered,
): {
  readonly message: MessageOf<D['subscribes'][number]>;
  readonly command: ReturnType<D['reactionTo']>;
  readonly cause: Cause;
} {
  const topic = definition.subscribes.find(({ name }) => name === delivered.topic);
  if (!topic) throw new UnknownType(delivered.type, delivered.topic);
  const message = parseMessage(topic, delivered) as MessageOf<D['subscribes'][number]>;
  return { message, command: definition.reactionTo(message), cause: causeOf(delivered) };
}

export interface RunOptions {
  /** Processes a message. Idempotent. */
  readonly handle: (message: Delivered) => Promise<void>;
  /** The service's own loops, by name; each is started again after an error. */
  readonly loops?: Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>;
  readonly signal: AbortSignal;
}

/** Runs a service until `signal` aborts. The store of `ports` returns events in their current shapes. */
export async function runService(
  definition: ServiceDefinition,
  ports: ServicePorts,
  { handle, loops = {}, signal }: RunOptions,
): Promise<void> {
  const { name, subscribes, ignores, projections } = definition;
  const parts = { ...ports, runtime: ports, signal };
  await Promise.all([
    ...Object.entries(loops).map(([loop, run]) => supervise(loop, ports, signal, run)),
    relay({ ...parts, ...outboxOf(definition, ports), name }),
    new Consumer({ ...parts, name, topics: subscribes.map((topic) => topic.name), ignores, handle }).run(),
    ...projections.map((projection) => projector({ ...parts, projection })),
  ]);
}
