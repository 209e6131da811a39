import { beforeEach, expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import { ManualClock } from '#runtime/testing';
import { OrderCounts } from './order-counts.js';

let clock: ManualClock;
let counts: OrderCounts;
beforeEach(() => {
  clock = new ManualClock();
  counts = new OrderCounts(clock);
});

const event = (type: string, order: number) =>
  ({ type, stream: `order-${order}`, recordedAt: clock.now().toISOString() }) as RecordedEvent;
const see = (type: string, ...orders: number[]) => counts.see(orders.map((order) => event(type, order)));
const numbers = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Follows from now on, and until the next second has begun. */
async function begin() {
  counts.see([]);
  await clock.advance(1_000);
}

test('rates are of whole seconds, the last ten, and of what all instances do', async () => {
  await begin();
  see('OrderPlaced', 1, 2, 3);
  await clock.advance(1_000);
  see('OrderPlaced', 4); // Of a second that is not over.
  see('OrderCompleted', 1);
  see('OrderSettled', 2);
  see('OrderConfirmed', 3);
  expect(counts.flow()).toMatchObject({ seconds: 1, placed: 3, settled: 0 });
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ seconds: 2, placed: 4, settled: 2 });
  await clock.advance(8_000);
  expect(counts.flow()).toMatchObject({ seconds: 10, placed: 4, settled: 2 });
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ seconds: 10, placed: 1, settled: 2 });
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ seconds: 10, placed: 0, settled: 0 });
});

test('the time to settle is from the first event of an order to the last, over a minute', async () => {
  await begin();
  see('OrderPlaced', ...numbers(100));
  for (const order of numbers(100)) {
    await clock.advance(10);
    see('OrderCompleted', order);
  }
  await clock.advance(1_000);
  const toSettle = { orders: 100, others: 0, medianMs: 500, p99Ms: 990 };
  expect(counts.flow()!.toSettle).toEqual({ seconds: 2, ...toSettle });
  await clock.advance(58_000);
  see('OrderPlaced', 100);
  expect(counts.flow()!.toSettle).toEqual({ seconds: 60, ...toSettle });
  await clock.advance(2_000);
  expect(counts.flow()!.toSettle).toEqual({ seconds: 60, orders: 0, others: 0 });
});

test('orders that were placed before it followed are counted, and their time is not made up', async () => {
  await begin();
  see('OrderCompleted', 1, 2);
  see('OrderPlaced', 3);
  see('OrderCompleted', 3);
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ settled: 3, toSettle: { orders: 1, others: 2, medianMs: 0, p99Ms: 0 } });
});

test('while the orders are not followed nothing is known, and afterwards nothing of what was before', async () => {
  expect(counts.flow()).toBeUndefined();
  await begin();
  expect(counts.flow()).toBeUndefined(); // It has seen a part of a second only.
  see('OrderPlaced', 1);
  await clock.advance(1_000);
  counts.restart();
  expect(counts.flow()).toBeUndefined();
  await begin();
  see('OrderCompleted', 1);
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ seconds: 1, placed: 0, settled: 1, toSettle: { orders: 0, others: 1 } });
});

test('what a clock that was set back has recorded took no time, rather than less', async () => {
  await begin();
  see('OrderPlaced', 1);
  const earlier = new Date(clock.now().getTime() - 5_000).toISOString();
  counts.see([{ ...event('OrderCompleted', 1), recordedAt: earlier }]);
  await clock.advance(1_000);
  expect(counts.flow()!.toSettle).toMatchObject({ orders: 1, medianMs: 0 });
});

test('its memory has an end: what is beyond it counts without a time', async () => {
  await begin();
  see('OrderPlaced', ...numbers(20_001)); // The first is forgotten.
  see('OrderCompleted', 0);
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ placed: 20_001, settled: 1, toSettle: { orders: 0, others: 1 } });
  see('OrderCompleted', ...numbers(502).slice(1)); // Of a second, 500 times are kept.
  await clock.advance(1_000);
  expect(counts.flow()).toMatchObject({ settled: 502, toSettle: { orders: 500, others: 2 } });
});
