import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { freshDatabase } from '../../../test/database.js';
import { idOf, MemoryEventStore, type NewEvent } from '#event-store';
import { MemoryLeases, postgresPool, SeededRandom, SequentialIds, silentLog, SystemClock } from '#runtime';
import {
  PostgresTables,
  type Projection,
  projection,
  projector,
  rebuild,
  type RebuildOptions,
  RebuildUnderWay,
  type Row,
} from '#projections';

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
async function service(orders = 20) {
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
  for (let i = 0; i < orders; i++) await touch(i);

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
  return {
    pool,
    store,
    tables,
    orderIds,
    touch,
    projected,
    events: () => revisions.reduce((sum, revision) => sum + revision + 1, 0),
    replay: (options?: Partial<RebuildOptions>) =>
      rebuild({ projection: summary, store, pool, clock, log: silentLog, ...options }),
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
       UNION ALL
       SELECT relname FROM pg_class WHERE relname LIKE '%rebuild%' ORDER BY 1`,
    )
  ).rows;

test('a table that is right is rebuilt without a difference, and its indexes and constraints keep their names', async () => {
  const { pool, tables, events, replay, stop } = await service();
  const before = await objects(pool);
  const checkpoint = await tables.checkpoint(summary);
  expect(await replay()).toEqual({ rows: 20, events: events(), differing: 0, position: checkpoint });
  expect(await tables.checkpoint(summary)).toBe(checkpoint);
  expect(await objects(pool)).toEqual(before);
  expect((await pool.query(`SELECT name FROM checkpoints`)).rows).toEqual([{ name: 'projection:order-summary' }]);
  await stop();
});

test('rows that are wrong, missing or too many are counted and mended', async () => {
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

test('rows that were loaded from the table before the switch are not written to the one after it', async () => {
  const { pool, store, tables, orderIds, touch, replay, stop } = await service(1);
  await stop();
  await pool.query('UPDATE order_summary SET total_minor = 99');
  const from = await tables.checkpoint(summary);
  const [wrong] = await tables.load(summary, [{ order_id: orderIds[0]! }]);
  await touch(0);
  expect(await replay()).toMatchObject({ differing: 1 });
  const change = { projection: summary as Projection<any, any>, from, to: await store.head(), deletes: [] };
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
  await projected(); // Reads and writes go on.
  expect((await pool.query('SELECT FROM order_summary')).rowCount).toBe(20);
  await long.query('COMMIT');
  long.release();
  expect(await replayed).toMatchObject({ rows: 20, events: 21, differing: 0 });
  await stop();
});

test('a second rebuild of one projection is refused by name, and may come when the first is done', async () => {
  const { replay, stop } = await service();
  const replays = await Promise.allSettled([replay(), replay()]);
  const refused = replays.find(({ status }) => status === 'rejected') as PromiseRejectedResult;
  expect(refused.reason).toBeInstanceOf(RebuildUnderWay);
  expect(refused.reason.message).toContain('order-summary is being rebuilt already');
  expect(replays.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  await stop();
});

test('what an earlier rebuild left behind is replaced, and a failed one leaves nothing', async () => {
  const { pool, replay, stop } = await service();
  await pool.query(
    `CREATE TABLE order_summary_rebuild (x int); INSERT INTO checkpoints VALUES ('projection:order-summary:rebuild', 7)`,
  );
  const broken = {
    ...summary,
    key: () => {
      throw new Error('A bug in key().');
    },
  };
  await expect(replay({ projection: broken })).rejects.toThrow('A bug in key().');
  expect((await pool.query(`SELECT to_regclass('order_summary_rebuild') AS left`)).rows).toEqual([{ left: null }]);
  expect(await replay()).toMatchObject({ rows: 20, differing: 0 });
  await stop();
});

test('who may read the table may read the new one', async () => {
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
