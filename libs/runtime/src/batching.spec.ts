import { expect, test } from 'vitest';
import { Batcher } from './batching.js';

interface Item {
  readonly n: number;
  readonly resolve: (n: number) => void;
  readonly reject: (reason: unknown) => void;
}

/** A batcher of numbers that records its batches. `handle` gives the verdicts. */
function batcherOf(maxBatch: number, handle: (batch: readonly Item[]) => Promise<readonly Item[] | void>) {
  const batches: number[][] = [];
  const batcher = new Batcher<Item>(maxBatch, (batch) => {
    batches.push(batch.map(({ n }) => n));
    return handle(batch);
  });
  const add = (n: number) => new Promise<number>((resolve, reject) => batcher.add({ n, resolve, reject }));
  return { batches, add };
}
const answer = async (batch: readonly Item[]) => {
  await new Promise(setImmediate);
  batch.forEach(({ n, resolve }) => resolve(n));
};

test('items of one turn of the event loop go together, and those that come meanwhile are the next batch', async () => {
  const { batches, add } = batcherOf(100, answer);
  const first = [add(1), add(2)];
  await Promise.resolve();
  await Promise.resolve();
  expect(await Promise.all([...first, add(3), add(4)])).toEqual([1, 2, 3, 4]);
  expect(await add(5)).toBe(5);
  expect(batches).toEqual([[1, 2], [3, 4], [5]]);
});

test('no batch is larger than its limit', async () => {
  const { batches, add } = batcherOf(2, answer);
  await Promise.all([1, 2, 3, 4, 5].map(add));
  expect(batches).toEqual([[1, 2], [3, 4], [5]]);
});

test('items that have to go again are the first of the next batch', async () => {
  let overtaken = true;
  const { batches, add } = batcherOf(2, async (batch) => {
    await answer(batch.filter(({ n }) => !(overtaken && n === 2)));
    const again = batch.filter(({ n }) => overtaken && n === 2);
    overtaken = false;
    return again;
  });
  expect(await Promise.all([1, 2, 3, 4].map(add))).toEqual([1, 2, 3, 4]);
  expect(batches).toEqual([[1, 2], [2, 3], [4]]);
});

test('a batch that fails rejects its own items, and the next one is handled', async () => {
  const { add } = batcherOf(2, async (batch) => {
    if (batch.some(({ n }) => n === 1)) throw new Error('The connection broke.');
    await answer(batch);
  });
  const outcomes = await Promise.allSettled([1, 2, 3].map(add));
  expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
});
