import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { MemoryMessageBus } from '#message-bus';
import { LateStore } from '#test/late-store';
import { openMemoryShop } from '#test/memory-shop';
import { developmentKeys } from '../../../proof/token-keys.js';
import { orderService } from './service.js';

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

/** Counts the listeners of a signal, and the signals that AbortSignal.any has derived from it. */
function registered(signal: AbortSignal): number {
  const made = Object.getOwnPropertySymbols(signal).find(({ description }) => description === 'kDependantSignals');
  const dependants = made && (signal as unknown as Record<symbol, Set<unknown> | undefined>)[made];
  return getEventListeners(signal, 'abort').length + (dependants?.size ?? 0);
}
