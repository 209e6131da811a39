import pg from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { idOf, MemoryEventStore, type NewEvent } from '#event-store';
import { MemoryLeases, silentLog, SystemClock } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import { SeededRandom, SequentialIds } from '#runtime/testing';
import {
  buildAsOf,
  compareWithEvents,
  PostgresTables,
  rebuild,
  RebuildFailed,
  type RebuildOptions,
  RebuildRefused,
  RebuildUnderWay,
  rollBack,
} from '#projections/postgres';
import { type AnyProjection, CheckpointMoved, foldStream, projection, projector, type Row } from '#projections';

/** Counts an order's events in `total_minor`: rows of the order service's own table, with its indexes. */
const summary = projection<Row, { type: string; data: { status: string } }>({
  name: 'order-summary',
  table: 'order_summary',
  categories: ['order'],
  keyColumns: ['order_id'],
  key: ({ stream }) => ({ order_id: idOf(stream) }),
  apply: (row, { stream, data, recordedAt }) => ({
    order_id: idOf(stream),
    customer_id: idOf(stream),
    status: data.status,
    reason: null,
    settled: false,
    lines: [{ sku: 'olives', quantity: 1 }],
    total_minor: ((row?.total_minor as number | undefined) ?? 0) + 1,
    currency: 'EUR',
    placed_at: row?.placed_at ?? recordedAt,
    updated_at: recordedAt,
  }),
});

const clock = new SystemClock();
const ids = new SequentialIds();
const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };
const pools: pg.Pool[] = [];
afterAll(() => Promise.all(pools.map((pool) => pool.end())));

/** An order service's database and store, a projector that is at work between them, and orders that change. */
async function service(orders = 20, changes = 0) {
  const pool = postgresPool(await freshDatabase('order'));
  pools.push(pool);
  const store = new MemoryEventStore(clock);
  const tables = new PostgresTables(pool);
  const revisions = Array.from({ length: orders }, () => -1);
  const orderIds = revisions.map(() => ids.next());
  const touch = (order: number) => {
    const expected = revisions[order]! < 0 ? 'none' : revisions[order]!;
    revisions[order]!++;
    const id = ids.next();
    const data = { status: `changed ${revisions[order]} times` };
    const event: NewEvent = { id, type: 'Changed', data, metadata: { correlationId: id, causationId: id, schema: 1 } };
    return store.append([{ stream: `order-${orderIds[order]}`, expected, events: [event] }]);
  };
  for (let i = 0; i < orders + changes; i++) await touch(i % orders);

  const stop = new AbortController();
  const running = projector({
    projection: summary,
    store,
    tables,
    leases: new MemoryLeases(),
    runtime,
    signal: stop.signal,
  });
  const projected = async () => {
    const head = await store.head();
    while ((await tables.checkpoint(summary)) < head) await clock.sleep(5);
  };
  await projected();
  const options = { projection: summary, store, pool, clock, log: silentLog };
  return {
    pool,
    store,
    tables,
    orderIds,
    touch,
    projected,
    events: () => revisions.reduce((sum, revision) => sum + revision + 1, 0),
    options,
    replay: (other?: Partial<RebuildOptions & { fresh: boolean }>) => rebuild({ ...options, ...other }),
    stop: async () => {
      stop.abort();
      await running;
    },
  };
}

const objects = async (pool: pg.Pool) =>
  (
    await pool.query(
      `SELECT pg_get_indexdef(indexrelid) AS definition FROM pg_index WHERE indrelid = 'order_summary'::regclass
       UNION ALL
       SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'order_summary'::regclass
       ORDER BY 1`,
    )
  ).rows;

const rowsOf = async (pool: pg.Pool, table = 'order_summary') =>
  (await pool.query(`SELECT * FROM ${table} ORDER BY order_id`)).rows;

/** The names of all tables like order_summary, and the checkpoints that there are, without their beginning. */
const leftovers = async (pool: pg.Pool) => {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT relname AS name FROM pg_class WHERE relname LIKE 'order\\_summary%' AND relkind = 'r'
     UNION ALL SELECT replace(name, 'projection:order-summary', '') FROM checkpoints ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
};

test('a table that is right is rebuilt without a difference, and its indexes and constraints keep their names', async () => {
  const { pool, tables, events, replay, stop } = await service();
  const before = await objects(pool);
  const checkpoint = await tables.checkpoint(summary);
  const rebuilt = { rows: 20, events: events(), differing: 0, position: checkpoint, before: 'order_summary_before' };
  for (let i = 0; i < 2; i++) {
    expect(await replay()).toEqual(rebuilt);
    expect(await tables.checkpoint(summary)).toBe(checkpoint);
    expect(await objects(pool)).toEqual(before);
    expect(await leftovers(pool)).toEqual(['', ':before', 'order_summary', 'order_summary_before']);
  }
  await stop();
});

test('wrong, missing and surplus rows are counted and fixed', async () => {
  const { pool, orderIds, replay, stop } = await service();
  const rows = 'SELECT * FROM order_summary ORDER BY order_id';
  const right = (await pool.query(rows)).rows;
  await pool.query(`UPDATE order_summary SET total_minor = 99 WHERE order_id = $1`, [orderIds[0]]);
  await pool.query(`UPDATE order_summary SET reason = 'wrong', lines = '[]' WHERE order_id = $1`, [orderIds[1]]);
  await pool.query(`DELETE FROM order_summary WHERE order_id = $1`, [orderIds[2]]);
  await pool.query(
    `INSERT INTO order_summary SELECT gen_random_uuid(), customer_id, status, reason, settled, lines, total_minor, currency,
       placed_at, updated_at FROM order_summary LIMIT 1`,
  );
  expect(await replay()).toMatchObject({ rows: 20, differing: 4 });
  expect((await pool.query(rows)).rows).toEqual(right);
  expect(await replay()).toMatchObject({ differing: 0 });
  await stop();
});

test('the service stays open: no read fails or sees less, and no event is lost or counted twice', async () => {
  const { pool, touch, projected, events, replay, stop } = await service();
  const done = new AbortController();
  const reads = async (query: pg.QueryConfig) => {
    let count = 0;
    while (!done.signal.aborted) {
      const { rows } = await pool.query<{ orders: string; changes: string }>(query);
      expect(rows[0]!.orders).toBe('20');
      expect(Number(rows[0]!.changes)).toBeGreaterThanOrEqual(count);
      count = Number(rows[0]!.changes);
    }
  };
  const writes = async () => {
    for (let i = 0; !done.signal.aborted; i++) {
      await touch(i % 20);
      await clock.sleep(0);
    }
  };
  const text = 'SELECT count(*) AS orders, sum(total_minor) AS changes FROM order_summary';
  const atWork = Promise.all([
    writes(),
    reads({ text }),
    reads({ name: 'changes', text }),
    reads({ name: 'changes', text }),
  ]);
  atWork.catch(() => {});
  for (let i = 0; i < 10; i++) expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  done.abort();
  await atWork;
  await projected();
  const { rows } = await pool.query(text);
  expect(rows).toEqual([{ orders: '20', changes: String(events()) }]);
  expect(await replay()).toMatchObject({ differing: 0, events: events() });
  await stop();
});

test('rows that were loaded before the switch are not written after it', async () => {
  const { pool, store, tables, orderIds, touch, replay, stop } = await service(1);
  await stop();
  await pool.query('UPDATE order_summary SET total_minor = 99');
  const from = await tables.checkpoint(summary);
  const [wrong] = await tables.load(summary, [{ order_id: orderIds[0]! }]);
  await touch(0);
  expect(await replay()).toMatchObject({ differing: 1 });
  const change = { projection: summary as AnyProjection, from, to: await store.head(), deletes: [] };
  await expect(tables.commit({ ...change, upserts: [wrong!] })).rejects.toThrow('has moved');
  const [right] = await tables.load(summary, [{ order_id: orderIds[0]! }]);
  expect(right).toMatchObject({ total_minor: 1 });
  await tables.commit({ ...change, upserts: [{ ...right, total_minor: 2 }] });
});

test('the switch waits for a long read without making other reads wait for it', async () => {
  const { pool, replay, projected, touch, stop } = await service();
  const long = await pool.connect();
  await long.query('BEGIN; SELECT count(*) FROM order_summary');
  let waited = () => {};
  const waiting = new Promise<void>((resolve) => (waited = resolve));
  const replayed = replay({ log: { ...silentLog, info: () => waited() } });
  await waiting;
  await touch(0);
  await projected(); // Reads and writes continue.
  expect((await pool.query('SELECT FROM order_summary')).rowCount).toBe(20);
  await long.query('COMMIT');
  long.release();
  expect(await replayed).toMatchObject({ rows: 20, events: 21, differing: 0 });
  await stop();
});

test('a second rebuild of one projection is refused by name, and may come when the first is done', async () => {
  const { options, replay, stop } = await service();
  let second: Promise<unknown> | undefined;
  const onProgress = () => {
    second ??= replay().catch((error: unknown) => error);
  };
  await replay({ onProgress, store: waitingFor(options.store, () => second) });
  const refused = await second;
  expect(refused).toBeInstanceOf(RebuildUnderWay);
  expect((refused as Error).message).toContain('order-summary is being rebuilt already');
  expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  await stop();
});

test('a second command of any kind is refused while a rebuild is under way', async () => {
  const { options, replay, stop } = await service();
  let refused: PromiseSettledResult<unknown>[] = [];
  let others: Promise<unknown> | undefined;
  const onProgress = () => {
    others ??= Promise.allSettled([replay(), compareWithEvents(options), rollBack(options)]).then(
      (results) => (refused = results),
    );
  };
  await replay({ onProgress, store: waitingFor(options.store, () => others) });
  expect(refused.map((result) => (result as PromiseRejectedResult).reason.constructor)).toEqual([
    RebuildUnderWay,
    RebuildUnderWay,
    RebuildUnderWay,
  ]);
  await stop();
});

/** A store whose subscriptions end only after `until`. */
function waitingFor(store: MemoryEventStore, until: () => Promise<unknown> | undefined): MemoryEventStore {
  const subscribe: MemoryEventStore['subscribe'] = async function* (options) {
    try {
      yield* store.subscribe(options);
    } finally {
      await until();
    }
  };
  return new Proxy(store, {
    get: (target, key) => {
      const value: unknown = key === 'subscribe' ? subscribe : Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test('leftovers of anything else are replaced', async () => {
  const { pool, replay, stop } = await service();
  await pool.query(
    `CREATE TABLE order_summary_rebuild (x int); INSERT INTO checkpoints VALUES ('projection:order-summary:rebuild', 7)`,
  );
  expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  await stop();
});

/** So many more changes of twenty orders that a rebuild writes its events in three parts. */
const CHANGES = 24_980;

/** A service whose rebuild was interrupted after its first 20,000 events, and what it logs from then on. */
async function interruptRebuild() {
  const running = await service(20, CHANGES);
  const logged: string[] = [];
  const log = { ...silentLog, info: (_: object, message: string) => void logged.push(message) };
  const stopping = new AbortController();
  const onProgress = ({ events }: { events: number }) => events > 22_000 && stopping.abort();
  await expect(running.replay({ onProgress, signal: stopping.signal })).rejects.toThrow('Ended at position 20000');
  return { ...running, log, logged };
}

test('an interrupted rebuild is resumed, and gives the same rows', { timeout: 60_000 }, async () => {
  const { pool, log, logged, replay, stop } = await interruptRebuild();
  const right = await rowsOf(pool);
  const begun = new Set<bigint>();
  const onProgress = ({ from }: { from: bigint }) => void begun.add(from);
  expect(await replay({ log, onProgress })).toMatchObject({ rows: 20, events: 5_000, differing: 0 });
  expect(logged).toEqual(['order-summary resumes where the last run ended.']);
  expect(begun).toEqual(new Set([20_000n]));
  expect(await rowsOf(pool)).toEqual(right);
  await stop();
});

test.each([
  ['other code', (s: Interrupted) => s.replay({ ...s, projection: { ...summary, version: 2 } })],
  [
    'other columns',
    async (s: Interrupted) => {
      await s.pool.query('ALTER TABLE order_summary ADD COLUMN note text');
      return s.replay(s);
    },
  ],
  [
    'an index that has come since',
    async (s: Interrupted) => {
      await s.pool.query('CREATE INDEX ON order_summary (status)');
      return s.replay(s);
    },
  ],
  [
    'a checkpoint that was set back',
    async (s: Interrupted) => {
      await s.stop();
      await s.pool.query(`UPDATE checkpoints SET position = 500 WHERE name = 'projection:order-summary'`);
      return s.replay(s);
    },
  ],
])('with %s an interrupted rebuild starts over, and logs it', { timeout: 60_000 }, async (_, again) => {
  const left = await interruptRebuild();
  const { events, position } = await again(left);
  expect(events).toBe(Number(position));
  expect(left.logged).toEqual(['order-summary starts over: its code or columns have changed since the last run.']);
  await left.stop();
});
type Interrupted = Awaited<ReturnType<typeof interruptRebuild>>;

test('a fresh rebuild resumes nothing', { timeout: 60_000 }, async () => {
  const { log, logged, replay, stop } = await interruptRebuild();
  expect(await replay({ log, fresh: true })).toMatchObject({ rows: 20, events: 25_000 });
  expect(logged).toEqual([]);
  await stop();
});

test(
  'a full disk leaves the table as it was, the error names what to free, and the next run resumes',
  { timeout: 60_000 },
  async () => {
    const { pool, replay, stop } = await interruptRebuild();
    const right = await rowsOf(pool);
    // What the server answers when a file cannot grow.
    await pool.query(`
    CREATE TABLE order_summary_before (LIKE order_summary);
    CREATE TABLE order_summary_at_20261120t120000z (LIKE order_summary);
    CREATE TABLE order_summary_at_home (LIKE order_summary);
    CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN RAISE EXCEPTION 'could not extend file "base/1/2": No space left on device' USING ERRCODE = '53100'; END $$;
    CREATE TRIGGER no_room BEFORE INSERT ON order_summary_rebuild EXECUTE FUNCTION no_room()`);
    const failure = await replay().catch((error: unknown) => error as RebuildFailed);
    expect(failure).toBeInstanceOf(RebuildFailed);
    expect((failure as RebuildFailed).message).toMatch(
      /^The database is out of room: could not extend file "base\/1\/2": No space left on device\. order_summary is unchanged\. (DROP TABLE order_summary_(before|at_20261120t120000z) frees 8192 bytes\. ){2}Free some space and run it again: it resumes where it stopped\.$/,
    );
    expect(await rowsOf(pool)).toEqual(right);
    await pool.query('DROP TRIGGER no_room ON order_summary_rebuild; DROP TABLE order_summary_before');
    expect(await replay()).toMatchObject({ rows: 20, events: 5_000, differing: 0 });
    await stop();
  },
);

test('a failure on the way leaves the table as it was', async () => {
  const { pool, replay, stop } = await service();
  const right = await rowsOf(pool);
  const broken = () => {
    throw new Error('A bug in key().');
  };
  await expect(replay({ projection: { ...summary, key: broken } })).rejects.toThrow('A bug in key().');
  expect(await rowsOf(pool)).toEqual(right);
  expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  await stop();
});

test('a table that is migrated during its rebuild is not switched', async () => {
  const { pool, options, replay, stop } = await service();
  let migrated: Promise<unknown> | undefined;
  const store = waitingFor(options.store, () => migrated);
  const onProgress = () => (migrated ??= pool.query('ALTER TABLE order_summary ADD COLUMN note text'));
  await expect(replay({ store, onProgress })).rejects.toThrow('was changed meanwhile (column note text)');
  expect(await replay()).toMatchObject({ rows: 20, events: 20, differing: 0 });
  await stop();
});

test('a view that would stay with the old table is named before anything is built', async () => {
  const { pool, replay, stop } = await service();
  await pool.query('CREATE VIEW open_orders AS SELECT * FROM order_summary WHERE NOT settled');
  await expect(replay()).rejects.toThrow('open_orders would stay with the old order_summary');
  expect(await leftovers(pool)).toEqual(['', 'order_summary']);
  await stop();
});

test('a comparison names keys and columns with both values, and leaves the table alone', async () => {
  const { pool, options, orderIds, touch, projected, replay, stop } = await service();
  const [first, second, third] = orderIds.toSorted() as [string, string, string];
  await pool.query(`UPDATE order_summary SET total_minor = 99, reason = 'wrong' WHERE order_id = $1`, [first]);
  await pool.query(`DELETE FROM order_summary WHERE order_id = $1`, [second]);
  await pool.query(
    `INSERT INTO order_summary SELECT 'ffffffff-ffff-4fff-bfff-ffffffffffff', customer_id, status, reason, settled, lines,
       total_minor, currency, placed_at, updated_at FROM order_summary WHERE order_id = $1`,
    [third],
  );
  const wrong = await rowsOf(pool);
  const compared = await compareWithEvents(options);
  expect(compared).toMatchObject({ rows: 20, events: 20, differing: 3 });
  const [changed, missing, extra] = compared.differences;
  expect(changed).toMatchObject({
    key: { order_id: first },
    columns: ['reason', 'total_minor'],
    table: { reason: 'wrong', total_minor: 99 },
    events: { reason: null, total_minor: 1 },
  });
  expect(missing).toMatchObject({ key: { order_id: second }, table: undefined, events: { total_minor: 1 } });
  expect(extra).toMatchObject({ key: { order_id: 'ffffffff-ffff-4fff-bfff-ffffffffffff' }, events: undefined });
  expect(await rowsOf(pool)).toEqual(wrong);

  // A rebuild puts in its place what was built, and need not read it again.
  await touch(7);
  await projected();
  expect(await replay()).toMatchObject({ rows: 20, events: 1, differing: 3 });
  expect(await compareWithEvents(options)).toMatchObject({ differing: 0, differences: [] });
  expect(await leftovers(pool)).toEqual(['', ':before', 'order_summary', 'order_summary_before']);
  await stop();
});

test('a comparison shows the first twenty rows and counts all', async () => {
  const { pool, options, orderIds, stop } = await service(30);
  await pool.query('UPDATE order_summary SET settled = true');
  const { differing, differences } = await compareWithEvents(options);
  expect(differing).toBe(30);
  expect(differences.map(({ key }) => key['order_id'])).toEqual(orderIds.toSorted().slice(0, 20));
  await stop();
});

test('there is nothing to compare before the first event, and nothing to go back to before the first rebuild', async () => {
  const pool = postgresPool(await freshDatabase('order'));
  pools.push(pool);
  const options = { projection: summary, store: new MemoryEventStore(clock), pool, clock, log: silentLog };
  await expect(compareWithEvents(options)).rejects.toThrow(RebuildRefused);
  await expect(rollBack(options)).rejects.toThrow(
    new RebuildRefused('There is no order_summary_before: nothing to roll back to.'),
  );
  expect(await leftovers(pool)).toEqual(['order_summary']);
});

test('a rollback brings the previous table back, caught up, and a second one the new table, while the service stays open', async () => {
  const { pool, options, orderIds, touch, projected, events, replay, stop } = await service();
  // As changed code would have written it: a rebuild fixes it, and a rollback brings it back.
  await pool.query(`UPDATE order_summary SET reason = 'old code' WHERE order_id = $1`, [orderIds[0]]);
  const reason = async () =>
    (await pool.query('SELECT reason FROM order_summary WHERE order_id = $1', [orderIds[0]])).rows[0].reason;
  const done = new AbortController();
  const text = 'SELECT count(*) AS orders, sum(total_minor) AS changes FROM order_summary';
  const reads = async () => {
    let before = 0;
    while (!done.signal.aborted) {
      const { rows } = await pool.query<{ orders: string; changes: string }>({ name: 'read', text });
      expect(rows[0]!.orders).toBe('20');
      expect(Number(rows[0]!.changes)).toBeGreaterThanOrEqual(before);
      before = Number(rows[0]!.changes);
    }
  };
  const writes = async () => {
    for (let i = 1; !done.signal.aborted; i = i === 19 ? 1 : i + 1) {
      await touch(i);
      await clock.sleep(0);
    }
  };
  const atWork = Promise.all([writes(), reads(), reads()]);
  atWork.catch(() => {});
  const structure = await objects(pool);
  expect(await replay()).toMatchObject({ differing: 1 });
  expect(await reason()).toBeNull();
  for (let i = 0; i < 5; i++) {
    expect(await rollBack(options)).toMatchObject({ stale: undefined });
    expect(await reason()).toBe('old code');
    await rollBack(options);
    expect(await reason()).toBeNull();
    expect(await objects(pool)).toEqual(structure);
  }
  done.abort();
  await atWork;
  await projected();
  expect((await pool.query(text)).rows).toEqual([{ orders: '20', changes: String(events()) }]);
  expect(await compareWithEvents(options)).toMatchObject({ differing: 0 });
  await stop();
});

test('a read model shows an event since when it first did, whatever table is in its place', async () => {
  const { pool, tables, touch, projected, replay, options, stop, store } = await service(3, 3);
  const all = async () =>
    tables.shownAt(
      summary,
      Array.from({ length: Number(await store.head()) }, (_, i) => BigInt(i + 1)),
    );
  const before = await all();
  expect(before.size).toBe(6);
  await replay();
  expect(await all()).toEqual(before);
  await touch(1);
  await projected();
  await rollBack(options);
  const after = await all();
  expect([...after].slice(0, 6)).toEqual([...before]);
  expect(after.size).toBe(7);
  const { rows } = await pool.query('SELECT DISTINCT projection FROM shown');
  expect(rows).toEqual([{ projection: 'order-summary' }]);
  await stop();
});

test('rows that were loaded between two rollbacks are not written', async () => {
  const { pool, options, store, tables, orderIds, touch, replay, stop } = await service(1);
  await stop();
  await pool.query('UPDATE order_summary SET total_minor = 99');
  await replay();
  const from = await tables.checkpoint(summary);
  const slow = new PostgresTables(pool);
  const load = async () => (await slow.load(summary, [{ order_id: orderIds[0]! }]))[0]!;
  const right = await load();
  await rollBack(options);
  const wrong = await load();
  expect([right, wrong]).toMatchObject([{ total_minor: 1 }, { total_minor: 99 }]);
  await rollBack(options);
  await touch(0);
  const change = { projection: summary as AnyProjection, from, to: await store.head(), deletes: [] };
  await expect(slow.commit({ ...change, upserts: [{ ...wrong, total_minor: 100 }] })).rejects.toThrow(CheckpointMoved);
  await slow.commit({ ...change, upserts: [{ ...(await load()), total_minor: 2 }] });
});

test.each([
  ['a column', 'ALTER TABLE order_summary ADD COLUMN note text', 'column note text'],
  ['an index', 'CREATE INDEX ON order_summary (status)', 'index USING btree (status)'],
])('there is no way back over a migration that adds %s', async (_, migration, part) => {
  const { pool, options, replay, stop } = await service();
  await replay();
  await pool.query(migration);
  const refusal = new RebuildRefused(
    `A migration separates order_summary from order_summary_before (${part}): it cannot be rolled back.`,
  );
  await expect(rollBack(options)).rejects.toThrow(refusal);
  expect(await leftovers(pool)).toEqual(['', ':before', 'order_summary', 'order_summary_before']);
  await stop();
});

describe('a projection whose table was built by other code or for other columns is stale', () => {
  test('from a change on, until it is rebuilt, and again after a rollback', async () => {
    const { pool, options, tables, replay, stop } = await service();
    const changed = { ...summary, apply: (row: Row | undefined) => row && { ...row, reason: 'changed' } };
    expect(await tables.staleness(summary)).toBeUndefined();
    expect(await tables.staleness({ ...summary, version: 1 })).toBe('code');
    expect(await tables.staleness(changed)).toBe('code');
    await pool.query('ALTER TABLE order_summary ALTER total_minor TYPE numeric');
    expect(await tables.staleness(summary)).toBe('columns');
    await replay();
    expect(await tables.staleness(summary)).toBeUndefined();

    await replay({ projection: { ...summary, version: 1 } });
    expect(await tables.staleness({ ...summary, version: 1 })).toBeUndefined();
    expect(await tables.staleness(summary)).toBe('code');
    expect(await rollBack({ ...options, projection: { ...summary, version: 1 } })).toMatchObject({ stale: 'code' });
    expect(await tables.staleness(summary)).toBeUndefined();
    await stop();
  });

  test('one that an older version built counts as built by the code that asks first', async () => {
    const { pool, tables, stop } = await service();
    await pool.query('UPDATE checkpoints SET built_by = NULL');
    expect(await tables.staleness(summary)).toBeUndefined();
    expect(await tables.staleness({ ...summary, version: 1 })).toBe('code');
    await stop();
  });
});

describe('as of a moment in the past', () => {
  /** What each order's first events make of it, up to a position. */
  async function rowsByHand({ store, orderIds }: Awaited<ReturnType<typeof service>>, position: bigint) {
    const found: Row[] = [];
    for (const id of orderIds.toSorted()) {
      const events = [];
      for await (const event of store.read(`order-${id}`)) if (event.position <= position) events.push(event as any);
      const row = foldStream(summary, events);
      if (row) found.push({ ...row, recipient: null }); // A column of the table that this projection leaves empty.
    }
    return found;
  }

  const asJson = async (pool: pg.Pool, table: string) => {
    const times = `to_char(placed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS placed_at,
                   to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS updated_at`;
    const { rows } = await pool.query<{ row: Row }>(
      `SELECT to_jsonb(t) || to_jsonb(u) AS row FROM ${table} AS t, LATERAL (SELECT ${times}) AS u ORDER BY order_id`,
    );
    return rows.map(({ row }) => row);
  };

  test('a table shows its events up to a position, or a time, and stays there', async () => {
    const running = await service(10);
    const { pool, options, store, touch, projected, stop } = running;
    const live = await rowsOf(pool);
    for (const order of [3, 4, 3]) {
      await clock.sleep(2); // Each is recorded at a time of its own.
      await touch(order);
    }
    await projected();
    const byPosition = await buildAsOf({ ...options, until: 12n });
    expect(byPosition).toEqual({ table: 'order_summary_at_12', rows: 10, events: 12, position: 12n });
    expect(await asJson(pool, byPosition.table)).toEqual(await rowsByHand(running, 12n));

    const recordedAt = await recordedAtOf(store, 11n);
    const byTime = await buildAsOf({ ...options, until: new Date(recordedAt) });
    expect(byTime).toMatchObject({ rows: 10, events: 11, position: 11n });
    expect(byTime.table).toMatch(/^order_summary_at_\d{8}t\d{6,9}z$/);
    expect(await asJson(pool, byTime.table)).toEqual(await rowsByHand(running, 11n));

    await touch(5);
    await projected();
    expect(await asJson(pool, byPosition.table)).toEqual(await rowsByHand(running, 12n));
    expect(await rowsOf(pool)).not.toEqual(live);
    expect(await compareWithEvents(options)).toMatchObject({ differing: 0 });
    expect((await leftovers(pool)).filter((name) => name.startsWith(':'))).toEqual([]);
    await stop();
  });

  async function recordedAtOf(store: MemoryEventStore, position: bigint): Promise<string> {
    const { signal } = new AbortController();
    for await (const { events } of store.subscribe({ categories: ['order'], after: position - 1n, signal })) {
      return events[0]!.recordedAt;
    }
    throw new Error('There is no such event.');
  }

  test('the first event recorded later ends it, whatever clock another writer goes by', async () => {
    const { options, store, touch, projected, stop } = await service(3);
    await clock.sleep(2);
    await touch(0);
    await projected();
    // The second writer's clock is an hour behind.
    const late = new Date(clock.now().getTime() - 3_600_000);
    const behind = { ...options, store: recordedEarlier(store, 2n, late) };
    await expect(buildAsOf({ ...behind, until: late })).rejects.toThrow('had no events yet');
    const until = new Date(await recordedAtOf(store, 3n));
    expect(await buildAsOf({ ...behind, until })).toMatchObject({ position: 3n });
    await stop();
  });

  /** The same store, in which one event was recorded at another time. */
  function recordedEarlier(store: MemoryEventStore, position: bigint, time: Date): MemoryEventStore {
    const subscribe: MemoryEventStore['subscribe'] = async function* (options) {
      for await (const { events, ...batch } of store.subscribe(options)) {
        const changed = events.map((e) => (e.position === position ? { ...e, recordedAt: time.toISOString() } : e));
        yield { ...batch, events: changed };
      }
    };
    return new Proxy(store, {
      get: (target, key) => {
        const value: unknown = key === 'subscribe' ? subscribe : Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  }

  test('a moment to come, one before the first event, and a table that exists are refused, and nothing is made', async () => {
    const { pool, options, stop } = await service(3);
    const refused = async (until: Date | bigint, message: string) => {
      await expect(buildAsOf({ ...options, until })).rejects.toThrow(message);
      await expect(buildAsOf({ ...options, until })).rejects.toBeInstanceOf(RebuildRefused);
    };
    await refused(4n, 'The last event has position 3: there is nothing at position 4 yet.');
    await refused(0n, 'order-summary had no events yet at position 0.');
    await refused(new Date(clock.now().getTime() + 60_000), 'is in the future.');
    await refused(new Date('2020-02-29T12:00:00Z'), 'order-summary had no events yet at 2020-02-29T12:00:00.000Z.');
    await buildAsOf({ ...options, until: 2n });
    await refused(2n, 'The table order_summary_at_2 exists already. To build it again, drop it first.');
    await pool.query('DROP TABLE order_summary_at_2');
    expect(await buildAsOf({ ...options, until: 2n })).toMatchObject({ rows: 2 });
    await pool.query('DROP TABLE order_summary_at_2');
    expect(await leftovers(pool)).toEqual(['', 'order_summary']);
    await stop();
  });

  test('an interrupted one is resumed', { timeout: 60_000 }, async () => {
    const { options, stop } = await service(20, CHANGES);
    const stopping = new AbortController();
    const onProgress = ({ events }: { events: number }) => events > 22_000 && stopping.abort();
    const until = 24_990n;
    const first = buildAsOf({ ...options, until, onProgress, signal: stopping.signal });
    await expect(first).rejects.toThrow('Ended at position 20000');
    expect(await buildAsOf({ ...options, until })).toMatchObject({ rows: 20, events: 4_990 });
    await stop();
  });
});

test('the new table has the grants of the old one', async () => {
  const { pool, replay, stop } = await service();
  const role = `reader_${ids.next().replaceAll('-', '')}`;
  await pool.query(`CREATE ROLE ${role}; GRANT SELECT ON order_summary TO ${role}`);
  await replay();
  const { rows } = await pool.query(`SELECT has_table_privilege($1, 'order_summary', 'SELECT') AS may`, [role]);
  expect(rows).toEqual([{ may: true }]);
  await pool.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  await stop();
});

test('a database that was filled from another event store is left alone', async () => {
  const { pool, replay, stop } = await service();
  await stop();
  const empty = new MemoryEventStore(clock);
  await expect(replay({ store: empty })).rejects.toThrow('filled from another store');
  expect((await pool.query('SELECT FROM order_summary')).rowCount).toBe(20);
});
