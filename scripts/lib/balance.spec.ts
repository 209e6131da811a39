/** The running balance of a shop in memory: what it tells of orders that end, of those under way, and of books that disagree. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isSettled, type PlacedOrder } from '../../apps/order/src/domain/order.js';
import type { Balance } from '../../apps/gateway/src/api.js';
import { MemoryMessageBus } from '#message-bus';
import { SystemClock, SystemIds } from '#runtime';
import { openMemoryShop } from '#test/memory-shop';
import { watchBalance } from './balance.js';
import type { Books } from './reconcile/reconcile.js';

const clock = new SystemClock();
const cause = { correlationId: 'test', causationId: 'test' };
const ids = ['1', '2', '3'].map((n) => `${n.repeat(8)}-1111-4111-8111-111111111111`);

let shop: ReturnType<typeof openMemoryShop>;
let stopping: AbortController;
let watching: Promise<void>[];
beforeEach(async () => {
  [stopping, watching] = [new AbortController(), []];
  const timing = { slowMs: 10_000, downMs: 10_000 };
  const bus = new MemoryMessageBus({ clock });
  const ids = new SystemIds();
  shop = openMemoryShop({ clock, ids, bus, deadlineMs: 60_000, providerTimeoutMs: 30_000, timing });
  await shop.order.setPrice('olive-oil', { amountMinor: 1299, currency: 'EUR' }, cause);
  await shop.inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'olive-oil', quantity: 10 }, cause);
});
afterEach(async () => {
  stopping.abort();
  await Promise.all(watching);
  await shop.stop();
});

/** Places an order, and waits until it is settled, or for one that is slow at the provider until it asks there. */
async function place(orderId: string, paymentToken = 'tok_approved'): Promise<void> {
  const lines = [{ sku: 'olive-oil', quantity: 1 }];
  await shop.order.place({ orderId, customerId: orderId, lines, paymentToken }, cause);
  const isThere = paymentToken === 'tok_slow' ? ({ status }: PlacedOrder) => status === 'stock-reserved' : isSettled;
  await expect
    .poll(async () => isThere((await shop.order.awaitSettled(orderId, undefined, 20, shop.signal)).order))
    .toBe(true);
}

function watch({
  books = shop.books,
  fails = () => false,
  orders = 200,
}: { books?: Books; fails?: () => boolean; orders?: number } = {}) {
  const told: Balance[] = [];
  const open = async () => {
    if (fails()) throw new Error('The books of order cannot be opened.');
    return { books, close: async () => {} };
  };
  const tell = (balance: Balance) => told.push(balance);
  const { signal } = stopping;
  watching.push(watchBalance({ open, tell, clock, signal, orders, pauseMs: 10, doubtMs: 50 }));
  return { told, latest: () => told.at(-1) };
}

type Store = Books['order']['store'];

/** The store of order, with these methods in the place of its own. */
const storeWith = (own: Partial<Store>): Store => {
  const { store } = shop.books.order;
  return {
    head: () => store.head(),
    read: (stream) => store.read(stream),
    subscribe: (options) => store.subscribe(options),
    ...own,
  };
};

const agrees = { disagreements: [], at: expect.any(String) };

test('it tells how many orders agree, how many are open, and what the provider holds and has taken', async () => {
  const { latest } = watch();
  await expect.poll(latest).toEqual({ ...agrees, orders: 0, open: 0, money: [] });
  await place(ids[0]!);
  await place(ids[1]!, 'tok_slow');
  await place(ids[2]!, 'tok_declined');
  const money = [{ currency: 'EUR', heldMinor: 0, chargedMinor: 1299 }];
  await expect.poll(latest).toEqual({ ...agrees, orders: 3, open: 1, money });
});

test('it tells what disagrees, in words, until that is put right', async () => {
  await place(ids[0]!);
  let factor = 1;
  const entries: Books['ledger']['entries'] = async (page) => {
    const found = await shop.ledger.entries(page);
    return found.map((entry) => ({ ...entry, chargedMinor: factor * entry.chargedMinor }));
  };
  const { latest } = watch({ books: { ...shop.books, ledger: { entries } } });
  await expect.poll(latest).toMatchObject({ ...agrees, orders: 1 });
  factor = 2;
  await place(ids[1]!); // It looks again when something happens.
  await expect.poll(() => latest()?.disagreements.join()).toMatch(new RegExp(`Order ${ids[0]} .*25\\.98`));
  factor = 1;
  await expect.poll(latest).toMatchObject({ ...agrees, orders: 2 });
});

test('where nothing happens it reads nothing again, and says that what it said still holds', async () => {
  await place(ids[0]!);
  let reads = 0;
  const store = storeWith({ read: (stream) => (reads++, shop.books.order.store.read(stream)) });
  const { told } = watch({ books: { ...shop.books, order: { ...shop.books.order, store } } });
  await expect.poll(() => told.length).toBeGreaterThan(20);
  const [before, count] = [reads, told.length];
  await expect.poll(() => told.length).toBeGreaterThan(count + 5);
  expect([before > 0, reads, told.at(-1)!.orders, told.at(-1)!.at > told[count]!.at]).toEqual([true, before, 1, true]);
});

test('it compares the orders that were spoken of last, and no more of them than it should', async () => {
  for (const id of ids) await place(id);
  const { latest } = watch({ orders: 2 });
  const money = [{ currency: 'EUR', heldMinor: 0, chargedMinor: 2598 }];
  await expect.poll(latest).toEqual({ ...agrees, orders: 2, open: 0, money });
});

test('while the books cannot be read it says why, beside what it said before', async () => {
  await place(ids[0]!);
  let isAway = true;
  const head = () => (isAway ? Promise.reject(new Error('The store is away.')) : shop.books.order.store.head());
  let isClosed = true;
  const books = { ...shop.books, order: { ...shop.books.order, store: storeWith({ head }) } };
  const { latest } = watch({ fails: () => isClosed, books });
  await expect.poll(latest).toMatchObject({ orders: 0, problem: 'The books of order cannot be opened.' });
  isClosed = false;
  await expect.poll(latest).toMatchObject({ orders: 0, problem: 'The store is away.' });
  isAway = false;
  await expect.poll(latest).toEqual({ ...agrees, orders: 1, open: 0, money: expect.any(Array) });
  isAway = true;
  const money = [{ currency: 'EUR', heldMinor: 0, chargedMinor: 1299 }];
  await expect.poll(latest).toMatchObject({ orders: 1, money, problem: 'The store is away.' });
});
