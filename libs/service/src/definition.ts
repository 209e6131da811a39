/**
 * A service's definition, as one value without a framework. The service itself runs by it, and so do the commands, the
 * documents, the simulation, the crash matrix and the specs. Code that needs to know all services reads `apps/shop.ts`,
 * where a new service is one line.
 */
import type { z } from 'zod';
import type { AnyTopic, MessageOf } from '#contracts';
import type { Decider } from '#decider';
import type { RecordedEvent, Upcasters } from '#event-store';
import type { AnyProjection } from '#projections';
import type { AccessTable } from './access.js';
import type { Ahead, Exchange } from './story.js';
import { baseConfig, configOf, type tcpPort } from './config.js';
import type { TroubleTable } from './troubles/troubles.js';

/** What a service declares; `defineService` adds what follows from it. */
export interface ServiceParts<
  Published extends AnyTopic = AnyTopic,
  Subscribed extends AnyTopic = AnyTopic,
  Command = any,
  Variables extends z.ZodRawShape = z.ZodRawShape,
> {
  /** Used in URLs of databases, in Larder-Position and as consumer group: `order`. */
  readonly name: string;
  /** The default TCP port of its HTTP server; the variable PORT overrides it. */
  readonly port: number;
  /** Who may call which of its own routes; libs/nest knows who may call those of every service. */
  readonly access: AccessTable;
  /** The environment variables that it reads besides those of every service, each with a description. */
  readonly variables?: Variables;
  /** Those of them whose defaults everybody knows: with one, the service listens on loopback only. */
  readonly publicDefaults?: readonly (keyof Variables & string)[];
  /** Its aggregates, by the category of their streams. */
  readonly aggregates: Readonly<Record<string, Decider<any, any, any>>>;
  /** Every event type that it stores, with the steps that upcast older shapes. */
  readonly upcasters: Upcasters;
  /** The topic that it publishes on. */
  readonly publishes: Published;
  /** The categories whose events become messages. */
  readonly relays: readonly string[];
  /** The public form of one of those events; undefined when it is private. `orderId` is the id of its stream. */
  readonly messageOf: (orderId: string, event: any) => MessageOf<Published> | undefined;
  /** The topics that it reads. */
  readonly subscribes: readonly Subscribed[];
  /** The types among them that never lead to a command: its consumer is not woken for them, and reads them with the next one. */
  readonly ignores?: readonly MessageOf<Subscribed>['type'][];
  /** The command that a message leads to; undefined when the message does not concern it. */
  readonly reactionTo: (message: any) => Command | undefined;
  readonly projections: readonly AnyProjection[];
  /** What is to come of an order by its events, where this service decides about it. Throws NotFound for one without any. */
  readonly ahead?: (events: readonly RecordedEvent<any>[], now: Date) => Ahead | undefined;
  /** What it asked of somebody outside of the shop about an order, by the order's events. */
  readonly exchanges?: (events: readonly RecordedEvent<any>[]) => Exchange[] | undefined;
  /** The leases that its own loops hold, besides those of relay, consumer and projectors. */
  readonly leases?: readonly string[];
  /** What can be made to go wrong with it where TROUBLE is true, besides the troubles of every service. */
  readonly troubles?: TroubleTable;
  /** Whether `request.rawBody` keeps the bytes of each body, to verify signatures. By default false. */
  readonly rawBody?: boolean;
}

export type ServiceDefinition<
  Published extends AnyTopic = AnyTopic,
  Subscribed extends AnyTopic = AnyTopic,
  Command = any,
  Variables extends z.ZodRawShape = z.ZodRawShape,
> = Required<ServiceParts<Published, Subscribed, Command, Variables>> & {
  /** All environment variables that it reads. */
  readonly config: z.ZodObject<typeof baseConfig.shape & { readonly PORT: ReturnType<typeof tcpPort> } & Variables>;
  /** The names of all leases that one of its instances may hold. */
  readonly allLeases: readonly string[];
};

export function defineService<
  Published extends AnyTopic,
  Subscribed extends AnyTopic,
  Command,
  Variables extends z.ZodRawShape = {},
>(
  parts: ServiceParts<Published, Subscribed, Command, Variables>,
): ServiceDefinition<Published, Subscribed, Command, Variables> {
  const { name, port, projections, variables = {} as Variables, ignores = [], leases = [], rawBody = false } = parts;
  const { publicDefaults = [], troubles = {} } = parts;
  const { ahead = () => undefined, exchanges = () => undefined } = parts;
  const config = configOf(baseConfig, port, variables, publicDefaults);
  const allLeases = [name, `${name} retries`, ...leases, ...projections.map((each) => `projector:${each.name}`)];
  const rest = { ahead, exchanges, leases, troubles, rawBody, allLeases, config };
  return { ...parts, variables, publicDefaults, ignores, ...rest };
}
