import type { KafkaMessage } from 'kafkajs';
import { expect, test } from 'vitest';
import { toDelivered, MAX_VALUE_BYTES, recordOf } from './record.js';
import { MALFORMED, type MalformedData, type Message } from '../port.js';

const message: Message = {
  id: '7f0c',
  type: 'StockReserved',
  source: '/inventory',
  time: '2026-01-01T00:00:00.000Z',
  key: 'order-1',
  data: { orderId: 'order-1' },
  correlationId: 'c-1',
  traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
};

/** As kafkajs hands it over: headers are bytes. */
function asRead({ headers = {}, ...record }: Partial<KafkaMessage>): KafkaMessage {
  return {
    key: null,
    value: Buffer.from('{}'),
    timestamp: '1767225600000',
    attributes: 0,
    offset: '7',
    headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Buffer.from(String(value))])),
    ...record,
  } as KafkaMessage;
}

const event = { ce_specversion: '1.0', ce_id: '7f0c', ce_type: 'StockReserved', ce_source: '/inventory' };

test('a message is a CloudEvent in binary mode', () => {
  const { key, value, headers } = recordOf(message);
  expect([key, value.toString(), headers]).toEqual([
    'order-1',
    '{"orderId":"order-1"}',
    {
      ce_specversion: '1.0',
      ce_id: '7f0c',
      ce_type: 'StockReserved',
      ce_source: '/inventory',
      ce_time: '2026-01-01T00:00:00.000Z',
      ce_subject: 'order-1',
      'content-type': 'application/json',
      correlationid: 'c-1',
      traceparent: message.traceparent,
    },
  ]);
});

test('a record that is written and read is the same message', () => {
  const { key, value, headers } = recordOf(message);
  const record = asRead({ key: Buffer.from(String(key)), value, headers: headers! });
  expect(toDelivered('t', 3, record)).toEqual({ ...message, topic: 't', partition: 3, offset: 7n });
});

test('a CloudEvent from another producer needs only its required attributes', () => {
  expect(toDelivered('t', 3, asRead({ headers: event }))).toEqual({
    id: '7f0c',
    type: 'StockReserved',
    source: '/inventory',
    time: '2026-01-01T00:00:00.000Z',
    key: '7f0c',
    data: {},
    correlationId: '7f0c',
    topic: 't',
    partition: 3,
    offset: 7n,
  });
  expect(toDelivered('t', 3, asRead({ headers: { ...event, ce_subject: 'order-2' } })).key).toBe('order-2');
});

test.for<[string, Partial<KafkaMessage>, string]>([
  ['without headers', {}, 'no header ce_id'],
  ['without a type', { headers: { ...event, ce_type: '' } }, 'no header ce_type'],
  ['of another version', { headers: { ...event, ce_specversion: '0.3' } }, 'version is not 1.0'],
  ['without a value', { headers: event, value: null }, 'no value'],
  ['that is no JSON', { headers: event, value: Buffer.from('{') }, 'JSON'],
  ['that is no object', { headers: event, value: Buffer.from('42') }, 'no JSON object'],
  ['that is too large', { headers: event, value: Buffer.alloc(MAX_VALUE_BYTES + 1, 'x') }, 'too large: 1000001 bytes'],
  ['with a NUL in an attribute', { headers: { ...event, ce_id: 'a\0b' } }, 'NUL'],
  ['with a NUL in its key', { headers: event, key: Buffer.from('order\0-1') }, 'NUL'],
])('a record %s is delivered as malformed, with the reason', ([, record, reason]) => {
  const delivered = toDelivered('t', 3, asRead({ key: Buffer.from('order-1'), ...record }));
  expect(delivered).toMatchObject({ id: 't/3/7', type: MALFORMED, key: 'order-1', partition: 3, offset: 7n });
  const data = delivered.data as MalformedData;
  expect(data.reason).toContain(reason);
  expect(data.value.length).toBeLessThanOrEqual(10_000);
});

test('a malformed record without a key holds up no other', () => {
  expect(toDelivered('t', 3, asRead({})).key).toBe('t/3/7');
});

test('a message that Kafka would not take is refused before anything is sent', () => {
  const large = { ...message, data: { text: 'x'.repeat(MAX_VALUE_BYTES) } };
  expect(() => recordOf(large)).toThrow(
    'The message 7f0c (StockReserved) has 1000011 bytes, and Kafka accepts 1000000.',
  );
});
