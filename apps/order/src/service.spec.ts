import { getEventListeners } from 'node:events';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { MemoryMessageBus } from '#message-bus';
import { LateStore } from '#test/late-store';
import { openMemoryShop } from '#test/memory-shop';
import { developmentKeys } from '../../../proof/token-keys.js';
import { QuotaExceeded } from './domain/quota.js';
import { orderTodo } from './read-models/order-todo.js';
import { type OrderService, orderService } from './service.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const cause = { correlationId: ORDER, causationId: 'test' };

test('waiting for an order leaves nothing behind on the signal that would end all waiting', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ports = { ...runtime, store } as unknown as Parameters<typeof orderService>[0];
  const service = orderService(ports, { deadlineMs: 30_000, openOrders: 20, ...developmentKeys });
  await service.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
  const lines = [{ sku: 'honey', quantity: 1 }];
  await service.place({ orderId: ORDER, customerId: ORDER, lines, paymentToken: 'tok' }, cause);

  const { signal } = new AbortController();
  const waits = Array.from({ length: 10 }, () => service.awaitSettled(ORDER, undefined, 1_000, signal));
  const unknown = service.awaitSettled('0190a8c0-0000-7000-8000-000000000002', undefined, 1_000, signal);
  const refused = expect(unknown).rejects.toThrow('There is no such order.');
  await clock.advance(1_000);
  for (const { order } of await Promise.all(waits)) expect(order.status).toBe('placed');
  await refused;
  expect(registered(signal)).toBe(0);
});

test('an order with an expected total is refused only for the prices of now, and with the present total', async () => {
  const clock = new ManualClock();
  const store = new LateStore(clock);
  const bus = new MemoryMessageBus({ clock });
  const shop = openMemoryShop({
    clock,
    ids: new SequentialIds(),
    bus,
    deadlineMs: 60_000,
    providerTimeoutMs: 300,
    store,
  });
  const other = orderService(shop.orderPorts, { deadlineMs: 60_000, openOrders: 20, ...developmentKeys });
  let orders = 0;
  const place = (amountMinor: number) => {
    const orderId = `0190a8c0-0000-7000-8000-${String(++orders).padStart(12, '0')}`;
    const expectedTotal = { amountMinor, currency: 'EUR' };
    const lines = [{ sku: 'honey', quantity: 1 }];
    return shop.order.place({ orderId, customerId: ORDER, lines, paymentToken: 'tok', expectedTotal }, cause);
  };
  try {
    await other.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
    await clock.advance(1_000);
    await place(895);
    store.news.shut();
    await other.setPrice('honey', { amountMinor: 995, currency: 'EUR' }, cause);
    // The customer has seen the new price at the other instance, and this one has not heard of it yet.
    expect((await place(995)).order.terms.total).toEqual({ amountMinor: 995, currency: 'EUR' });
    store.news.open();
    await clock.advance(1_000);
    const details = { total: { amountMinor: 995, currency: 'EUR' } };
    await expect(place(895)).rejects.toMatchObject({ code: 'price-changed', details });
  } finally {
    await shop.stop();
  }
});

test('an order that exists is found under its key when its SKU is withdrawn; a new one is refused until it has a price', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ports = { ...runtime, store } as unknown as Parameters<typeof orderService>[0];
  const service = orderService(ports, { deadlineMs: 30_000, openOrders: 20, ...developmentKeys });
  const price = { amountMinor: 895, currency: 'EUR' };
  const request = { customerId: ORDER, lines: [{ sku: 'honey', quantity: 1 }], paymentToken: 'tok' };
  await service.setPrice('honey', price, cause);
  const first = await service.place({ ...request, orderId: ORDER, expectedTotal: price }, cause);
  await service.withdrawPrice('honey', cause);
  const again = orderService(ports, { deadlineMs: 30_000, openOrders: 20, ...developmentKeys }).place(
    { ...request, orderId: ORDER, expectedTotal: price },
    cause,
  );
  expect((await again).order).toEqual(first.order);
  const another = { ...request, orderId: '0190a8c0-0000-7000-8000-000000000002' };
  await expect(service.place(another, cause)).rejects.toMatchObject({ code: 'unknown-sku' });
  await service.setPrice('honey', price, cause);
  expect((await service.place(another, cause)).order.terms.total).toEqual(price);
});

describe('a customer may have three open orders', () => {
  const stops: (() => Promise<void>)[] = [];
  afterEach(() => Promise.all(stops.splice(0).map((stop) => stop())));

  /** A shop with a second instance of order, in which only `tok_approved` is ever paid. */
  async function openShop() {
    const clock = new ManualClock();
    const deadlineMs = 60_000;
    const shop = openMemoryShop({
      clock,
      ids: new SequentialIds(),
      bus: new MemoryMessageBus({ clock }),
      deadlineMs,
      openOrders: 3,
      providerTimeoutMs: 300,
      timing: { slowMs: 300_000, downMs: 300_000 },
    });
    stops.push(shop.stop);
    const other = orderService(shop.orderPorts, { deadlineMs, openOrders: 3, ...developmentKeys });
    await shop.order.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
    await shop.inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'honey', quantity: 1_000 }, cause);
    const idOf = (n: number) => `0190a8c0-0000-7000-8000-${String(n).padStart(12, '0')}`;
    /** Order number `n`; whether it was placed. */
    async function place(n: number, { of = 'ada', token = 'tok_slow', at = shop.order } = {}): Promise<boolean> {
      const lines = [{ sku: 'honey', quantity: 1 }];
      const placing = at.place({ orderId: idOf(n), customerId: of, lines, paymentToken: token }, cause);
      let answered = false;
      const answer = placing.then(
        () => true,
        (error: unknown) => {
          if (error instanceof QuotaExceeded) return false;
          throw error;
        },
      );
      void answer.finally(() => (answered = true)).catch(() => {});
      // A refusal waits for the read model.
      for (let ms = 0; ms < 5_000 && !answered; ms += 10) await clock.advance(10);
      return answer;
    }
    const openNow = async () =>
      (await shop.orderPorts.tables.due(orderTodo, 'deadline_at', new Date('9999-01-01'), 1_000)).length;
    return { ...shop, clock, other, place, idOf, openNow, deadlineMs };
  }

  test('whose stream is read only where the last customer was not new, and counts wherever it is not', async () => {
    const shop = await openShop();
    const started = () =>
      orderService(shop.orderPorts, { deadlineMs: shop.deadlineMs, openOrders: 3, ...developmentKeys });
    const reads = vi.spyOn(shop.orderPorts.store, 'read');
    const quotasRead = () => reads.mock.calls.map(([stream]) => stream).filter((stream) => stream.startsWith('quota-'));
    let n = 0;
    const place = (of: string, at: OrderService) => shop.place(++n, { of, at });

    for (const of of ['ada', 'bea', 'cid']) expect(await place(of, shop.order)).toBe(true);
    expect(quotasRead(), 'all were new').toEqual([]);
    for (const of of ['ada', 'bea', 'ada']) expect(await place(of, shop.order)).toBe(true);
    expect(quotasRead(), 'all were known').toEqual([]);

    const other = started();
    expect(await place('bea', other)).toBe(true);
    expect(quotasRead(), 'was assumed to be new').toEqual(['quota-bea']);
    expect(await place('cid', other)).toBe(true);
    expect(await place('dan', other)).toBe(true);
    expect(quotasRead(), 'after one who was not').toEqual(['quota-bea', 'quota-cid', 'quota-dan']);
    expect(await place('eve', other)).toBe(true);
    expect(quotasRead(), 'after one who was').toEqual(['quota-bea', 'quota-cid', 'quota-dan']);
    expect([await place('ada', other), await place('bea', started())], 'all places are taken').toEqual([false, false]);
  });

  test('of four hundred that come at once, at two instances, three are placed', async () => {
    const shop = await openShop();
    const numbers = Array.from({ length: 400 }, (_, n) => n + 1);
    const placed = await Promise.all(numbers.map((n) => shop.place(n, { at: n % 2 ? shop.order : shop.other })));
    expect(placed.filter(Boolean)).toHaveLength(3);
    await shop.clock.advance(1_000);
    expect(await shop.openNow()).toBe(3);
    expect(await shop.place(500, { of: 'bea' }), 'another customer').toBe(true);
    const again = numbers.filter((n) => placed[n - 1]);
    expect(await Promise.all(again.map((n) => shop.place(n, { at: shop.other }))), 'the same again').toEqual([
      true,
      true,
      true,
    ]);
  });

  test.each<[string, (shop: Awaited<ReturnType<typeof openShop>>) => Promise<unknown>]>([
    ['cancelled', (shop) => shop.order.cancel(shop.idOf(1), 'ada', cause)],
    ['called off by its deadline', (shop) => shop.clock.advance(shop.deadlineMs + 2_000)],
    [
      'called off by a person',
      (shop) => shop.order.resolve(shop.idOf(1), { decision: 'call-off', reason: 'r' }, cause),
    ],
  ])('its place is free when an order is settled that was %s', async (_, end) => {
    const shop = await openShop();
    for (const n of [1, 2, 3]) expect(await shop.place(n)).toBe(true);
    expect(await shop.place(4)).toBe(false);
    await end(shop);
    await shop.clock.advance(10_000);
    expect(await shop.place(4)).toBe(true);
  });

  test('who pays at once has as many orders as they like', async () => {
    const shop = await openShop();
    for (let n = 1; n <= 20; n++) {
      expect(await shop.place(n, { token: 'tok_approved' })).toBe(true);
      await shop.clock.advance(1_000);
    }
  });

  test('an order that is refused takes no place', async () => {
    const shop = await openShop();
    for (const n of [1, 2]) expect(await shop.place(n)).toBe(true);
    const wrong = [{ sku: 'snow', quantity: 1 }];
    const request = { orderId: shop.idOf(9), customerId: 'ada', paymentToken: 'tok' };
    await expect(shop.order.place({ ...request, lines: wrong }, cause)).rejects.toMatchObject({ code: 'unknown-sku' });
    expect(await shop.place(3)).toBe(true);
  });

  test('while the read model stands still nobody gets a place too many, and the refusal comes in time', async () => {
    const shop = await openShop();
    vi.spyOn(shop.orderPorts.tables, 'commit').mockRejectedValue(new Error('The table is locked.'));
    for (const n of [1, 2, 3]) expect(await shop.place(n, { token: 'tok_approved' })).toBe(true);
    await shop.clock.advance(5_000);
    expect(await shop.place(4)).toBe(false);
    vi.restoreAllMocks();
    await shop.clock.advance(60_000);
    expect(await shop.place(4)).toBe(true);
  });
});

/** Counts the listeners of a signal, and the signals that AbortSignal.any has derived from it. */
function registered(signal: AbortSignal): number {
  const made = Object.getOwnPropertySymbols(signal).find(({ description }) => description === 'kDependantSignals');
  const dependants = made && (signal as unknown as Record<symbol, Set<unknown> | undefined>)[made];
  return getEventListeners(signal, 'abort').length + (dependants?.size ?? 0);
}
