/**
 * Messages as Kafka's records: CloudEvents 1.0 in binary mode, the attributes in headers and the data as the value.
 *
 * Source: CloudEvents, "Kafka Protocol Binding", version 1.0.2, section 3.2. `correlationid` and `traceparent`
 * have no prefix, as tracing libraries expect.
 */
import type { IHeaders, KafkaMessage, Message as RecordToSend } from 'kafkajs';
import { type Delivered, MALFORMED, type MalformedData, type Message } from '../port.js';

/** Kafka's default limit for a batch of records is 1 MiB, and a message must fit with its headers. */
export const MAX_VALUE_BYTES = 1_000_000;

/** How much of a malformed record's value is kept for a person to look at, in bytes. */
const MAX_SHOWN = 10_000;

export type KafkaRecord = RecordToSend & { readonly value: Buffer };

/** @throws Error for a message that is larger than Kafka takes */
export function recordOf(message: Message): KafkaRecord {
  const { id, type, source, time, key, correlationId, traceparent, data } = message;
  const value = Buffer.from(JSON.stringify(data));
  if (value.length > MAX_VALUE_BYTES) {
    throw new Error(`The message ${id} (${type}) has ${value.length} bytes, and Kafka accepts ${MAX_VALUE_BYTES}.`);
  }
  return {
    key,
    value,
    headers: {
      ce_specversion: '1.0',
      ce_id: id,
      ce_type: type,
      ce_source: source,
      ce_time: time,
      ce_subject: key,
      'content-type': 'application/json',
      correlationid: correlationId,
      ...(traceparent === undefined ? {} : { traceparent }),
    },
  };
}

/** The message that a record carries; of the type MALFORMED when it carries none. */
export function toDelivered(topic: string, partition: number, record: KafkaMessage): Delivered {
  const headers = textsOf(record.headers);
  const place = { topic, partition, offset: BigInt(record.offset) };
  const time = new Date(Number(record.timestamp)).toISOString();
  try {
    const id = requireHeader(headers, 'ce_id');
    const key = record.key?.toString() || headers['ce_subject'] || id;
    if (requireHeader(headers, 'ce_specversion') !== '1.0') throw new Error('Its CloudEvents version is not 1.0.');
    const message = {
      id,
      type: requireHeader(headers, 'ce_type'),
      source: requireHeader(headers, 'ce_source'),
      time: headers['ce_time'] || time,
      key,
      data: dataOf(record.value),
      correlationId: headers['correlationid'] || id,
      ...(headers['traceparent'] ? { traceparent: headers['traceparent'] } : {}),
      ...place,
    };
    // Postgres cannot store NUL in text, so such a message would stop its partition where it is stored.
    if (Object.values(message).some((part) => typeof part === 'string' && part.includes('\0'))) {
      throw new Error('Its key or its headers contain a NUL character.');
    }
    return message;
  } catch (error) {
    const id = `${topic}/${partition}/${record.offset}`;
    const data: MalformedData = {
      reason: `This is no CloudEvent in binary mode with JSON data: ${(error as Error).message}`,
      headers,
      value: record.value?.toString('utf8', 0, MAX_SHOWN) ?? '',
    };
    // With a key, it keeps its place among the messages of that key; without one, it holds up no other message.
    const key = record.key?.toString().replaceAll('\0', '') || id;
    return { id, type: MALFORMED, source: topic, time, key, data, correlationId: id, ...place };
  }
}

function requireHeader(headers: Readonly<Record<string, string>>, name: string): string {
  const value = headers[name];
  if (!value) throw new Error(`It has no header ${name}.`);
  return value;
}

function dataOf(value: Buffer | null): object {
  if (value === null) throw new Error('It has no value.');
  if (value.length > MAX_VALUE_BYTES) throw new Error(`It is too large: ${value.length} bytes.`);
  const data: unknown = JSON.parse(value.toString());
  if (typeof data !== 'object' || data === null) throw new Error('Its value is no JSON object.');
  return data;
}

function textsOf(headers: IHeaders = {}): Record<string, string> {
  const texts = Object.entries(headers).map(([name, value]) => [name, String([value].flat().at(-1) ?? '')]);
  return Object.fromEntries(texts) as Record<string, string>;
}
