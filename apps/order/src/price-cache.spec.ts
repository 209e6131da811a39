import { beforeEach, expect, test } from 'vitest';
import { type EventStore, MemoryEvents, MemoryEventStore, Transactor } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { LateStore } from '#test/late-store';
import { price } from './domain/price.js';
import { PriceCache } from './price-cache.js';

const cause = { correlationId: 'c', causationId: 'm' };
const runtime = { clock: new ManualClock(), ids: new SequentialIds(), random: new SeededRandom(1) };

let events: MemoryEvents;
let store: LateStore;
let prices: PriceCache;

beforeEach(async () => {
  events = new MemoryEvents();
  store = new LateStore(runtime.clock, events);
  prices = new PriceCache(store, new Transactor({ ...runtime, store }));
  await setPrice(100);
});

/** Another instance sets the price. */
async function setPrice(amountMinor: number, stream = 'price-honey'): Promise<bigint> {
  const other: EventStore = new MemoryEventStore(runtime.clock, events);
  const { position } = await new Transactor({ ...runtime, store: other }).transact(
    price,
    stream,
    { type: 'Set', amountMinor, currency: 'EUR' },
    cause,
  );
  return position;
}

/** Follows until the returned function is called, which resolves when nothing is followed any longer. */
async function follow(): Promise<() => Promise<void>> {
  const stop = new AbortController();
  const following = prices.follow(stop.signal);
  await turns();
  return async () => {
    stop.abort();
    await following;
  };
}

/** Lets everything run that waits for nothing but its turn. */
async function turns(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate);
}

const amountOf = async (since?: bigint) => ((await prices.of('honey', since)) as { amountMinor?: number }).amountMinor;

test('a price that is known costs no read until it changes', async () => {
  await follow();
  await amountOf();
  const { reads } = store;
  expect(await amountOf()).toBe(100);
  expect(store.reads).toBe(reads);
  await setPrice(200);
  await turns();
  expect(await amountOf()).toBe(200);
});

test('a price that changes while it is read is not kept', async () => {
  await follow();
  store.answers.shut();
  const late = amountOf();
  await turns();
  await setPrice(200);
  await turns();
  store.answers.open();
  expect(await late).toBe(100); // As it was when the order came.
  expect(await amountOf()).toBe(200);
});

test.each([
  ['ended and began again', true],
  ['began', false],
])('a price that was read before the following %s is not kept', async (_, followed) => {
  const stop = followed ? await follow() : undefined;
  store.answers.shut();
  const late = amountOf();
  await turns();
  await stop?.();
  await setPrice(200); // Nobody follows, and nobody will be told.
  await follow();
  store.answers.open();
  await late;
  expect(await amountOf()).toBe(200);
});

test('with a position, a price is never older than that position, though its change has not arrived here', async () => {
  await follow();
  await amountOf();
  store.news.shut();
  const position = await setPrice(200);
  expect(await amountOf()).toBe(100);
  expect(await amountOf(position)).toBe(200);
});

test('a position that has arrived here costs no read', async () => {
  await follow();
  await amountOf();
  const position = await setPrice(300, 'price-bread');
  await turns();
  const { reads } = store;
  expect(await amountOf(position)).toBe(100);
  expect(store.reads).toBe(reads);
});
