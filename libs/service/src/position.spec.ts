import { expect, test } from 'vitest';
import { MemoryTables, projection } from '#projections';
import { ManualClock } from '#runtime';
import { ReadYourWrites } from './position.js';

const summary = projection<{ id: string }, { type: 'Seen'; data: object }>({
  name: 'summary',
  table: 'summary',
  categories: ['order'],
  keyColumns: ['id'],
  key: () => undefined,
  apply: (row) => row,
});

async function reader({ at }: { at: bigint }) {
  const [tables, clock, stop] = [new MemoryTables(), new ManualClock(), new AbortController()];
  const advance = async (from: bigint, to: bigint) =>
    tables.commit({ projection: summary, from, to, upserts: [], deletes: [] });
  if (at > 0n) await advance(0n, at);
  return { clock, stop, advance, reads: new ReadYourWrites({ tables, clock }, 3_000, stop.signal) };
}

test('a read that names no position, or one that is shown, does not wait', async () => {
  const { reads } = await reader({ at: 7n });
  await reads.caughtUp(summary, undefined);
  await reads.caughtUp(summary, 7n);
});

test('a read waits for its position', async () => {
  const { reads, clock, advance } = await reader({ at: 7n });
  let done = false;
  const read = reads.caughtUp(summary, 9n).then(() => (done = true));
  await clock.advance(1_000);
  expect(done).toBe(false);
  await advance(7n, 9n);
  await clock.advance(100);
  await read;
});

test('a read that would wait too long is told to come back, and how far behind the read model is', async () => {
  const { reads, clock } = await reader({ at: 7n });
  const read = expect(reads.caughtUp(summary, 9n)).rejects.toMatchObject({
    status: 503,
    code: 'read-model-behind',
    extras: { lag: 2 },
    headers: { 'retry-after': '1' },
  });
  await clock.advance(3_100);
  await read;
});

test('no read waits for a service that stops', async () => {
  const { reads, stop } = await reader({ at: 7n });
  const read = expect(reads.caughtUp(summary, 9n)).rejects.toMatchObject({ status: 503 });
  stop.abort();
  await read;
});
