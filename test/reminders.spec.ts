/**
 * A message that was lost for good (a lost bus, a message that somebody skipped) is published again: an order that waits
 * reminds the others, and finds its end. In memory, under a clock that the test moves on.
 */
import { afterEach, expect, test } from 'vitest';
import { MemoryMessageBus, type Message } from '#message-bus';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { openMemoryShop } from './support/memory-shop.js';

const cause = { correlationId: 'test', causationId: 'test' };
const orderId = '11111111-1111-4111-8111-111111111111';
const MINUTE_MS = 60_000;
const stops: (() => Promise<void>)[] = [];
afterEach(() => Promise.all(stops.splice(0).map((stop) => stop())));

/** A shop whose bus loses the first message of each type in `lost`, and all of the types in `always`. */
async function openShop(lost: readonly string[], always: readonly string[] = []) {
  const clock = new ManualClock();
  const toLose = new Set(lost);
  class LossyBus extends MemoryMessageBus {
    override publish(topic: string, messages: readonly Message[]): Promise<void> {
      return super.publish(
        topic,
        messages.filter(({ type }) => !toLose.delete(type) && !always.includes(type)),
      );
    }
  }
  const { order, inventory, ledger, stockOf, stop } = openMemoryShop({
    clock,
    ids: new SequentialIds(),
    bus: new LossyBus({ clock }),
    deadlineMs: 15 * MINUTE_MS,
    providerTimeoutMs: 2_000,
  });
  stops.push(stop);
  await order.setPrice('olive-oil', { amountMinor: 1299, currency: 'EUR' }, cause);
  await inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
  await order.place(
    { orderId, customerId: orderId, lines: [{ sku: 'olive-oil', quantity: 2 }], paymentToken: 'tok_approved' },
    cause,
  );
  await clock.advance(MINUTE_MS / 2);
  const history = async () => (await order.history(orderId)).map(({ type }) => type);
  return { order, inventory, clock, ledger, history, stock: () => stockOf('olive-oil') };
}

test.each([
  'OrderPlaced',
  'StockReserved',
  'OrderStockReserved',
  'PaymentAuthorized',
  'OrderConfirmed',
  'StockShipped',
])('%s, lost: after a minute a reminder has it sent again, and the order is completed once', async (lost) => {
  const shop = await openShop([lost]);
  expect(await shop.history()).not.toContain('OrderCompleted');
  await shop.clock.advance(MINUTE_MS);
  const history = await shop.history();
  expect(history.filter((type) => type === 'OrderReminded')).toHaveLength(1);
  expect(history.at(-1)).toBe('OrderCompleted');
  expect(await shop.ledger.totals()).toMatchObject([{ heldMinor: 0n, capturedMinor: 2598n, netMinor: 2598n }]);
  expect(await shop.stock()).toEqual({ available: 8, reserved: 0, shipped: 2 });
});

test.each(['OrderCancelled', 'StockReleased', 'PaymentReturned'])(
  '%s, lost: after a reminder a cancelled order gives back what it holds',
  async (lost) => {
    // PaymentAuthorized is lost too, so that the order can still be cancelled.
    const shop = await openShop(['PaymentAuthorized', lost]);
    await shop.order.cancel(orderId, undefined, cause);
    await shop.clock.advance(MINUTE_MS / 4);
    expect(await shop.history()).not.toContain('OrderSettled');
    await shop.clock.advance(MINUTE_MS);
    expect((await shop.history()).at(-1)).toBe('OrderSettled');
    expect(await shop.ledger.totals()).toMatchObject([{ heldMinor: 0n, netMinor: 0n }]);
    expect(await shop.stock()).toEqual({ available: 10, reserved: 0, shipped: 0 });
  },
);

/** The minutes after the order was placed at which its events of a type were recorded. */
async function minutesOf(type: string, shop: Awaited<ReturnType<typeof openShop>>): Promise<number[]> {
  const events = await shop.order.history(orderId);
  const startMs = Date.parse(events[0]!.recordedAt);
  return events
    .filter((event) => event.type === type)
    .map(({ recordedAt }) => Math.round((Date.parse(recordedAt) - startMs) / MINUTE_MS));
}

test('without an answer, reminders follow after one, two and four more minutes, and then the deadline', async () => {
  const shop = await openShop([], ['StockReserved']);
  await shop.clock.advance(20 * MINUTE_MS);
  expect(await minutesOf('OrderReminded', shop)).toEqual([1, 3, 7]);
  expect(await minutesOf('OrderCancelled', shop)).toEqual([15]);
  expect((await shop.history()).at(-1)).toBe('OrderSettled');
  expect(await shop.stock()).toEqual({ available: 10, reserved: 0, shipped: 0 });
});

test('past the pivot an order appears in the inbox after an hour while reminders continue; called off, units and money come back', async () => {
  const shop = await openShop([], ['StockShipped']);
  await shop.clock.advance(59 * MINUTE_MS);
  expect((await shop.order.inbox({ limit: 10 })).items).toEqual([]);
  await shop.clock.advance(6 * MINUTE_MS);
  expect(await minutesOf('OrderReminded', shop)).toEqual([1, 3, 7, 15, 31, 63]);
  expect((await shop.order.inbox({ limit: 10 })).items).toMatchObject([
    { orderId, happened: 'The order is confirmed, but not yet reported as shipped.', tried: { length: 6 } },
  ]);
  await shop.order.resolve(orderId, { decision: 'call-off', reason: 'a test' }, { ...cause, actor: 'ada' });
  await shop.clock.advance(MINUTE_MS);
  expect((await shop.history()).at(-1)).toBe('OrderSettled');
  expect(await shop.ledger.totals()).toMatchObject([{ heldMinor: 0n, capturedMinor: 2598n, netMinor: 0n }]);
  expect(await shop.stock()).toEqual({ available: 10, reserved: 0, shipped: 0 });
});
