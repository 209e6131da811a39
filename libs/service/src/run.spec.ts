import { expect, test } from 'vitest';
import { inventoryEvents, orderEvents } from '#contracts';
import { type Delivered, UnknownType } from '#message-bus';
import { defineService } from './definition.js';
import { receive } from './run.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';

const definition = defineService({
  name: 'shop',
  port: 3009,
  aggregates: {},
  upcasters: {},
  publishes: orderEvents,
  relays: ['shop'],
  messageOf: () => undefined,
  subscribes: [inventoryEvents],
  reactionTo: ({ type }: { type: string }) => ({ type: `After${type}` }),
  projections: [],
});

const delivered = (topic: string): Delivered => ({
  id: 'm1',
  type: 'StockReserved',
  source: '/inventory',
  time: '2026-11-21T12:00:00.000Z',
  key: orderId,
  data: { orderId },
  correlationId: 'request',
  topic,
  partition: 0,
  offset: 0n,
});

test('a message comes with the command that it leads to, and with itself as the cause', () =>
  expect(receive(definition, delivered(inventoryEvents.name))).toEqual({
    message: { type: 'StockReserved', data: { orderId } },
    command: { type: 'AfterStockReserved' },
    cause: { correlationId: 'request', causationId: 'm1' },
  }));

test('a message of a topic without a subscription is skipped, and not parsed by the contract of another topic', () =>
  expect(() => receive(definition, delivered('elsewhere'))).toThrow(UnknownType));
