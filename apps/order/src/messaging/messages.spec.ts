import { expect, test } from 'vitest';
import { orderEvents } from '#contracts';
import { parseMessage } from '#message-bus';
import { goldenEvents } from '#test/golden';
import { orderMessageOf } from './messages.js';
import type { OrderEvent, Want } from '../domain/order.js';
import { upcasters } from '../upcasters.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const { 'PriceSet.v1': _, ...golden } = await goldenEvents<OrderEvent>(
  new URL('../golden/', import.meta.url),
  upcasters,
);
const messageOf = (name: string) => orderMessageOf(orderId, golden[`${name}.v1`]!);

const reminder = {
  wants: 'fulfilment',
  lines: [
    { sku: 'olive-oil', quantity: 2 },
    { sku: 'sea-salt', quantity: 1 },
  ],
  total: { amountMinor: 3048, currency: 'EUR' },
  paymentToken: '',
};

test.each([
  [
    'OrderPlaced',
    {
      lines: [
        { sku: 'olive-oil', quantity: 2 },
        { sku: 'sea-salt', quantity: 1 },
      ],
    },
  ],
  ['OrderStockReserved', { total: { amountMinor: 3048, currency: 'EUR' }, paymentToken: 'tok_approved' }],
  ['OrderConfirmed', {}],
  ['OrderCompleted', {}],
  ['OrderRejected.out-of-stock', { reason: 'out-of-stock' }],
  ['OrderRejected.payment-declined', { reason: 'payment-declined' }],
  ['OrderCancelled', { reason: 'customer' }],
  ['OrderSettled', {}],
  ['OrderReminded', { ...reminder, refusalsKnown: 0 }],
  ['OrderReminded.refused-retry', { ...reminder, refusalsKnown: 1 }],
])('of %s other services learn %o', (name, data) =>
  expect(messageOf(name)).toEqual({
    type: name.split('.')[0]!.replace('Reminded', 'Reminder'),
    data: { orderId, ...data },
  }),
);

test('only a reminder that wants payment carries the token', () => {
  const { data } = golden['OrderReminded.v1'] as Extract<OrderEvent, { type: 'OrderReminded' }>;
  const tokenOf = (wants: Want) =>
    orderMessageOf(orderId, { type: 'OrderReminded', data: { ...data, wants, paymentToken: 'sealed' } })?.data;
  expect(tokenOf('payment')).toMatchObject({ wants: 'payment', paymentToken: 'sealed' });
  for (const wants of ['stock', 'fulfilment', 'return'] as const) {
    expect(tokenOf(wants)).toMatchObject({ wants, paymentToken: '' });
  }
});

test.each(['OrderStockShipped', 'OrderPaymentCaptured', 'OrderStockReleased', 'OrderPaymentReturned'])(
  '%s is a private record',
  (name) => expect(messageOf(name)).toBeUndefined(),
);

test('what an order publishes keeps the contract, and everything in the contract is published', () => {
  const messages = Object.values(golden).flatMap((event) => orderMessageOf(orderId, event) ?? []);
  expect(messages.map((message) => parseMessage(orderEvents, message))).toEqual(messages);
  expect(new Set(messages.map(({ type }) => type))).toEqual(new Set(Object.keys(orderEvents.schemas)));
});
