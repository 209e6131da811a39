import { setMaxListeners } from 'node:events';
import { expect, test } from 'vitest';
import { type AnyProjection, MemoryTables, projection } from '#projections';
import { type Clock, SystemClock } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { ReadYourWrites } from './position.js';

const summary = projection<{ id: string }, { type: 'Seen'; data: object }>({
  name: 'summary',
  table: 'summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => undefined,
  apply: (row) => row,
});

/** Tables that count the looks at their checkpoints, of which each takes a turn of the event loop, as a database's does. */
class CountingTables extends MemoryTables {
  looks = 0;

  override async checkpoint(of: AnyProjection): Promise<bigint> {
    this.looks++;
    const position = await super.checkpoint(of);
    await new Promise(setImmediate);
    return position;
  }
}

/** A read model at a position, and a store whose last event is at `head`. */
async function reader<C extends Clock = ManualClock>({
  at,
  head = 10n,
  clock = new ManualClock() as Clock as C,
}: {
  at: bigint;
  head?: bigint;
  clock?: C;
}) {
  const [tables, stop] = [new CountingTables(), new AbortController()];
  const advance = async (from: bigint, to: bigint) =>
    tables.commit({ projection: summary, from, to, upserts: [], deletes: [] });
  if (at > 0n) await advance(0n, at);
  const store = { head: async () => head };
  const reads = new ReadYourWrites({ store, tables, clock }, 3_000, stop.signal);
  const readAll = (after?: bigint, query: () => Promise<unknown> = async () => 'row') =>
    reads.read(summary, after, query);
  /** Reads after a position, and returns the position to answer with. */
  const read = async (...all: Parameters<typeof readAll>) => (await readAll(...all)).position;
  return { tables, clock, stop, advance, read, readAll };
}

/** Lets time pass until a promise is settled. */
async function letPass(clock: ManualClock, promise: Promise<unknown>): Promise<void> {
  let settled = false;
  const end = () => (settled = true);
  promise.then(end, end);
  while (!settled) {
    await clock.advance(10);
    await new Promise(setImmediate);
  }
}

test('a read that names no position, or one that is shown, does not wait', async () => {
  const { read } = await reader({ at: 7n });
  await read();
  await read(7n);
});

test('a read waits for its position', async () => {
  const { read, clock, advance } = await reader({ at: 7n });
  let queried = false;
  const waiting = read(9n, async () => (queried = true));
  for (let i = 0; i < 100; i++) {
    await clock.advance(10);
    await new Promise(setImmediate);
  }
  expect(queried).toBe(false);
  await advance(7n, 9n);
  await letPass(clock, waiting);
  expect(await waiting).toBe(9n);
});

test('the position of an answer covers everything it shows, also events that arrive while the rows are read', async () => {
  const { read, advance } = await reader({ at: 7n });
  expect(await read(undefined, () => advance(7n, 9n))).toBe(9n);
});

test('an answer proves no more than where the read model was before its rows were read', async () => {
  const { readAll, advance, clock, tables } = await reader({ at: 7n });
  expect(await readAll(5n, () => advance(7n, 9n))).toMatchObject({ proves: 7n, position: 9n });
  const looks = tables.looks;
  const waiting = readAll(10n);
  while (tables.looks < looks + 2) await new Promise(setImmediate);
  await advance(9n, 10n);
  await letPass(clock, waiting);
  expect(await waiting).toMatchObject({ proves: 10n, position: 10n });
  expect((await readAll()).proves).toBeUndefined(); // Nobody looked.
});

test('a read that would wait too long is answered with when to retry and how far behind the read model is', async () => {
  const { read, clock } = await reader({ at: 7n });
  const waiting = read(9n);
  const refused = expect(waiting).rejects.toMatchObject({
    status: 503,
    code: 'read-model-behind',
    message: 'The read model is 2 positions behind Larder-Position. Try again.',
    extras: { lag: 2 },
    headers: { 'retry-after': '1' },
  });
  await letPass(clock, waiting);
  await refused;
});

test('a position beyond the last event is refused at once, and that of the last event is not', async () => {
  const { read, advance } = await reader({ at: 7n, head: 9n });
  await expect(read(10n)).rejects.toMatchObject({
    status: 400,
    code: 'unknown-position',
    message: expect.stringMatching(/^Larder-Position is beyond the last event, 9: .* Leave it out\.$/),
  });
  await advance(7n, 9n);
  expect(await read(9n)).toBe(9n);
});

test('reads that share a look at the store each learn of their own position', async () => {
  const asked: bigint[] = [];
  // As a store answers that knows of a position and need not ask its server.
  const head = async (atLeast = 10n) => (asked.push(atLeast), atLeast <= 5n ? 5n : 10n);
  const ports = { store: { head }, tables: new MemoryTables(), clock: new ManualClock() };
  const reads = new ReadYourWrites(ports, 3_000, new AbortController().signal);
  const refused = expect(reads.refuseUnknown(11n)).rejects.toMatchObject({ code: 'unknown-position' });
  await Promise.all([reads.refuseUnknown(3n), reads.refuseUnknown(8n), refused]);
  await reads.refuseUnknown(4n);
  expect(asked).toEqual([11n, 4n]);
});

test('a thousand waiting reads share their queries of the checkpoint', async () => {
  const { read, tables, stop, advance } = await reader({ at: 7n, clock: new SystemClock() });
  setMaxListeners(0, stop.signal);
  const waiting = Promise.all(Array.from({ length: 1_000 }, () => read(9n)));
  await expect.poll(() => tables.looks).toBeGreaterThan(10);
  await advance(7n, 9n);
  await waiting;
  expect(tables.looks).toBeLessThan(200);
});

test('no read waits for a service that stops', async () => {
  const { read, stop } = await reader({ at: 7n });
  stop.abort();
  await expect(read(9n)).rejects.toMatchObject({ status: 503 });
});
