import fc from 'fast-check';
import { expect, test } from 'vitest';
import { categoryOf, MemoryEvents, MemoryEventStore, type NewEvent, type RecordedEvent } from '#event-store';
import { MemoryLeases, silentLog, SystemClock } from '#runtime';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import {
  fold,
  foldStream,
  MemoryTables,
  type Projection,
  projection,
  projector,
  type ProjectorOptions,
  forgetOldShown,
  SHOWN_KEPT_MS,
  type TableChange,
  waitForPosition,
} from '#projections';
import { advance } from './projector.js';

type AccountEvent = { type: 'Paid'; data: { amount: number } } | { type: 'Closed'; data: object };
type Account = { account: string; balance: number; events: number };

/** Counts events, so that one folded twice or never shows. */
const accounts = projection<Account, AccountEvent>({
  name: 'accounts',
  table: 'accounts',
  categories: ['account'],
  keyColumns: ['account'],
  key: ({ stream }) => (categoryOf(stream) === 'account' ? { account: stream } : undefined),
  apply(row = { account: '', balance: 0, events: 0 }, event) {
    if (event.type === 'Closed') return undefined;
    return { account: event.stream, balance: row.balance + event.data.amount, events: row.events + 1 };
  },
});

const clock = new SystemClock();
const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };

function paid(amount: number): NewEvent {
  const id = runtime.ids.next();
  return { id, type: 'Paid', data: { amount }, metadata: { correlationId: id, causationId: id, schema: 1 } };
}

/** A store to which accounts are paid one event at a time. */
function bank() {
  const store = new MemoryEventStore(clock, new MemoryEvents());
  const revisions = new Map<string, number>();
  const pay = (stream: string, ...amounts: number[]) => {
    const revision = revisions.get(stream);
    revisions.set(stream, (revision ?? -1) + amounts.length);
    return store.append([{ stream, expected: revision ?? 'none', events: amounts.map(paid) }]);
  };
  return { store, pay };
}

/** Starts a projector; the returned function stops it and waits for its end. */
function start(options: Pick<ProjectorOptions, 'store' | 'tables'> & Partial<ProjectorOptions>) {
  const stop = new AbortController();
  const running = projector({
    projection: accounts,
    leases: new MemoryLeases(),
    runtime,
    signal: stop.signal,
    ...options,
  });
  return async () => {
    stop.abort();
    await running;
  };
}

const reaches = (tables: MemoryTables, position: bigint, timeoutMs = 5_000) =>
  waitForPosition({ tables, projection: accounts, position, clock, timeoutMs, signal: new AbortController().signal });

/** Tables that fail where a test wants it, as a database does whose connection breaks. */
class BreakingTables extends MemoryTables {
  readonly commits: TableChange[] = [];
  loads = 0;
  breakBefore = 0;
  breakAfter = 0;

  override async load<R extends object>(projection: Projection<R, any>, keys: readonly Partial<R>[]): Promise<R[]> {
    this.loads++;
    return super.load(projection, keys);
  }

  override async commit(change: TableChange): Promise<void> {
    if (this.breakBefore-- > 0) throw new Error('The connection broke before the commit.');
    await super.commit(change);
    this.commits.push(change);
    if (this.breakAfter-- > 0) throw new Error('The connection broke after the commit.');
  }
}

test('a projector folds the existing events, and then new ones', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  await pay('account-1', 5, 7);
  const stop = start({ store, tables });
  await pay('account-2', 1);
  expect(await reaches(tables, await pay('account-1', -2))).toBe(true);
  expect(tables.rows(accounts)).toEqual([
    { account: 'account-1', balance: 10, events: 3 },
    { account: 'account-2', balance: 1, events: 1 },
  ]);
  await stop();
});

test.each([-600_000, 7 * 86_400_000])('a clock that is set holds no position up: by %i ms', async (setMs) => {
  const { store, pay } = bank();
  const [tables, manual] = [new MemoryTables(), new ManualClock()];
  const stop = start({ store, tables, runtime: { ...runtime, clock: manual } });
  const reached = async (position: bigint) => {
    for (let ms = 0; ms < 1_000 && (await tables.checkpoint(accounts)) < position; ms += 10) await manual.advance(10);
    expect(await tables.checkpoint(accounts)).toBe(position);
  };
  await reached(await pay('account-1', 1));
  manual.set(setMs);
  await reached(await pay('other-1', 1));
  await reached(await pay('account-1', 1));
  await stop();
});

test.each(['breakBefore', 'breakAfter'] as const)('a batch counts once when the connection does %s', async (broken) => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  tables[broken] = 2;
  const end = await pay('account-1', 5, 7);
  const stop = start({ store, tables });
  expect(await reaches(tables, end)).toBe(true);
  expect(await reaches(tables, await pay('account-1', 1))).toBe(true);
  expect(tables.rows(accounts)).toEqual([{ account: 'account-1', balance: 13, events: 3 }]);
  await stop();
});

test('events about rows are shown since their commit; what is about none, or built unseen, is not', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  const own = { ...accounts, key: (event: any) => (event.stream === 'account-1' ? accounts.key(event) : undefined) };
  const stop = start({ store, tables, projection: own });
  const shown = await pay('account-1', 1);
  await reaches(tables, shown);
  const hidden = await pay('account-2', 1);
  await reaches(tables, hidden);
  await stop();
  expect([...(await tables.shownAt(own, [shown, hidden])).keys()]).toEqual([shown]);

  const built = { ...own, name: 'accounts:rebuild' };
  const event = { ...paid(1), stream: 'account-1', revision: 0, position: 1n, recordedAt: clock.now().toISOString() };
  await advance(tables, built, 0n, { events: [event], position: 1n });
  expect((await tables.shownAt(built, [1n])).size).toBe(0);
});

test('moments older than a week are forgotten, at the start and every hour', async () => {
  const manual = new ManualClock();
  const tables = new MemoryTables(manual);
  const show = (position: bigint) => {
    const change = { projection: accounts, from: position - 1n, to: position, upserts: [], deletes: [], shows: true };
    return tables.commit(change);
  };
  const kept = async () => [...(await tables.shownAt(accounts, [1n, 2n, 3n])).keys()];
  await show(1n);
  await manual.advance(SHOWN_KEPT_MS + 1);
  await show(2n);
  const stop = new AbortController();
  const running = forgetOldShown([accounts], { tables, clock: manual }, stop.signal);
  await manual.advance(0);
  expect(await kept()).toEqual([2n]);
  await manual.advance(SHOWN_KEPT_MS);
  await show(3n);
  expect(await kept()).toEqual([2n, 3n]);
  await manual.advance(60 * 60_000);
  expect(await kept()).toEqual([3n]);
  stop.abort();
  await running;
});

test('a projector that is restarted resumes where the last one stopped', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  for (const amount of [1, 2, 3]) {
    const stop = start({ store, tables });
    await reaches(tables, await pay('account-1', amount));
    await stop();
  }
  expect(tables.rows(accounts)).toEqual([{ account: 'account-1', balance: 6, events: 3 }]);
});

test('two projectors on one table, as when a lease is lost unnoticed, count every event once', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  const stops = [start({ store, tables }), start({ store, tables })];
  let end = 0n;
  for (let i = 0; i < 50; i++) {
    end = await pay(`account-${i % 3}`, 1);
    await clock.sleep(0);
  }
  expect(await reaches(tables, end)).toBe(true);
  expect(tables.rows(accounts).map(({ events }) => events)).toEqual([17, 17, 16]);
  await Promise.all(stops.map((stop) => stop()));
});

test('one of two instances works, and the other takes over when it stops', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  const leases = new MemoryLeases();
  const at: string[] = [];
  const stopFirst = start({ store, tables, leases, onProgress: () => at.push('first') });
  const stopSecond = start({ store, tables, leases, onProgress: () => at.push('second') });
  await reaches(tables, await pay('account-1', 1));
  await stopFirst();
  await reaches(tables, await pay('account-1', 1));
  expect(at).toEqual(['first', 'second']);
  await stopSecond();
});

test('when the checkpoint was moved, the projector continues from there', async () => {
  const { store, pay } = bank();
  const tables = new MemoryTables();
  const stop = start({ store, tables });
  const first = await pay('account-1', 1);
  await reaches(tables, first);
  const moved = { account: 'account-1', balance: 1_000, events: 1 };
  await tables.commit({ projection: accounts, from: first, to: first + 1n, upserts: [moved], deletes: [] });
  await pay('account-1', 7); // at the position that is done already
  await reaches(tables, await pay('account-1', 2));
  expect(tables.rows(accounts)).toEqual([{ account: 'account-1', balance: 1_002, events: 2 }]);
  await stop();
});

test('a row that the projector has written is not loaded again, until somebody else has written', async () => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  const stop = start({ store, tables });
  const pays = async (amount: number) => {
    const end = await pay('account-1', amount);
    await reaches(tables, end);
    return end;
  };
  await pays(1);
  expect(tables.loads).toBe(1);
  const last = await (await pays(2), pays(4));
  expect(tables.loads).toBe(1);
  const moved = { account: 'account-1', balance: 1_000, events: 3 };
  await tables.commit({ projection: accounts, from: last, to: last + 1n, upserts: [moved], deletes: [] });
  await pays(8); // at the position that is done already
  await pays(16);
  expect(tables.loads).toBe(2);
  expect(tables.rows(accounts)).toEqual([{ account: 'account-1', balance: 1_016, events: 4 }]);
  await stop();
});

test('a row that was deleted, and one that never was, need not be looked for again', async () => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  const stop = start({ store, tables });
  await reaches(tables, await pay('account-1', 5));
  const id = runtime.ids.next();
  const metadata = { correlationId: id, causationId: id, schema: 1 };
  const closed = { id, type: 'Closed', data: {}, metadata };
  await reaches(tables, await store.append([{ stream: 'account-1', expected: 0, events: [closed] }]));
  expect(tables.rows(accounts)).toEqual([]);
  await reaches(tables, await store.append([{ stream: 'account-1', expected: 1, events: [paid(3)] }]));
  expect(tables.rows(accounts)).toEqual([{ account: 'account-1', balance: 3, events: 1 }]);
  expect(tables.loads).toBe(1);
  await stop();
});

test('where each row is about one stream, a stream that begins has no row to look for, and one that goes on does', async () => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  const perStream = { ...accounts, rowPerStream: true };
  await pay('account-1', 1, 2);
  let stop = start({ store, tables, projection: perStream });
  await reaches(tables, await pay('account-2', 4));
  await reaches(tables, await pay('account-1', 8));
  expect(tables.loads).toBe(0);
  await stop();

  stop = start({ store, tables, projection: perStream });
  await pay('account-3', 16);
  await reaches(tables, await pay('account-1', 32));
  expect(tables.loads).toBe(1);
  expect(tables.rows(accounts)).toEqual([
    { account: 'account-1', balance: 43, events: 4 },
    { account: 'account-2', balance: 4, events: 1 },
    { account: 'account-3', balance: 16, events: 1 },
  ]);
  await stop();
});

test('a batch loads and writes each row once, however many events are about it', async () => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  await pay('account-1', 1, 2, 3);
  await pay('account-2', 4);
  const end = await pay('account-1', 5);
  const stop = start({ store, tables });
  await reaches(tables, end);
  expect(tables.loads).toBe(1);
  expect(tables.commits.map(({ upserts }) => upserts.length)).toEqual([2]);
  await stop();
});

test('events of other categories move the checkpoint, but not one write each', async () => {
  const { store, pay } = bank();
  const tables = new BreakingTables();
  const stop = start({ store, tables });
  await reaches(tables, await pay('account-1', 1));
  let end = 0n;
  for (let i = 0; i < 100; i++) {
    end = await pay('other-1', 1);
    await clock.sleep(0);
  }
  expect(await reaches(tables, end)).toBe(true);
  expect(tables.commits.length).toBeLessThan(20);
  expect(tables.loads).toBe(1);
  await stop();
});

test('a key in another form than the database writes it is refused, for its row would seem new', async () => {
  const { store, pay } = bank();
  const tables = new (class extends MemoryTables {
    override async load<R extends object>(): Promise<R[]> {
      return [{ account: 'ACCOUNT-1', balance: 1, events: 1 } as unknown as R];
    }
  })();
  await pay('account-1', 1);
  let stop = async () => {};
  const failure = await new Promise((resolve) => {
    const warn = (fields: object) => resolve((fields as { err: unknown }).err);
    stop = start({ store, tables, runtime: { ...runtime, log: { ...silentLog, warn } } });
  });
  expect(failure).toMatchObject({ message: expect.stringContaining('ACCOUNT-1') });
  await stop();
});

test('waiting for a position ends at the timeout, and at once when it is given up', async () => {
  const tables = new MemoryTables();
  expect(await reaches(tables, 1n, 20)).toBe(false);
  const given = { tables, projection: accounts, position: 1n, clock, timeoutMs: 60_000, signal: AbortSignal.abort() };
  expect(await waitForPosition(given)).toBe(false);
  expect(await reaches(tables, 0n, 0)).toBe(true);
});

const events = fc.array(
  fc.record({
    stream: fc.constantFrom('account-1', 'account-2', 'account-3', 'other-1'),
    type: fc.constantFrom('Paid', 'Paid', 'Closed'),
    data: fc.record({ amount: fc.integer({ min: -100, max: 100 }) }),
  }),
  { maxLength: 40 },
);

test('any batches give the rows that one stream at a time gives', async () => {
  await fc.assert(
    fc.asyncProperty(events, fc.array(fc.nat(7)), async (all, sizes) => {
      const recorded = all.map((event, i) => ({
        ...event,
        position: BigInt(i + 1),
      })) as unknown as RecordedEvent<AccountEvent>[];
      const tables = new MemoryTables();
      for (let done = 0, i = 0; done < recorded.length; i++) {
        const batch = recorded.slice(done, done + (sizes[i] ?? 5));
        const from = BigInt(done);
        done += batch.length;
        await advance(tables, accounts, from, { events: batch, position: BigInt(done) });
      }
      const streams = ['account-1', 'account-2', 'account-3'];
      const plain = streams.map((stream) =>
        foldStream(
          accounts,
          recorded.filter((event) => event.stream === stream),
        ),
      );
      const rows = tables.rows(accounts).sort((a, b) => a.account.localeCompare(b.account));
      expect(rows).toEqual(plain.filter((row) => row !== undefined));
    }),
  );
});

test('a row that comes and goes in one batch, or is what it was, is not written', () => {
  const row: Account = { account: 'account-1', balance: 1, events: 1 };
  const event = (type: string, stream: string) =>
    ({ type, stream, data: { amount: 1 } }) as RecordedEvent<AccountEvent>;
  const lazy = { ...accounts, apply: (was: Account | undefined) => was };
  expect(fold(accounts, [], [event('Paid', 'account-1'), event('Closed', 'account-1')])).toEqual({
    upserts: [],
    deletes: [],
  });
  expect(fold(lazy, [row], [event('Paid', 'account-1')])).toEqual({ upserts: [], deletes: [] });
  expect(fold(accounts, [row], [event('Closed', 'account-1')])).toEqual({ upserts: [], deletes: [row] });
});
