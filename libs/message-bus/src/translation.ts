/**
 * Between a service's events and the messages that others read: what goes out is put into an envelope, what comes in is
 * checked against its contract.
 */
import { z } from 'zod';
import type { AnyTopic, MessageOf } from '#contracts';
import { type Cause, type DomainEvent, idOf, type RecordedEvent } from '#event-store';
import { PoisonMessage, SkippedMessage } from './consumer.js';
import type { Message } from './port.js';

/**
 * Puts what an event says to others into its envelope. The message takes the event's id, so that a message sent twice
 * is seen to be the same. `orderId` is the key that orders it.
 */
export function envelope(source: string, orderId: string, event: RecordedEvent, said: DomainEvent): Message {
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
export function toMessages<T extends AnyTopic>(
  topicOfOurs: T,
  tell: (orderId: string, event: any) => MessageOf<T> | undefined,
): (event: RecordedEvent) => Message | undefined {
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
export function parseMessage<T extends AnyTopic>(from: T, message: Pick<Message, 'type' | 'data'>): MessageOf<T> {
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
