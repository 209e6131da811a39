import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { orderService } from './service.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const cause = { correlationId: ORDER, causationId: 'test' };

test('waiting for an order leaves nothing behind on the signal that would end all waiting', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ports = { ...runtime, store } as unknown as Parameters<typeof orderService>[0];
  const service = orderService(ports, { deadlineMs: 30_000 });
  await service.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
  const lines = [{ sku: 'honey', quantity: 1 }];
  await service.place({ orderId: ORDER, customerId: ORDER, lines, paymentToken: 'tok' }, cause);

  const { signal } = new AbortController();
  const waits = Array.from({ length: 10 }, () => service.awaitSettled(ORDER, 1_000, signal));
  const unknown = service.awaitSettled('0190a8c0-0000-7000-8000-000000000002', 1_000, signal);
  const refused = expect(unknown).rejects.toThrow('There is no such order.');
  await clock.advance(1_000);
  for (const { order } of await Promise.all(waits)) expect(order.status).toBe('placed');
  await refused;
  expect(registered(signal)).toBe(0);
});

/** Counts the listeners of a signal, and the signals that AbortSignal.any has derived from it. */
function registered(signal: AbortSignal): number {
  const made = Object.getOwnPropertySymbols(signal).find(({ description }) => description === 'kDependantSignals');
  const dependants = made && (signal as unknown as Record<symbol, Set<unknown> | undefined>)[made];
  return getEventListeners(signal, 'abort').length + (dependants?.size ?? 0);
}
