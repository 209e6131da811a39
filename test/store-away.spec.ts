/** The event store of the order service goes away for twenty minutes in the middle of checkouts, and comes back. */
import { setMaxListeners } from 'node:events';
import { expect, test } from 'vitest';
import { type Batch, type EventStore, MemoryEventStore, type RecordedEvent, type StreamWrite } from '#event-store';
import { MemoryMessageBus } from '#message-bus';
import { ServerUnavailable } from '#runtime';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { openMemoryShop } from './support/memory-shop.js';

const MINUTE_MS = 60_000;
const cause = { correlationId: 'test', causationId: 'test' };

/** A store that does not answer while it is away. */
class DistantStore extends MemoryEventStore {
  away = false;
  refused = 0;

  override async append(writes: readonly StreamWrite[]): Promise<bigint> {
    this.reach();
    return super.append(writes);
  }

  override async *read(stream: string, from?: number): AsyncIterable<RecordedEvent> {
    this.reach();
    yield* super.read(stream, from);
  }

  override async *subscribe(options: Parameters<EventStore['subscribe']>[0]): AsyncIterable<Batch> {
    for await (const batch of super.subscribe(options)) {
      this.reach();
      yield batch;
    }
  }

  override async head(): Promise<bigint> {
    this.reach();
    return super.head();
  }

  private reach(): void {
    if (!this.away) return;
    this.refused++;
    throw new ServerUnavailable('The event store does not answer.');
  }
}

test(
  'after twenty minutes without its store the order service has no dead letter, and every order gets to its end',
  { timeout: 60_000 },
  async () => {
    const clock = new ManualClock();
    const store = new DistantStore(clock);
    const shop = openMemoryShop({
      clock,
      store,
      ids: new SequentialIds(),
      bus: new MemoryMessageBus({ clock }),
      deadlineMs: 60 * MINUTE_MS,
      providerTimeoutMs: 5_000,
      timing: { slowMs: 2_000, downMs: 30_000 },
    });
    const { order, inventory, orderPorts, signal } = shop;
    setMaxListeners(0, signal);
    await order.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
    await inventory.bookStock({ entryId: 'all', kind: 'receipt', sku: 'honey', quantity: 100 }, cause);
    const orderIds = Array.from({ length: 30 }, (_, i) => `00000000-0000-4000-8000-${`${i}`.padStart(12, '0')}`);
    const tokens = ['tok_approved', 'tok_slow', 'tok_declined'];
    for (const [i, orderId] of orderIds.entries()) {
      const lines = [{ sku: 'honey', quantity: 1 }];
      await order.place({ orderId, customerId: orderId, lines, paymentToken: tokens[i % 3]! }, cause);
      if (i % 3 === 2) await clock.advance(10);
    }

    store.away = true;
    await clock.advance(20 * MINUTE_MS);
    expect(store.refused).toBeGreaterThan(20);
    const waiting = await orderPorts.parked.parkedKeys('order', orderIds);
    expect(waiting?.size).toBeGreaterThan(0);
    expect(await orderPorts.deadLetters.countDead()).toBe(0);
    store.away = false;

    const ends = Promise.all(orderIds.map((orderId) => order.awaitSettled(orderId, undefined, 30 * MINUTE_MS, signal)));
    await clock.advance(5 * MINUTE_MS);
    expect(await orderPorts.deadLetters.countDead()).toBe(0);
    const statuses = (await ends).map((end) => end.order.status);
    expect(statuses).toEqual(orderIds.map((_, i) => (i % 3 === 2 ? 'rejected' : 'completed')));
    expect(await shop.stockOf('honey')).toEqual({ available: 80, reserved: 0, shipped: 20 });
    await shop.stop();
  },
);
