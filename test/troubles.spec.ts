/**
 * What operators switch on, in a shop in one process: each trouble does what it says to an order, the order comes to its end all
 * the same, and the books agree. That a process which was killed goes on is in troubles.e2e.spec.ts.
 */
import { afterEach, expect, test } from 'vitest';
import { paymentDefinition } from '../apps/payment/src/definition.js';
import { services } from '../apps/shop.js';
import { reconcile } from '../scripts/lib/reconcile/reconcile.js';
import { MemoryMessageBus } from '#message-bus';
import { isUnavailable, silentLog, SystemClock, SystemIds } from '#runtime';
import { commonTroubles, Troubles } from '#service';
import { openMemoryShop } from './support/memory-shop.js';

const cause = { correlationId: 'test', causationId: 'test' };
const orderId = '11111111-1111-4111-8111-111111111111';
const clock = new SystemClock();
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  await Promise.all(stops.splice(0).map((stop) => stop()));
});

async function openShop() {
  const troublesOf = (own: object) => new Troubles({ ...commonTroubles, ...own }, { clock, log: silentLog });
  const troubles = {
    order: troublesOf({}),
    inventory: troublesOf({}),
    payment: troublesOf(paymentDefinition.troubles),
  };
  const bus = new MemoryMessageBus({ clock });
  const shop = openMemoryShop({
    clock,
    ids: new SystemIds(),
    bus,
    deadlineMs: 60_000,
    providerTimeoutMs: 100,
    timing: { slowMs: 50, downMs: 100 },
    webhooks: true,
    troubles,
  });
  stops.push(shop.stop);
  await shop.order.setPrice('olive-oil', { amountMinor: 1299, currency: 'EUR' }, cause);
  await shop.inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
  const place = () =>
    shop.order.place(
      { orderId, customerId: orderId, lines: [{ sku: 'olive-oil', quantity: 1 }], paymentToken: 'tok_approved' },
      cause,
    );
  const settled = (waitMs: number) => shop.order.awaitSettled(orderId, undefined, waitMs, shop.signal);
  /** Everything that disagrees in a shop where nothing is under way. */
  async function disagreements(): Promise<string[]> {
    const found: string[] = [];
    for await (const { message } of reconcile(shop.books, { clock, pauseMs: 200, atRest: true })) {
      found.push(message);
    }
    return found;
  }
  const struck = (service: keyof typeof troubles, name: string) =>
    troubles[service].states().find((each) => each.name === name)!.struck;
  const netMinor = async () => (await shop.ledger.totals()).reduce((sum, totals) => sum + totals.netMinor, 0n);
  return { ...shop, troubles, place, settled, disagreements, struck, netMinor };
}

const sold = { available: 9, reserved: 0, shipped: 1 };

/** Those that let nothing pass, and in which service an order meets them. */
test.each([
  ['inventory', 'refuse-appends'],
  ['order', 'lose-bus'],
  ['inventory', 'lose-bus'],
  ['payment', 'lose-bus'],
  ['payment', 'silence-provider'],
  ['payment', 'refuse-calls'],
] as const)('%s, %s: the order waits, and is completed when it is over', async (service, name) => {
  const shop = await openShop();
  shop.troubles[service].switchOn(name, 'otto');
  await shop.place();
  await expect.poll(() => shop.struck(service, name)).toBeGreaterThan(0);
  expect((await shop.settled(150)).order.status).not.toBe('completed');
  shop.troubles[service].switchOff(name);
  expect((await shop.settled(10_000)).order).toMatchObject({ status: 'completed' });
  expect([await shop.netMinor(), await shop.stockOf('olive-oil')]).toEqual([1299n, sold]);
  expect(await shop.disagreements()).toEqual([]);
});

test('order, refuse-appends: it is not placed, and is when it is over', async () => {
  const shop = await openShop();
  shop.troubles.order.switchOn('refuse-appends', 'otto');
  const refused: unknown = await shop.place().catch((error: unknown) => error);
  expect(isUnavailable(refused)).toBe(true);
  shop.troubles.order.switchOff('refuse-appends');
  await shop.place();
  expect((await shop.settled(10_000)).order).toMatchObject({ status: 'completed' });
  expect(await shop.disagreements()).toEqual([]);
});

test('publish-twice, at all services: every message is said twice, and everything happens once', async () => {
  const shop = await openShop();
  for (const service of services) shop.troubles[service].switchOn('publish-twice', 'otto');
  await shop.place();
  expect((await shop.settled(10_000)).order).toMatchObject({ status: 'completed' });
  for (const service of services) expect(shop.struck(service, 'publish-twice'), service).toBeGreaterThan(0);
  expect([await shop.netMinor(), await shop.stockOf('olive-oil')]).toEqual([1299n, sold]);
  expect(await shop.disagreements()).toEqual([]);
});

test('hold-less: half of the sum is held, which is not enough: the order is off, and nothing is kept', async () => {
  const shop = await openShop();
  shop.troubles.payment.switchOn('hold-less', 'otto');
  await shop.place();
  expect((await shop.settled(10_000)).order).toMatchObject({ status: 'rejected', reason: 'payment-declined' });
  expect(shop.struck('payment', 'hold-less')).toBe(1);
  const [first] = await shop.ledger.entries({ orderId, limit: 1 });
  expect(first).toMatchObject({ type: 'authorized', heldMinor: 650 });
  for (const totals of await shop.ledger.totals()) expect(totals).toMatchObject({ heldMinor: 0n, netMinor: 0n });
  expect(await shop.stockOf('olive-oil')).toEqual({ available: 10, reserved: 0, shipped: 0 });
  expect(await shop.disagreements()).toEqual([]);
});

test('lose-webhooks: the order is completed without them, and they change nothing when they come', async () => {
  const shop = await openShop();
  shop.troubles.payment.switchOn('lose-webhooks', 'otto');
  await shop.place();
  expect((await shop.settled(10_000)).order).toMatchObject({ status: 'completed' });
  const lost = shop.struck('payment', 'lose-webhooks');
  expect([lost > 1, shop.delivered()]).toEqual([true, 0]);
  const before = await shop.ports.payment.store.head();
  shop.troubles.payment.switchOff('lose-webhooks');
  await expect.poll(() => shop.delivered()).toBeGreaterThan(1);
  expect([await shop.ports.payment.store.head(), await shop.netMinor()]).toEqual([before, 1299n]);
  expect(await shop.disagreements()).toEqual([]);
});

test('there are ten, each with what it does and what there is to see, and each is over within a minute', () => {
  const all = { ...commonTroubles, ...paymentDefinition.troubles };
  expect(Object.keys(all)).toHaveLength(10);
  for (const { does, see, seconds } of Object.values(all)) {
    expect([does, see].every((text) => /^[A-Z].+\.$/.test(text))).toBe(true);
    expect(seconds).toBeLessThanOrEqual(60);
  }
});
