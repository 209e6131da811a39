import { expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import { orderAhead } from './ahead.js';
import type { OrderEvent } from './domain/order.js';

const orderId = '0190a8c0-0000-7000-8000-000000000001';
const total = { amountMinor: 2598, currency: 'EUR' };
const lines = [{ sku: 'olive-oil', quantity: 2, unitPrice: { amountMinor: 1299, currency: 'EUR' } }];
const terms = { customerId: orderId, lines, total, paymentToken: 'sealed', tokenDigest: 'digest' };
const began = Date.parse('2026-11-21T12:00:00.000Z');
const at = (minutes: number) => new Date(began + minutes * 60_000).toISOString();

const placed: OrderEvent = { type: 'OrderPlaced', data: { ...terms, placedAt: at(0), deadlineAt: at(15) } };
const reserved: OrderEvent = { type: 'OrderStockReserved', data: { total, paymentToken: 'sealed' } };
const confirmed: OrderEvent = { type: 'OrderConfirmed', data: {} };
const shipped: OrderEvent = { type: 'OrderStockShipped', data: {} };
const captured: OrderEvent = { type: 'OrderPaymentCaptured', data: {} };
const completed: OrderEvent = { type: 'OrderCompleted', data: {} };
const cancelled: OrderEvent = { type: 'OrderCancelled', data: { reason: 'customer' } };
const released: OrderEvent = { type: 'OrderStockReleased', data: { outcome: 'released' } };
const declined: OrderEvent = { type: 'OrderRejected', data: { reason: 'payment-declined', detail: 'no cover' } };
const refused: OrderEvent = { type: 'OrderPaymentRefused', data: { step: 'capture', reason: 'expired' } };
const moved: OrderEvent = { type: 'OrderPaymentMoved', data: { how: 'disputed', amount: total } };
const reminded = (attempt: number, wants: 'stock' | 'fulfilment', retry?: true): OrderEvent => {
  const { lines, total, paymentToken } = terms;
  return { type: 'OrderReminded', data: { attempt, wants, lines, total, paymentToken, ...(retry && { retry }) } };
};

/** After these events, a minute apart, as of some minutes after the first. */
const aheadOf = (events: readonly OrderEvent[], minutes = events.length) =>
  orderAhead(
    events.map((event, revision) => {
      const metadata = { correlationId: orderId, causationId: 'm', schema: 1 };
      const recorded = { id: `e${revision}`, stream: `order-${orderId}`, revision, position: BigInt(revision + 1) };
      return { ...event, ...recorded, metadata, recordedAt: at(revision) } satisfies RecordedEvent<OrderEvent>;
    }),
    new Date(at(minutes)),
  );

test('an order that wants stock awaits it of inventory, until its deadline, and is reminded of it', () => {
  const { awaits, deadlineAt } = aheadOf([placed]);
  expect(awaits).toEqual([
    { what: '2 × olive-oil reserved, or out of stock', from: 'inventory', since: at(0), reminderAt: at(1) },
  ]);
  expect(deadlineAt).toBe(at(15));
  expect(aheadOf([placed, reminded(1, 'stock')]).awaits).toMatchObject([{ since: at(0), reminderAt: at(3) }]);
});

test('a reminder that its deadline comes before is not promised', () => {
  const four = [1, 2, 3, 4].map((attempt) => reminded(attempt, 'stock'));
  expect(aheadOf([placed, ...four]).awaits).toEqual([
    { what: '2 × olive-oil reserved, or out of stock', from: 'inventory', since: at(0) },
  ]);
});

test.each<[string, OrderEvent[], unknown[]]>([
  ['wants payment', [placed, reserved], [{ from: 'payment', what: 'EUR 25.98 authorized, or declined', since: at(1) }]],
  [
    'is confirmed',
    [placed, reserved, confirmed],
    [
      { from: 'inventory', what: '2 × olive-oil shipped', since: at(2) },
      { from: 'payment', what: 'EUR 25.98 captured', since: at(2) },
    ],
  ],
  ['is shipped', [placed, reserved, confirmed, shipped], [{ from: 'payment', since: at(2) }]],
  ['is paid', [placed, reserved, confirmed, captured], [{ from: 'inventory', since: at(2) }]],
  ['is completed', [placed, reserved, confirmed, shipped, captured, completed], []],
  ['is cancelled', [placed, reserved, cancelled], [{ from: 'inventory' }, { from: 'payment', since: at(2) }]],
  ['has given back its stock', [placed, reserved, cancelled, released], [{ from: 'payment', since: at(2) }]],
  ['is declined', [placed, reserved, declined], [{ from: 'inventory', since: at(2) }]],
])('an order that %s awaits what it has no answer to', (_, events, awaits) => {
  expect(aheadOf(events).awaits).toEqual(awaits.map((each) => expect.objectContaining(each)));
  expect(aheadOf(events).awaits).toHaveLength(awaits.length);
});

test('a person is awaited from the moment on at which they are asked', () => {
  expect(aheadOf([placed, reserved, confirmed], 61).awaits).toHaveLength(2);
  const decision = (since: string) => ({ what: 'a decision in the inbox', from: 'operator', since });
  expect(aheadOf([placed, reserved, confirmed], 62).awaits).toContainEqual(decision(at(62)));
  const { awaits } = aheadOf([placed, reserved, confirmed, shipped, refused]);
  expect(awaits).toEqual([{ from: 'payment', what: 'EUR 25.98 captured', since: at(2) }, decision(at(4))]);
  const settled = [placed, reserved, confirmed, shipped, captured, completed, moved];
  expect(aheadOf(settled).awaits).toEqual([decision(at(6))]);
});

/** What the decider says to each choice: `ok`, `no change`, or the code of its refusal. */
const verdicts = (events: readonly OrderEvent[]) =>
  Object.fromEntries(
    aheadOf(events).choices.map(({ name, allowed, code, detail }) => [
      name,
      allowed ? (detail.startsWith('Nothing:') ? 'no change' : 'ok') : code,
    ]),
  );

test.each<[string, OrderEvent[], object]>([
  ['placed', [placed], { cancel: 'ok', retry: 'ok', 'call-off': 'ok', accept: 'nothing-to-accept' }],
  ['reserved', [placed, reserved], { cancel: 'ok', retry: 'ok', 'call-off': 'ok' }],
  ['confirmed', [placed, reserved, confirmed], { cancel: 'order-confirmed', retry: 'ok', 'call-off': 'ok' }],
  ['retried', [placed, reserved, confirmed, reminded(1, 'fulfilment', true)], { retry: 'no change', 'call-off': 'ok' }],
  [
    'completed',
    [placed, reserved, confirmed, shipped, captured, completed],
    {
      cancel: 'order-confirmed',
      retry: 'nothing-to-retry',
      'call-off': 'order-completed',
      accept: 'nothing-to-accept',
    },
  ],
  [
    'disputed',
    [placed, reserved, confirmed, shipped, captured, completed, moved],
    { 'call-off': 'order-completed', accept: 'ok' },
  ],
  ['cancelled', [placed, reserved, cancelled], { cancel: 'no change', retry: 'ok', 'call-off': 'order-off' }],
  ['declined', [placed, reserved, declined], { cancel: 'no change', 'call-off': 'order-off' }],
])('of an order that is %s the decider itself says what each choice does', (_, events, expected) =>
  expect(verdicts(events)).toMatchObject(expected),
);

test('what a choice does is said of stock and money', () => {
  const detail = (events: OrderEvent[], choice: string) =>
    aheadOf(events).choices.find(({ name }) => name === choice)!.detail;
  expect(detail([placed], 'cancel')).toBe(
    'The order is cancelled. Inventory gives back 2 × olive-oil, should they be reserved; no money was asked for.',
  );
  expect(detail([placed, reserved], 'call-off')).toBe(
    'The order is cancelled. Inventory makes 2 × olive-oil available; payment releases EUR 25.98, should it be held.',
  );
  expect(detail([placed, reserved, confirmed], 'call-off')).toContain('what has left the house has to be fetched back');
  expect(detail([placed], 'retry')).toContain('asked again to reserve 2 × olive-oil');
  expect(detail([placed, reserved], 'retry')).toContain('asked again to hold EUR 25.98');
  expect(detail([placed, reserved, confirmed], 'cancel')).toContain('can no longer be cancelled');
});

test('there is nothing ahead of an order that does not exist', () =>
  expect(() => aheadOf([], 0)).toThrow(expect.objectContaining({ code: 'order-not-found' })));
