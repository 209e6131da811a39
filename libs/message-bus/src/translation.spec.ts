import { expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import { causeOf, ContractViolation, parseMessage, UnknownType, wrap } from '#message-bus';
import { inventoryEvents, orderEvents, paymentEvents } from '#contracts';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const lines = [{ sku: 'olive-oil', quantity: 2 }];
const total = { amountMinor: 2598, currency: 'EUR' };

const event: RecordedEvent = {
  id: '0197c0de-0000-7000-8000-000000000001',
  type: 'ReservationMade',
  data: { lines },
  stream: `reservation-${orderId}`,
  revision: 0,
  position: 7n,
  metadata: { correlationId: orderId, causationId: 'm1', schema: 1, actor: 'ada' },
  recordedAt: '2026-11-21T12:00:00.000Z',
};

test('fields that the contract does not know are left out, at every depth', () =>
  expect(
    parseMessage(orderEvents, {
      type: 'OrderPlaced',
      data: { orderId, lines: [{ ...lines[0], unitPrice: total }], gift: true },
    }),
  ).toEqual({ type: 'OrderPlaced', data: { orderId, lines } }));

test.each(['OrderGiftWrapped', 'constructor', 'toString', '__proto__', ''])(
  'a message of the unknown type "%s" is skipped',
  (type) => expect(() => parseMessage(orderEvents, { type, data: { orderId } })).toThrow(UnknownType),
);

test.each([
  ['orderId', orderEvents, 'OrderConfirmed', {}],
  ['orderId', orderEvents, 'OrderConfirmed', { orderId: '4711' }],
  ['lines', orderEvents, 'OrderPlaced', { orderId, lines: [] }],
  ['lines[0].quantity', orderEvents, 'OrderPlaced', { orderId, lines: [{ sku: 'olive-oil', quantity: 0 }] }],
  ['lines[0].quantity', orderEvents, 'OrderPlaced', { orderId, lines: [{ sku: 'olive-oil', quantity: 1_000_001 }] }],
  ['lines[0].sku', orderEvents, 'OrderPlaced', { orderId, lines: [{ sku: 'Olive Oil', quantity: 1 }] }],
  [
    'total.amountMinor',
    orderEvents,
    'OrderStockReserved',
    { orderId, paymentToken: 't', total: { ...total, amountMinor: 12.99 } },
  ],
  [
    'total.currency',
    orderEvents,
    'OrderStockReserved',
    { orderId, paymentToken: 't', total: { ...total, currency: 'euro' } },
  ],
  ['reason', orderEvents, 'OrderCancelled', { orderId, reason: 'boredom' }],
  ['short[0]', inventoryEvents, 'StockRejected', { orderId, short: [7] }],
  ['outcome', inventoryEvents, 'StockReleased', { orderId }],
  ['outcome', paymentEvents, 'PaymentReturned', { orderId, outcome: 'lost' }],
  ['amount', paymentEvents, 'PaymentCaptured', { orderId }],
] as const)('a wrong %s violates the contract, and the error names it', (field, topic, type, data) => {
  const receive = () => parseMessage(topic, { type, data });
  expect(receive).toThrow(ContractViolation);
  expect(receive).toThrow(`${type} on ${topic.name} does not keep the contract`);
  expect(receive).toThrow(`at ${field}`);
});

test('a message has the id of its event, and the order as its key', () =>
  expect(wrap(inventoryEvents.source, orderId, event, { type: 'StockReserved', data: { orderId } })).toEqual({
    id: event.id,
    type: 'StockReserved',
    source: '/inventory',
    time: event.recordedAt,
    key: orderId,
    data: { orderId },
    correlationId: orderId,
  }));

test('a trace continues from event to message to cause, which says where on the bus the message is', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const traced = { ...event, metadata: { ...event.metadata, traceparent } };
  const content = { type: 'StockReserved', data: { orderId } };
  const message = wrap(inventoryEvents.source, orderId, traced, content);
  expect(message.traceparent).toBe(traceparent);
  const place = { topic: inventoryEvents.name, partition: 3, offset: 2n ** 53n + 1n };
  const cause = { correlationId: orderId, causationId: event.id, message: `${place.topic}/3/9007199254740993` };
  expect(causeOf({ ...message, ...place })).toEqual({ ...cause, traceparent });
  expect(causeOf({ ...wrap(inventoryEvents.source, orderId, event, content), ...place })).toEqual(cause);
});
