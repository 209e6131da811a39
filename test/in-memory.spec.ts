/**
 * The three services as the plain functions they are, in one process, in memory: the same compositions that Nest calls,
 * without Nest, Postgres or HTTP.
 */
import { afterEach, expect, test } from 'vitest';
import { orderSummary } from '../apps/order/src/read-models/order-summary.js';
import { MemoryMessageBus } from '#message-bus';
import { foldStream } from '#projections';
import { SystemClock, SystemIds } from '#runtime';
import { openMemoryShop } from './support/memory-shop.js';

const cause = { correlationId: 'test', causationId: 'test' };
const clock = new SystemClock();
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

function openShop(options = { deadlineMs: 60_000 }) {
  const { stop, signal, ...shop } = openMemoryShop({
    clock,
    ids: new SystemIds(),
    bus: new MemoryMessageBus({ clock }),
    deadlineMs: options.deadlineMs,
    providerTimeoutMs: 300,
    timing: { slowMs: 200, downMs: 1_000 },
  });
  const { order } = shop;
  stops.push(stop);

  async function checkout(orderId: string, token: string, quantity = 1) {
    const lines = [{ sku: 'olive-oil', quantity }];
    await order.place({ orderId, customerId: orderId, lines, paymentToken: token }, cause);
    return order.awaitSettled(orderId, undefined, 10_000, signal);
  }
  return { ...shop, checkout, stock: () => shop.stockOf('olive-oil') };
}

async function openStocked(options?: { deadlineMs: number }) {
  const shop = openShop(options);
  await shop.order.setPrice('olive-oil', { amountMinor: 1299, currency: 'EUR' }, cause);
  await shop.inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
  return shop;
}

test.each([
  ['tok_approved', 1, { status: 'completed' }, 1299, { available: 9, reserved: 0, shipped: 1 }],
  ['tok_slow', 1, { status: 'completed' }, 1299, { available: 9, reserved: 0, shipped: 1 }],
  ['tok_charged_after_timeout', 1, { status: 'completed' }, 1299, { available: 9, reserved: 0, shipped: 1 }],
  ['tok_capture_fails_twice', 1, { status: 'completed' }, 1299, { available: 9, reserved: 0, shipped: 1 }],
  ['tok_down_30s', 1, { status: 'completed' }, 1299, { available: 9, reserved: 0, shipped: 1 }],
  [
    'tok_declined',
    1,
    { status: 'rejected', reason: 'payment-declined' },
    0,
    { available: 10, reserved: 0, shipped: 0 },
  ],
  ['tok_approved', 11, { status: 'rejected', reason: 'out-of-stock' }, 0, { available: 10, reserved: 0, shipped: 0 }],
])('%s, %i units: %o', async (token, quantity, ending, netMinor, stock) => {
  const shop = await openStocked();
  const { order } = await shop.checkout('11111111-1111-4111-8111-111111111111', token, quantity);
  expect(order).toMatchObject(ending);
  expect((await shop.ledger.totals()).reduce((sum, total) => sum + total.netMinor, 0n)).toBe(BigInt(netMinor));
  expect(await shop.stock()).toEqual(stock);
});

test('an order that is not confirmed by its deadline is called off, and its money goes back', async () => {
  const shop = await openStocked({ deadlineMs: 50 });
  const { order } = await shop.checkout('22222222-2222-4222-8222-222222222222', 'tok_down_30s');
  expect(order).toMatchObject({ status: 'cancelled', reason: 'deadline' });
  expect((await shop.ledger.totals()).map(({ heldMinor, netMinor }) => ({ heldMinor, netMinor }))).not.toContainEqual(
    expect.objectContaining({ heldMinor: 1299n }),
  );
  expect(await shop.stock()).toEqual({ available: 10, reserved: 0, shipped: 0 });
});

test('the read model is what a fold of the stream gives', async () => {
  const shop = await openStocked();
  const orderId = '33333333-3333-4333-8333-333333333333';
  const { position } = await shop.checkout(orderId, 'tok_approved');
  while ((await shop.orderPorts.tables.checkpoint(orderSummary)) < position) await clock.sleep(5);
  const [row] = await shop.orderPorts.tables.load(orderSummary, [{ order_id: orderId }]);
  expect(row).toEqual(foldStream(orderSummary, await shop.order.history(orderId)));
});
