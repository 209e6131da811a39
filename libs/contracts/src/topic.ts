/**
 * A topic: where a service tells the others what happened. Its zod schemas are the single source of the messages'
 * types, of the check at the border, and of the documents generated from them.
 */
import { z } from 'zod';
import { type Cause, type Fact, idOf, type Recorded } from '#event-store';
import { type Message, PoisonMessage, SkippedMessage } from '#message-bus';

export interface Topic<Schemas extends Record<string, z.ZodObject>> {
  /** The topic's name on the bus, with the version of its contract. */
  readonly name: string;
  /** CloudEvents' `source`: the service that speaks. */
  readonly source: string;
  /** The data of each message, by the message's type. */
  readonly schemas: Schemas;
}

/** The messages of a topic as a union that `type` tells apart. */
export type MessageOf<T> =
  T extends Topic<infer Schemas>
    ? {
        [Type in keyof Schemas & string]: { readonly type: Type; readonly data: z.infer<Schemas[Type]> };
      }[keyof Schemas & string]
    : never;

export function topic<Schemas extends Record<string, z.ZodObject>>(
  name: string,
  source: string,
  schemas: Schemas,
): Topic<Schemas> {
  return { name, source, schemas };
}

/**
 * Puts what an event says to others into its envelope. The message takes the event's id, so that a message sent twice
 * is seen to be the same. `orderId` is the key that orders it.
 */
export function envelope(source: string, orderId: string, event: Recorded, said: Fact): Message {
  const { correlationId, traceparent } = event.metadata;
  return {
    id: event.id,
    type: said.type,
    source,
    time: event.recordedAt,
    key: orderId,
    data: said.data,
    correlationId,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/**
 * What a relay makes of a service's events: `tell` says what others may hear of one, under the id that its stream
 * carries (`order-<orderId>`); undefined keeps it private.
 */
export function telling<T extends Topic<Record<string, z.ZodObject>>>(
  topicOfOurs: T,
  tell: (orderId: string, event: any) => MessageOf<T> | undefined,
): (event: Recorded) => Message | undefined {
  return (event) => {
    const orderId = idOf(event.stream);
    const said = tell(orderId, event);
    return said && envelope(topicOfOurs.source, orderId, event, said);
  };
}

/** A message that does not keep its topic's contract. No retry can mend it. */
export class ContractViolation extends PoisonMessage {
  constructor(type: string, topicName: string, detail: string) {
    super(`${type} on ${topicName} does not keep the contract: ${detail}`);
    this.name = 'ContractViolation';
  }
}

/** A message of a type that the contract does not know: a topic may grow, and who does not know a type yet lets it pass. */
export class UnknownType extends SkippedMessage {
  constructor(type: string, topicName: string) {
    super(`${topicName} has no type "${type}" that is known here.`);
    this.name = 'UnknownType';
  }
}

/**
 * Checks a message at the border. Fields that the schema does not know are left out.
 * @throws UnknownType for a type that the contract does not know, ContractViolation when the data does not fit
 */
export function received<T extends Topic<Record<string, z.ZodObject>>>(
  from: T,
  message: Pick<Message, 'type' | 'data'>,
): MessageOf<T> {
  const schema = Object.hasOwn(from.schemas, message.type) ? from.schemas[message.type] : undefined;
  if (!schema) throw new UnknownType(message.type, from.name);
  const parsed = schema.safeParse(message.data);
  if (!parsed.success) throw new ContractViolation(message.type, from.name, z.prettifyError(parsed.error));
  return { type: message.type, data: parsed.data } as MessageOf<T>;
}

/** What a message leads to is recorded with it as the cause. */
export function causeOf({ id, correlationId, traceparent }: Message): Cause {
  return { correlationId, causationId: id, ...(traceparent === undefined ? {} : { traceparent }) };
}
