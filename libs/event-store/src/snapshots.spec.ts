import fc from 'fast-check';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import type { Decider } from '#decider';
import { postgresPool } from '#runtime/postgres';
import { SeededRandom, SequentialIds } from '#runtime/testing';
import { SystemClock } from '#runtime';
import { MemoryEvents, MemoryEventStore } from './memory.js';
import { digestOf, MemorySnapshots, type Snapshot, type Snapshots } from './snapshots.js';
import { PostgresSnapshots } from './postgres/snapshots.js';
import { Transactor } from './transactor.js';

const pool = postgresPool(await freshDatabase('inventory'));
afterAll(() => pool.end());

describe.each<[string, () => Snapshots]>([
  ['memory', () => new MemorySnapshots()],
  ['Postgres', () => new PostgresSnapshots(pool)],
])('snapshots in %s', (name, open) => {
  const stream = `stock-${name}`;
  const eventId = '00000000-0000-4000-8000-000000000001';
  const snapshot = (revision: number, by = 'us'): Snapshot => {
    return { stream, foldedBy: by, revision, eventId, state: { by, revision, text: 'a\u0000b' } };
  };

  test('the latest is kept, and one of other code replaces it', async () => {
    const snapshots = open();
    expect(await snapshots.load(stream)).toBeUndefined();
    await snapshots.save(snapshot(7));
    await snapshots.save(snapshot(5)); // From a slow writer.
    expect(await snapshots.load(stream)).toEqual(snapshot(7));
    await snapshots.save(snapshot(8));
    expect(await snapshots.load(stream)).toEqual(snapshot(8));
    await snapshots.save(snapshot(3, 'others'));
    expect(await snapshots.load(stream)).toEqual(snapshot(3, 'others'));
  });
});

type Added = { type: 'Added'; data: { n: number } };
type Sum = { readonly sum: number; readonly count: number };

const adder: Decider<number, Added, Sum> = {
  initialState: { sum: 0, count: 0 },
  decide: (n) => [{ type: 'Added', data: { n } }],
  evolve: ({ sum, count }, { data: { n } }) => ({ sum: sum + n, count: count + 1 }),
};
const adderWithAnotherFold: typeof adder = {
  ...adder,
  evolve: ({ sum, count }, { data: { n } }) => ({ sum: sum + 2 * n, count: count + 1 }),
};

const EVERY = 10;
const cause = { correlationId: 'order-1', causationId: 'request-1' };
const ids = new SequentialIds();

/** A store that records where each read of a stream begins. */
class WatchedStore extends MemoryEventStore {
  readonly reads: string[] = [];
  override read(stream: string, from = 0) {
    this.reads.push(`${stream} from ${from}`);
    return super.read(stream, from);
  }
}

let events: MemoryEvents;
let snapshots: MemorySnapshots;
beforeEach(() => {
  events = new MemoryEvents();
  snapshots = new MemorySnapshots(EVERY);
});

/** A process that has just started. */
function start(over: Snapshots = snapshots) {
  const store = new WatchedStore(new SystemClock(), events);
  const ports = { store, clock: new SystemClock(), ids, random: new SeededRandom(1), snapshots: over };
  const transactor = new Transactor(ports, { snapshots: ['sum'] });
  const add = async (n: number, { decider = adder, stream = 'sum-1' } = {}) =>
    (await transactor.transact(decider, stream, n, cause)).state;
  return { add, reads: store.reads };
}

/** Adds 1 to `count`, in a process of its own. */
async function addUpTo(count: number) {
  const { add } = start();
  for (let n = 1; n <= count; n++) await add(n);
}
const sumTo = (count: number) => (count * (count + 1)) / 2;

test('a process that has just started reads a long stream from its snapshot, not from its beginning', async () => {
  await addUpTo(37);
  const { add, reads } = start();
  expect(await add(38)).toEqual({ sum: sumTo(38), count: 38 });
  expect(reads).toEqual(['sum-1 from 29']);
});

test('a process that starts without a snapshot saves one for the next process', async () => {
  await addUpTo(37);
  snapshots = new MemorySnapshots(EVERY);
  await start().add(38);
  const { add, reads } = start();
  await add(39);
  expect(reads).toEqual(['sum-1 from 36']);
});

test('streams of other categories are read from the beginning, without loading a snapshot', async () => {
  const { add } = start();
  for (let n = 1; n <= 25; n++) await add(n, { stream: 'other-1' });
  expect(await snapshots.load('other-1')).toBeUndefined();
  class NoSnapshots extends MemorySnapshots {
    override load(): never {
      throw new Error('Nothing should load a snapshot.');
    }
  }
  expect(await start(new NoSnapshots()).add(26, { stream: 'other-1' })).toEqual({ sum: sumTo(26), count: 26 });
});

test('a snapshot that other code folded is not used', async () => {
  await addUpTo(37);
  const { add, reads } = start();
  expect(await add(1, { decider: adderWithAnotherFold })).toEqual({ sum: 2 * (sumTo(37) + 1), count: 38 });
  expect(reads).toEqual(['sum-1 from 0']);
});

test('a snapshot whose last event is not in the store is not used', async () => {
  await addUpTo(37);
  const lost = events;
  events = new MemoryEvents(); // Restored from an older backup, and continued from there.
  snapshots = new MemorySnapshots(1_000);
  await addUpTo(35);
  snapshots = new MemorySnapshots(EVERY);
  const { id } = lost.streams.get('sum-1')![29]!;
  for (const revision of [29, 36]) {
    await snapshots.save({
      stream: 'sum-1',
      foldedBy: digestOf(adder, {}),
      revision,
      eventId: id,
      state: { sum: -1, count: -1 },
    });
    const { add, reads } = start();
    expect((await add(1)).sum).toBeGreaterThan(sumTo(35));
    expect(reads).toEqual([`sum-1 from ${revision}`, 'sum-1 from 0']);
  }
});

test('decisions continue when snapshots can be neither loaded nor saved', async () => {
  class Broken extends MemorySnapshots {
    override load() {
      return Promise.reject(new Error('The disk is full.'));
    }
    override save() {
      return Promise.reject(new Error('The disk is full.'));
    }
  }
  await addUpTo(25);
  const { add } = start(new Broken(EVERY));
  for (let n = 26; n <= 50; n++) expect(await add(n)).toEqual({ sum: sumTo(n), count: n });
});

test('whichever processes start and stop, their states equal a fold from the beginning', async () => {
  const turns = fc.array(
    fc.record({ process: fc.nat(2), n: fc.integer({ min: -5, max: 5 }), restart: fc.boolean(), lose: fc.boolean() }),
    { maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(turns, async (list) => {
      events = new MemoryEvents();
      snapshots = new MemorySnapshots(3);
      const processes = [start(), start(), start()];
      const expected = { sum: 0, count: 0 };
      for (const { process, n, restart, lose } of list) {
        if (lose) snapshots = new MemorySnapshots(3);
        if (restart) processes[process] = start();
        expected.sum += n;
        expected.count++;
        expect(await processes[process]!.add(n)).toEqual(expected);
      }
    }),
    { numRuns: 100 },
  );
});
