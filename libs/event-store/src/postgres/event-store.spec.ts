import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { ManualClock, SeededRandom } from '#runtime/testing';
import { postgresPool } from '#runtime/postgres';
import { isUnavailable, SystemClock, SystemIds } from '#runtime';
import type { Decider } from '#decider';
import { eventStoreContract } from '../contract.js';
import { DecisionQueue } from '../decision-queue.js';
import { type Batch, categoryOf, type NewEvent, type RecordedEvent } from '../port.js';
import { Transactor } from '../transactor.js';
import { PostgresEventStore } from './event-store.js';
import { archive } from './archive.js';

let url: string;
beforeAll(async () => {
  url = await freshDatabase();
});
const open = () => PostgresEventStore.open({ url, clock: new SystemClock() });

eventStoreContract('the event store in Postgres', open);

describe('streams that are read at the same time', () => {
  test('each give their own events, from where they were asked for', async () => {
    const store = await PostgresEventStore.open({ url: await freshDatabase(), clock: new SystemClock() });
    const streams = Array.from({ length: 100 }, (_, i) => `note-${i}`);
    const events = (i: number) => Array.from({ length: (i % 3) + 1 }, (_, n) => note(`${i} ${n}`));
    await store.append(streams.map((stream, i) => ({ stream, expected: 'none', events: events(i) })));
    const long = Array.from({ length: 2_500 }, (_, n) => note(`long ${n}`));
    await store.append([{ stream: 'note-long', expected: 'none', events: long }]);

    const read = async (stream: string, from: number) => {
      const texts: unknown[] = [];
      for await (const event of store.read(stream, from)) texts.push(event.data);
      return texts;
    };
    const found = await Promise.all([...streams.map((stream, i) => read(stream, i % 2)), read('note-none', 0)]);
    const expected = streams.map((_, i) =>
      events(i)
        .map(({ data }) => data)
        .slice(i % 2),
    );
    expect(found).toEqual([...expected, []]);
    expect(await Promise.all([read('note-long', 10), read('note-1', 0)])).toEqual([
      long.slice(10).map(({ data }) => data),
      events(1).map(({ data }) => data),
    ]);
    await store.close();
  });

  test('one that cannot be asked for fails alone', async () => {
    const store = await open();
    const stream = `note-${randomUUID()}`;
    await store.append([{ stream, expected: 'none', events: [note('there')] }]);
    const names = [stream, 'note-\0', stream, 'note-none'];
    const read = await Promise.allSettled(
      names.map(async (name) => (await store.read(name)[Symbol.asyncIterator]().next()).done),
    );
    expect(read.map((outcome) => (outcome.status === 'fulfilled' ? outcome.value : 'failed'))).toEqual([
      false,
      'failed',
      false,
      true,
    ]);
    await store.close();
  });
});

describe('while everything that may be archived is archived continuously', () => {
  let archived: string;
  let pool: pg.Pool;
  let stopped = false;
  let archiving: Promise<void>;
  beforeAll(async () => {
    archived = await freshDatabase();
    await (await PostgresEventStore.open({ url: archived, clock: new SystemClock() })).close();
    pool = postgresPool(archived);
    archiving = (async () => {
      while (!stopped) await archive(pool, new Date(Date.now() + 3_600_000));
    })();
  });
  afterAll(async () => {
    stopped = true;
    await archiving;
    const { rows } = await pool.query(
      'SELECT (SELECT count(*)::int FROM event_store.events) AS kept, (SELECT count(*)::int FROM event_store.archive) AS archived',
    );
    await pool.end();
    expect(rows[0].kept).toBeLessThan(100);
    expect(rows[0].archived).toBeGreaterThan(1_000);
  });
  eventStoreContract('the event store in Postgres', () =>
    PostgresEventStore.open({ url: archived, clock: new SystemClock() }),
  );
});

test('events are archived by age, and the last one stays', async () => {
  const fresh = await freshDatabase();
  const clock = new ManualClock();
  const store = await PostgresEventStore.open({ url: fresh, clock });
  const pool = postgresPool(fresh);
  const begin = clock.now().getTime();
  for (let i = 0; i < 30; i++) {
    await store.append([
      { stream: `note-${i % 3}`, expected: i < 3 ? 'none' : Math.floor(i / 3) - 1, events: [note(`${i}`)] },
    ]);
    await clock.advance(1_000);
  }
  const lastArchived = async () =>
    (await pool.query('SELECT max(position)::int AS last FROM event_store.archive')).rows[0].last;
  expect(await archive(pool, new Date(begin))).toBe(0);
  expect(await archive(pool, new Date(begin + 12_000))).toBe(12);
  expect(await lastArchived()).toBe(12);
  expect(await archive(pool, new Date(begin + 99_000))).toBe(17);
  expect(await archive(pool, new Date(begin + 99_000))).toBe(0);
  expect(await lastArchived()).toBe(29);
  expect(await store.append([{ stream: 'note-0', expected: 9, events: [note('30')] }])).toBe(31n);
  expect((await all(store.read('note-0', 8))).map(({ revision }) => revision)).toEqual([8, 9, 10]);
  await expect(store.append([{ stream: 'note-1', expected: 'none', events: [note('x')] }])).rejects.toThrow('revision');
  await store.close();
  await pool.end();
});

describe('the event store in Postgres', () => {
  test('can be opened by many instances at once where nothing is installed yet', async () => {
    const fresh = await freshDatabase();
    const stores = await Promise.all(
      Array.from({ length: 8 }, () => PostgresEventStore.open({ url: fresh, clock: new SystemClock() })),
    );
    await stores[7]!.append([{ stream: 'note-1', expected: 'none', events: [note('x')] }]);
    expect(await stores[0]!.head()).toBe(1n);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('a store of a release before changes under an instance that runs, which notices no more than a restart', async () => {
    const fresh = await freshDatabase();
    const running = await PostgresEventStore.open({ url: fresh, clock: new SystemClock() });
    const pool = postgresPool(fresh, { max: 1 });
    await pool.query(`
      DROP VIEW event_store.log;
      ALTER TABLE event_store.events ALTER COLUMN stream TYPE text COLLATE "default";
      ALTER TABLE event_store.archive ALTER COLUMN stream TYPE text COLLATE "default";
      CREATE VIEW event_store.log AS SELECT * FROM event_store.events UNION ALL SELECT * FROM event_store.archive;
      COMMENT ON SCHEMA event_store IS '2'`);
    await running.append([{ stream: 'note-1', expected: 'none', events: [note('before')] }]);
    const read = () => all(running.read('note-1')).catch((error: unknown) => error);
    await Promise.all([read(), read(), read()]);

    const next = await PostgresEventStore.open({ url: fresh, clock: new SystemClock() });
    for (let i = 0; i < 3; i++) {
      const found = await Promise.all([read(), read(), read()]);
      for (const answer of found) if (!isUnavailable(answer)) expect(answer).toHaveLength(1);
    }
    expect(await read()).toHaveLength(1);
    expect(await all(next.read('note-1'))).toHaveLength(1);
    await expect(next.append([{ stream: 'note-1', expected: 'none', events: [note('late')] }])).rejects.toThrow(
      'revision',
    );
    await Promise.all([running.close(), next.close(), pool.end()]);
  });

  test('a view that somebody made of the log is named where it is in the way', async () => {
    const fresh = await freshDatabase();
    await (await PostgresEventStore.open({ url: fresh, clock: new SystemClock() })).close();
    const pool = postgresPool(fresh, { max: 1 });
    await pool.query(`CREATE VIEW report AS SELECT * FROM event_store.log; COMMENT ON SCHEMA event_store IS '2'`);
    await pool.end();
    await expect(PostgresEventStore.open({ url: fresh, clock: new SystemClock() })).rejects.toThrow(
      /^cannot drop view event_store\.log.*: view report depends on view event_store\.log\. Drop that, start, and/,
    );
  });

  test('opens without waiting for a lock where it is installed', async () => {
    await (await open()).close();
    const { release } = await holdTheLock();
    await (await open()).close();
    await release();
  });

  test('an append that Postgres cannot store fails alone, and the others of its batch do not', async () => {
    const store = await open();
    const streams = Array.from({ length: 9 }, () => `note-${randomUUID()}`);
    const outcomes = await Promise.allSettled(
      streams.map((stream, i) =>
        store.append([{ stream, expected: 'none', events: [i === 4 ? { ...note('x'), id: 'no-uuid' } : note('x')] }]),
      ),
    );
    expect(outcomes.map(({ status }) => status === 'fulfilled')).toEqual(streams.map((_, i) => i !== 4));
    expect(outcomes[4]).toMatchObject({ reason: { message: expect.stringContaining('no-uuid') } });
    const written = await Promise.all(streams.map(async (stream) => (await all(store.read(stream))).length));
    expect(written).toEqual(streams.map((_, i) => (i === 4 ? 0 : 1)));
    await store.close();
  });

  test('a turn keeps all others off until its append; they follow in the order in which they came', async () => {
    const [store, other] = await Promise.all([open(), open()]);
    const stream = `note-${randomUUID()}`;
    const write = (expected: number | 'none', text: string) => [{ stream, expected, events: [note(text)] }];
    const textsOf = async (events: AsyncIterable<RecordedEvent>) =>
      (await all(events)).map(({ data }) => (data as { text: string }).text);
    const { client, release } = await observe();
    const first = await store.inTurn(new Map(), async (turn) => {
      const late = expect(other.append(write('none', 'late'))).rejects.toThrow('revision');
      await expect.poll(() => waitingForLock(client)).toBe(1);
      const next = store.append(write(0, 'next'));
      await expect.poll(() => waitingForLock(client)).toBe(2);
      const reading = other.inTurn(new Map([[stream, 0]]), (theirs) => textsOf(theirs.read(stream, 0)));
      await expect.poll(() => waitingForLock(client)).toBe(3);
      await turn.append(write('none', 'first'));
      return { late, next, reading };
    });
    await first.late;
    await first.next;
    expect(await first.reading).toEqual(['first', 'next']);
    await release();
    await Promise.all([store.close(), other.close()]);
  });

  test('a writer that hangs in its turn holds the others up for two seconds', async () => {
    const [hung, other] = await Promise.all([open(), open()]);
    const stream = `note-${randomUUID()}`;
    const write = (text: string) => [{ stream, expected: 'none', events: [note(text)] }] as const;
    const turn = hung.inTurn(new Map(), async ({ append }) => {
      await other.append(write('other'));
      return append(write('hung'));
    });
    const error: unknown = await turn.catch((reason: unknown) => reason);
    expect(isUnavailable(error)).toBe(true);
    expect((await all(hung.read(stream))).map(({ data }) => data)).toEqual([{ text: 'other' }]);
    await hung.inTurn(new Map([[stream, 0]]), ({ append }) =>
      append([{ stream, expected: 0, events: [note('again')] }]),
    );
    await Promise.all([hung.close(), other.close()]);
  });

  test('four instances that want the same stream share it: none is refused, and none has less than half its part', async () => {
    const tally: Decider<string, { type: 'Counted'; data: { by: string } }, number> = {
      initialState: 0,
      decide: (by) => [{ type: 'Counted', data: { by } }],
      evolve: (sum) => sum + 1,
    };
    const stream = `tally-${randomUUID()}`;
    const cause = { correlationId: 'c', causationId: 'm' };
    const clock = new SystemClock();
    const stores = await Promise.all([1, 2, 3, 4].map(open));
    const made = stores.map(() => 0);
    const sum = () => made.reduce((total, each) => total + each, 0);
    await Promise.all(
      stores.map(async (store, instance) => {
        const transactor = new Transactor({ store, clock, ids: new SystemIds(), random: new SeededRandom(instance) });
        const queue = new DecisionQueue(transactor, { maxBatch: 256 });
        const caller = async () => {
          while (sum() < 2_000) {
            await queue.decide((desk) => desk.decide(tally, stream, `${instance}`, cause));
            made[instance]!++;
          }
        };
        await Promise.all(Array.from({ length: 16 }, caller));
      }),
    );
    expect(await all(stores[0]!.read(stream))).toHaveLength(sum());
    expect(Math.min(...made)).toBeGreaterThanOrEqual(sum() / stores.length / 2);
    await Promise.all(stores.map((store) => store.close()));
  });

  test('keeps a text with a NUL, which jsonb would refuse', async () => {
    const store = await open();
    const stream = `note-${randomUUID()}`;
    await store.append([{ stream, expected: 'none', events: [note('a\0b\ud800')] }]);
    expect((await all(store.read(stream)))[0]!.data).toEqual({ text: 'a\0b\ud800' });
    await store.close();
  });

  test('appends to one stream that do not await each other keep their order, and closing waits for them', async () => {
    const store = await open();
    const stream = `note-${randomUUID()}`;
    const appends = Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.append([{ stream, expected: i === 0 ? 'none' : i - 1, events: [note(`${i}`)] }]),
      ),
    );
    await store.close();
    await appends;

    const reader = await open();
    const texts = (await all(reader.read(stream))).map(({ data }) => (data as { text: string }).text);
    expect(texts).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`));
    await reader.close();
  });

  test('subscribers are notified of what other instances write, without waiting for a poll', async () => {
    const clock = new ManualClock(); // It stands still, so no poll is ever due.
    const [reader, writer] = await Promise.all([1, 2].map(() => PostgresEventStore.open({ url, clock })));
    const stop = new AbortController();
    const after = await reader!.head();
    const stream = `notified${randomUUID().slice(0, 8)}-1`;
    const following = all(
      abortAtFirst(stop, reader!.subscribe({ categories: [categoryOf(stream)], after, signal: stop.signal })),
    );
    await expect.poll(() => clock.sleeping).toBe(1);
    await writer!.append([{ stream, expected: 'none', events: [note('x')] }]);
    expect((await following).flatMap(({ events }) => events).map((event) => event.stream)).toEqual([stream]);
    await Promise.all([reader!.close(), writer!.close()]);
  });

  test('appends that come at the same time share a commit', async () => {
    const fresh = await freshDatabase();
    const store = await PostgresEventStore.open({ url: fresh, clock: new SystemClock() });
    const append = (i: number) => store.append([{ stream: `note-${i}`, expected: 'none', events: [note('x')] }]);
    await Promise.all(Array.from({ length: 400 }, (_, i) => append(i)));
    await store.close();
    const client = new pg.Client({ connectionString: fresh });
    await client.connect();
    const { rows } = await client.query('SELECT count(DISTINCT xmin::text)::int AS commits FROM event_store.events');
    await client.end();
    expect(rows[0].commits).toBe(1);
  });

  test.each(['repeatable read', 'serializable'])(
    'instances take turns in a database whose transactions are by default %s',
    async (isolation) => {
      const fresh = await freshDatabase();
      const client = new pg.Client({ connectionString: fresh });
      await client.connect();
      await client.query(
        `ALTER DATABASE "${new URL(fresh).pathname.slice(1)}" SET default_transaction_isolation = '${isolation}'`,
      );
      await client.end();
      const instances = await Promise.all(
        [1, 2, 3].map(() => PostgresEventStore.open({ url: fresh, clock: new SystemClock() })),
      );
      for (let round = 0; round < 30; round++) {
        const appends = instances.map((store) =>
          store.append([{ stream: `note-${randomUUID()}`, expected: 'none', events: [note('x')] }]),
        );
        await Promise.all(appends);
      }
      expect(await instances[0]!.head()).toBe(90n);
      await Promise.all(instances.map((store) => store.close()));
    },
  );

  test('an append whose connection breaks fails, and the store keeps working', async () => {
    const store = await open();
    const append = () => store.append([{ stream: `note-${randomUUID()}`, expected: 'none', events: [note('x')] }]);
    const { client, release } = await holdTheLock();
    const failed = expect(append()).rejects.toThrow('terminating connection');
    await expect.poll(() => terminate(client, `wait_event = 'advisory'`)).toBe(1);
    await failed;
    await release();
    expect(await append()).toBe(await store.head());
    await store.close();
  });

  test('a subscription fails when Postgres is out of reach, and ends quietly when it was aborted', async () => {
    const store = await open();
    const after = await store.head();
    const stop = new AbortController();
    const following = all(store.subscribe({ categories: ['note'], after, signal: new AbortController().signal }));
    const aborted = all(store.subscribe({ categories: ['note'], after, signal: stop.signal }));
    stop.abort();
    await aborted;
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query('ALTER VIEW event_store.log RENAME TO hidden');
    await expect(following).rejects.toThrow('does not exist');
    await client.query('ALTER VIEW event_store.hidden RENAME TO log');
    await client.end();
    await store.close();
  });

  async function observe() {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    return { client, release: () => client.end() };
  }

  async function waitingForLock(client: pg.Client) {
    const { rows } = await client.query(
      `SELECT count(*)::int AS waiting FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`,
    );
    return rows[0].waiting;
  }

  async function holdTheLock() {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    await client.query(`SELECT pg_advisory_lock(hashtextextended('event_store.append', 0))`);
    return { client, release: () => client.end() };
  }

  async function terminate(client: pg.Client, which: string) {
    const found = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND ${which}`;
    return (await client.query(found)).rowCount;
  }
});

function note(text: string): NewEvent {
  return {
    id: randomUUID(),
    type: 'Noted',
    data: { text },
    metadata: { correlationId: 'c', causationId: 'm', schema: 1 },
  };
}

/** Passes batches on, and aborts at the first event. */
async function* abortAtFirst(stop: AbortController, batches: AsyncIterable<Batch>): AsyncIterable<Batch> {
  for await (const batch of batches) {
    if (batch.events.length > 0) stop.abort();
    yield batch;
  }
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
