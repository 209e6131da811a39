/**
 * What the payment provider says is compared with what was asked of it: a hold of another sum, a capture of a part, money
 * that it moves by itself. The services in memory, and the provider's news as they come, in answers and in webhooks.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { PaymentProvider, type ProviderPayment, ProviderTimeout } from '../apps/payment/src/provider.js';
import { commandOf } from '../apps/payment/src/webhook.js';
import { NotFound } from '#decider';
import { MemoryMessageBus, type Message, type MessageBus } from '#message-bus';
import type { Clock } from '#runtime';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { openMemoryShop } from './support/memory-shop.js';

const cause = { correlationId: 'test', causationId: 'test' };
const orderId = '11111111-1111-4111-8111-111111111111';
const SECOND_MS = 1_000;
const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const authorizationId = 'auth_1';
const stops: (() => Promise<void>)[] = [];
afterEach(() => Promise.all(stops.splice(0).map((stop) => stop())));

/** A shop in which two bottles, EUR 17.90 together, were ordered with this token. */
async function openShop(
  token: string,
  {
    bus = (clock) => new MemoryMessageBus({ clock }),
    ...options
  }: Pick<Parameters<typeof openMemoryShop>[0], 'webhooks' | 'before'> & { bus?: (clock: Clock) => MessageBus } = {},
  price = 895,
) {
  const clock = new ManualClock();
  const { order, inventory, payment, ledger, stop } = openMemoryShop({
    clock,
    ids: new SequentialIds(),
    bus: bus(clock),
    deadlineMs: 15 * 60 * SECOND_MS,
    providerTimeoutMs: 2_000,
    ...options,
  });
  stops.push(stop);
  await order.setPrice('olive-oil', eur(price), cause);
  await inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
  const lines = [{ sku: 'olive-oil', quantity: 2 }];
  await order.place({ orderId, customerId: orderId, lines, paymentToken: token }, cause);
  await clock.advance(SECOND_MS);
  const events = () => order.history(orderId);
  return {
    order,
    ledger,
    clock,
    types: async () => (await events()).map(({ type }) => type),
    event: async (type: string) => (await events()).find((event) => event.type === type)?.data,
    /** What the provider says in a webhook, and what follows from it. */
    async tell(data: ProviderPayment) {
      await payment.record(data.orderId, commandOf(data)!, cause);
      await clock.advance(SECOND_MS);
    },
    decide: (decision: 'retry' | 'call-off' | 'accept') =>
      order.resolve(orderId, { decision, reason: 'a test' }, { ...cause, actor: 'ada' }),
    totals: () => ledger.totals(orderId),
    paymentInbox: async () => (await payment.inbox({ limit: 10 })).items,
    inbox: async () => (await order.inbox({ limit: 10 })).items,
  };
}

/** A bus that loses messages of one type. */
const lossyBus = (lost: string) => (clock: Clock) =>
  new (class extends MemoryMessageBus {
    override publish(topic: string, messages: readonly Message[]): Promise<void> {
      return super.publish(
        topic,
        messages.filter(({ type }) => type !== lost),
      );
    }
  })({ clock });

const captured = (sum: number, refunded = 0): ProviderPayment => ({
  orderId,
  status: refunded > 0 ? 'refunded' : 'captured',
  authorizationId,
  captureId: 'cap_1',
  captured: eur(sum),
  refunded: eur(refunded),
});

describe('a hold of another sum', () => {
  test.each([eur(1), eur(1_791), { amountMinor: 1_790, currency: 'JPY' }])(
    'of %o, in a webhook, confirms no order: it is declined, and the hold goes back',
    async (authorized) => {
      const shop = await openShop('tok_down_30s');
      await shop.tell({ orderId, status: 'authorized', authorizationId, authorized });
      expect(await shop.event('OrderRejected')).toEqual({
        reason: 'payment-declined',
        detail: 'amount-mismatch',
        held: authorized,
      });
      expect(await shop.types(), 'while the provider cannot be reached').not.toContain('OrderSettled');
      await shop.clock.advance(40 * SECOND_MS);
      expect((await shop.types()).slice(-2)).toEqual(['OrderPaymentReturned', 'OrderSettled']);
      expect(await shop.types()).not.toContain('OrderConfirmed');
    },
  );

  test.each(['tok_held_less', 'tok_held_other_currency'])('%s: in the answer to the call, likewise', async (token) => {
    const shop = await openShop(token);
    expect(await shop.types()).toEqual([
      'OrderPlaced',
      'OrderStockReserved',
      'OrderRejected',
      'OrderStockReleased',
      'OrderPaymentReturned',
      'OrderSettled',
    ]);
    for (const totals of await shop.totals()) expect(totals).toMatchObject({ heldMinor: 0n, capturedMinor: 0n });
  });
});

test('a hold that the provider has ended by itself, found after a timeout, is no hold', async () => {
  const shop = await openShop('tok_approved', {
    before: (provider) =>
      new (class extends PaymentProvider {
        override authorize = async () => {
          throw new ProviderTimeout();
        };
        override find = async () => ({ orderId, status: 'voided' as const, authorizationId });
        override capture = provider.capture.bind(provider);
        override void = provider.void.bind(provider);
        override refund = provider.refund.bind(provider);
      })(),
  });
  await shop.clock.advance(5 * SECOND_MS);
  expect(await shop.event('OrderRejected')).toEqual({ reason: 'payment-declined', detail: 'canceled' });
});

test('of an order that is not known, whatever is told is refused, so that it comes again', async () => {
  const shop = await openShop('tok_approved');
  const other = { orderId: '22222222-2222-4222-8222-222222222222' };
  const told: ProviderPayment[] = [
    { ...other, status: 'authorized', authorizationId, authorized: eur(1_790) },
    { ...other, status: 'declined', reason: 'declined' },
    { ...other, status: 'voided' },
    { ...captured(1_790), ...other },
    { ...captured(1_790, 1_790), ...other },
  ];
  for (const data of told) await expect(shop.tell(data), data.status).rejects.toThrow(NotFound);
});

test('money that is captured for a rejected order stands in the inbox until it has gone back', async () => {
  const shop = await openShop('tok_declined');
  expect(await shop.inbox()).toEqual([]);
  await shop.tell(captured(1_790));
  expect(await shop.event('OrderPaymentMoved')).toEqual({ how: 'captured', amount: eur(1_790) });
  // The provider gives nothing back: it was not this one that captured it.
  expect(await shop.inbox()).toMatchObject([
    {
      happened: expect.stringContaining('EUR 17.90'),
      choices: [{ decision: 'retry' }, { decision: 'accept' }],
    },
  ]);
  await shop.tell(captured(1_790, 1_790));
  expect(await shop.event('OrderPaymentReturned')).toEqual({ outcome: 'refunded' });
  expect(await shop.inbox()).toEqual([]);
});

describe('a capture of a part', () => {
  test('in a webhook is booked as what it was, and a person is told both sums', async () => {
    const shop = await openShop('tok_down_30s');
    await shop.tell({ orderId, status: 'authorized', authorizationId, authorized: eur(1_790) });
    await shop.tell(captured(1));
    expect(await shop.event('OrderPaymentRefused')).toEqual({
      step: 'capture',
      reason: 'amount-mismatch',
      moved: eur(1),
    });
    const [item] = await shop.inbox();
    expect(item?.happened).toContain('EUR 17.90');
    expect(item?.happened).toContain('EUR 0.01');
    expect(await shop.types()).not.toContain('OrderCompleted');
  });

  test('the rest is asked for when a person says so, and the order is completed once it is paid in full', async () => {
    const shop = await openShop('tok_captured_in_part');
    expect(await shop.totals()).toMatchObject([{ heldMinor: 895n, capturedMinor: 895n }]);
    await shop.decide('retry');
    await shop.clock.advance(SECOND_MS);
    expect(await shop.types()).toContain('OrderCompleted');
    expect(await shop.totals()).toMatchObject([{ heldMinor: 0n, capturedMinor: 1_790n, refundedMinor: 0n }]);
  });

  test('all of it goes back when a person calls the order off, also when that takes two refunds', async () => {
    const shop = await openShop('tok_captured_in_part');
    await shop.decide('call-off');
    await shop.clock.advance(SECOND_MS);
    expect((await shop.types()).at(-1)).toBe('OrderSettled');
    expect(await shop.totals()).toMatchObject([{ heldMinor: 0n, netMinor: 0n, refundedMinor: 895n }]);
  });
});

test('a second hold is given back by itself, and the order is completed with the first', async () => {
  const shop = await openShop('tok_held_twice', { webhooks: true });
  expect(await shop.types()).toContain('OrderCompleted');
  expect(await shop.totals()).toMatchObject([{ heldMinor: 0n, capturedMinor: 1_790n }]);
});

describe('what the provider does by itself with a completed order', () => {
  test('shows in its history and in the inbox, until a person accepts it', async () => {
    const shop = await openShop('tok_refunded_by_provider', { webhooks: true });
    expect(await shop.types()).toContain('OrderCompleted');
    await shop.clock.advance(2 * SECOND_MS);
    expect(await shop.event('OrderPaymentMoved')).toEqual({ how: 'refunded', amount: eur(1_790) });
    expect(await shop.inbox()).toMatchObject([
      { happened: expect.stringContaining('EUR 17.90'), choices: [{ decision: 'accept' }] },
    ]);
    await shop.decide('accept');
    await shop.clock.advance(SECOND_MS);
    expect(await shop.inbox()).toEqual([]);
    expect((await shop.types()).at(-1)).toBe('OrderPaymentMoveAccepted');
  });

  test('told again, and under an id of its own, it is the same', async () => {
    const shop = await openShop('tok_approved');
    for (let times = 0; times < 3; times++) await shop.tell(captured(1_790, 1_790));
    expect((await shop.types()).filter((type) => type === 'OrderPaymentMoved')).toHaveLength(1);
  });
});

test('a hold that the provider lets go of before it was captured is a refused capture', async () => {
  const shop = await openShop('tok_hold_expires', { webhooks: true });
  await shop.clock.advance(10 * SECOND_MS);
  expect(await shop.event('OrderPaymentRefused')).toMatchObject({ step: 'capture' });
  await shop.decide('call-off');
  await shop.clock.advance(SECOND_MS);
  expect((await shop.types()).at(-1)).toBe('OrderSettled');
  expect(await shop.totals()).toMatchObject([{ heldMinor: 0n, netMinor: 0n }]);
});

test('a hold that no order has decided about is in the inbox of payment before it ends', async () => {
  const shop = await openShop('tok_hold_expires', { bus: lossyBus('PaymentAuthorized') });
  expect(await shop.types()).toEqual(['OrderPlaced', 'OrderStockReserved']);
  expect(await shop.paymentInbox(), 'a second after it was placed').toMatchObject([
    {
      since: '2026-01-01T00:00:00.750Z',
      happened: expect.stringContaining(' The hold ends at 2026-01-01T00:00:01.500Z.'),
      choices: [{ decision: 'retry' }, { decision: 'call-off' }],
    },
  ]);
});

test('a refund that gives nothing back is a matter for a person, and is not asked for again and again', async () => {
  let refunds = 0;
  const shop = await openShop('tok_approved', {
    bus: lossyBus('StockShipped'),
    before: (provider) =>
      new (class extends PaymentProvider {
        override authorize = provider.authorize.bind(provider);
        override find = provider.find.bind(provider);
        override capture = provider.capture.bind(provider);
        override void = provider.void.bind(provider);
        override refund = async () => {
          refunds++;
          return { status: 'refunded' as const, refundId: 'ref_1', refunded: eur(0) };
        };
      })(),
  });
  await shop.decide('call-off');
  await shop.clock.advance(60 * SECOND_MS);
  expect(refunds).toBe(1);
  expect(await shop.event('OrderPaymentRefused')).toMatchObject({ step: 'refund', reason: 'nothing-refunded' });
  expect(await shop.inbox()).toMatchObject([{ orderId }]);
});

test('a refund of a part is booked as what it was, and the rest follows when a person says so', async () => {
  // It never learns that it was shipped, so it can still be called off.
  const shop = await openShop('tok_refunded_in_part', { bus: lossyBus('StockShipped') });
  expect(await shop.totals()).toMatchObject([{ capturedMinor: 1_790n }]);
  await shop.decide('call-off');
  await shop.clock.advance(SECOND_MS);
  expect(await shop.event('OrderPaymentRefused')).toEqual({
    step: 'refund',
    reason: 'amount-mismatch',
    moved: eur(895),
  });
  const [item] = await shop.inbox();
  expect(item?.happened).toContain('EUR 8.95');
  await shop.decide('retry');
  await shop.clock.advance(SECOND_MS);
  expect((await shop.types()).at(-1)).toBe('OrderSettled');
  expect(await shop.totals()).toMatchObject([{ heldMinor: 0n, refundedMinor: 1_790n, netMinor: 0n }]);
});

test('an order of nothing needs no payment, whatever its token', async () => {
  const shop = await openShop('tok_declined', {}, 0);
  expect((await shop.types()).at(-1)).toBe('OrderCompleted');
  expect(await shop.types()).not.toContain('OrderStockReserved');
  expect(await shop.totals()).toEqual([]);
});
