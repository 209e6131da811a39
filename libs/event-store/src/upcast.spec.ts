import { describe, expect, test } from 'vitest';
import { isUnavailable, SystemClock } from '#runtime';
import { MemoryEventStore } from './memory.js';
import type { EventStore, NewEvent, RecordedEvent } from './port.js';
import { NewerEvent, type Upcasters, withUpcasters } from './upcast.js';

const upcasters: Upcasters = {
  PriceSet: [
    ({ amount }: { amount: number }) => ({ amountMinor: amount * 100 }),
    ({ amountMinor }: { amountMinor: number }) => ({ price: { amountMinor, currency: 'EUR' } }),
  ],
  NeverChanged: [],
};

describe('reading through upcasters', () => {
  test('lifts an old shape step by step to the current one, and sets its version', async () => {
    const { store } = await storeWith([priceSet(1, { amount: 7 }), priceSet(2, { amountMinor: 700 })]);
    const price = { price: { amountMinor: 700, currency: 'EUR' } };
    for (const events of [await read(store), await subscribed(store)]) {
      expect(events.map(({ data }) => data)).toEqual([price, price]);
      expect(events.map(({ metadata }) => metadata)).toEqual([1, 2].map(() => ({ ...cause, schema: 3 })));
      expect(events.map(({ revision }) => revision)).toEqual([0, 1]);
    }
  });

  test('returns the event itself when its shape is current', async () => {
    const { store, inner } = await storeWith([priceSet(3, { price: 7 }), { ...priceSet(1, {}), type: 'NeverChanged' }]);
    const stored = await read(inner);
    for (const [i, event] of (await read(store)).entries()) expect(event).toBe(stored[i]);
    for (const [i, event] of (await subscribed(store)).entries()) expect(event).toBe(stored[i]);
  });

  test('leaves the stored event as it was written', async () => {
    const { store, inner } = await storeWith([priceSet(1, { amount: 7 })]);
    await read(store);
    expect((await read(inner))[0]).toMatchObject({ data: { amount: 7 }, metadata: { schema: 1 } });
  });

  test.each(['PriceSet', 'NeverChanged'])('refuses a shape of %s newer than it knows', async (type) => {
    const { store } = await storeWith([{ ...priceSet(4, {}), type }]);
    const message = `${type} at price-oil, revision 0, has version 4`;
    await expect(read(store)).rejects.toThrow(message);
    await expect(subscribed(store)).rejects.toThrow(message);
  });

  test('refuses a type that it does not know: a newer release wrote it', async () => {
    const { store } = await storeWith([priceSet(3, {}), { ...priceSet(1, {}), type: 'PriceFrozen' }]);
    const message = 'PriceFrozen at price-oil, revision 1, is of a type that this deployment does not know';
    await expect(read(store)).rejects.toThrow(message);
    await expect(subscribed(store)).rejects.toThrow(message);
  });

  test('what is newer is no reason to give anything up: somebody else can read it now, and this code when it is replaced', async () => {
    for (const newer of [priceSet(4, {}), { ...priceSet(1, {}), type: 'PriceFrozen' }]) {
      const { store } = await storeWith([newer]);
      const error: unknown = await read(store).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(NewerEvent);
      expect(isUnavailable(error)).toBe(true);
    }
  });

  test('append, head and close are those of the store behind', async () => {
    const { store, inner } = await storeWith([priceSet(3, {})]);
    const position = await store.append([{ stream: 'price-oil', expected: 0, events: [priceSet(3, {})] }]);
    expect(await store.head()).toBe(position);
    await store.close();
    await expect(inner.append([{ stream: 'price-oil', expected: 1, events: [priceSet(3, {})] }])).rejects.toThrow(
      'closed',
    );
  });
});

const cause = { correlationId: 'c', causationId: 'm' };

function priceSet(schema: number, data: object): NewEvent {
  return { id: '00000000-0000-4000-8000-000000000001', type: 'PriceSet', data, metadata: { ...cause, schema } };
}

async function storeWith(events: NewEvent[]) {
  const inner = new MemoryEventStore(new SystemClock());
  await inner.append([{ stream: 'price-oil', expected: 'none', events }]);
  return { inner, store: withUpcasters(inner, upcasters) };
}

async function read(store: EventStore): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = [];
  for await (const event of store.read('price-oil')) found.push(event);
  return found;
}

async function subscribed(store: EventStore): Promise<readonly RecordedEvent[]> {
  const signal = new AbortController().signal;
  for await (const batch of store.subscribe({ categories: ['price'], after: 0n, signal })) return batch.events;
  return [];
}
