/**
 * Between a service's events and the messages that other services read: outgoing events are put into an envelope,
 * incoming messages are checked against their contract.
 */
import { z } from 'zod';
import type { AnyTopic, MessageOf } from '#contracts';
import { type Cause, type DomainEvent, idOf, type RecordedEvent } from '#event-store';
import { PoisonMessage, SkippedMessage } from './consumer.js';
import type { Delivered, Message } from './port.js';

/**
 * Puts the public form of an event into an envelope. The message takes the event's id, so that receivers recognize a
 * message that is sent twice. `orderId` is the key by which messages keep their order.
 */
export function wrap(source: string, orderId: string, event: RecordedEvent, content: DomainEvent): Message {
  const { correlationId, traceparent } = event.metadata;
  return {
    id: event.id,
    type: content.type,
    source,
    time: event.recordedAt,
    key: orderId,
    data: content.data,
    correlationId,
    ...(traceparent === undefined ? {} : { traceparent }),
  };
}

/**
 * How a relay turns a service's events into messages of `topic`. `messageOf` gives the public form of an event, with the
 * id that its stream carries (`order-<orderId>`); undefined keeps the event private.
 */
export function toMessages<T extends AnyTopic>(
  topic: T,
  messageOf: (orderId: string, event: any) => MessageOf<T> | undefined,
): (event: RecordedEvent) => Message | undefined {
  return (event) => {
    const orderId = idOf(event.stream);
    const content = messageOf(orderId, event);
    return content && wrap(topic.source, orderId, event, content);
  };
}

/** A message that violates its topic's contract. No retry can fix it. */
export class ContractViolation extends PoisonMessage {
  constructor(type: string, topicName: string, detail: string) {
    super(`${type} on ${topicName} does not keep the contract: ${detail}`);
    this.name = 'ContractViolation';
  }
}

/** A message of a type that the contract does not know: a topic may grow, and services skip types that they do not know yet. */
export class UnknownType extends SkippedMessage {
  constructor(type: string, topicName: string) {
    super(`${topicName} has no type "${type}" that is known here.`);
    this.name = 'UnknownType';
  }
}

/**
 * Checks an incoming message against the contract of its topic. Fields that the schema does not know are left out.
 * @throws UnknownType for a type that the contract does not know, ContractViolation when the data does not fit
 */
export function parseMessage<T extends AnyTopic>(topic: T, message: Pick<Message, 'type' | 'data'>): MessageOf<T> {
  const schema = Object.hasOwn(topic.schemas, message.type) ? topic.schemas[message.type] : undefined;
  if (!schema) throw new UnknownType(message.type, topic.name);
  const parsed = schema.safeParse(message.data);
  if (!parsed.success) throw new ContractViolation(message.type, topic.name, z.prettifyError(parsed.error));
  return { type: message.type, data: parsed.data } as MessageOf<T>;
}

/** The cause to record with the events that a message leads to. */
export function causeOf({ id, correlationId, traceparent, topic, partition, offset }: Delivered): Cause {
  const message = `${topic}/${partition}/${offset}`;
  return { correlationId, causationId: id, message, ...(traceparent === undefined ? {} : { traceparent }) };
}
