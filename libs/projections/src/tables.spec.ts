import type pg from 'pg';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { postgresPool } from '#runtime/postgres';
import { CheckpointMoved, MemoryTables, projection } from '#projections';
import { PostgresTables } from '#projections/postgres';
import { ManualClock } from '#runtime/testing';
import { CONTRACT_TABLE, tablesContract } from './contract.js';
import { TOGETHER_MS } from './joint-commits.js';

const CHECKPOINTS = `
  CREATE TABLE checkpoints (name text PRIMARY KEY, position bigint NOT NULL, built_by text);
  CREATE TABLE shown (after bigint, position bigint, at timestamptz(3), projection text, PRIMARY KEY (projection, position))`;

const pool = postgresPool(await freshDatabase());
await pool.query(`${CHECKPOINTS}; ${CONTRACT_TABLE}`);
afterAll(() => pool.end());

tablesContract('memory', async () => new MemoryTables());
tablesContract('Postgres', async () => {
  await pool.query('TRUNCATE checkpoints, shown, shelf');
  return new PostgresTables(pool);
});

describe('projections of a service that commit at the same moment', () => {
  const tableOf = (name: string) =>
    projection<{ id: string; n: number }, any>({
      name,
      table: name,
      categories: [],
      keyColumns: ['id'],
      key: () => undefined,
      apply: (row) => row,
    });
  const [one, two, three] = [tableOf('one'), tableOf('two'), tableOf('three')];
  let asked: string[];
  let clock: ManualClock;
  let tables: PostgresTables;

  beforeEach(async () => {
    for (const { table } of [one, two, three])
      await pool.query(`DROP TABLE IF EXISTS ${table}; CREATE TABLE ${table} (id text PRIMARY KEY, n bigint NOT NULL)`);
    await pool.query('TRUNCATE checkpoints, shown');
    asked = [];
    const query = ((...args: [pg.QueryConfig]) => {
      asked.push(args[0].text);
      return pool.query(...args);
    }) as pg.Pool['query'];
    clock = new ManualClock();
    tables = new PostgresTables({ query }, clock);
    await Promise.all([one, two, three].map((each) => commit(each, 0)));
    asked = [];
  });

  const commit = (each: typeof one, n: number) => {
    const [from, to] = [BigInt(n), BigInt(n + 1)];
    return tables.commit({ projection: each, from, to, upserts: [{ id: 'a', n }], deletes: [] });
  };
  const shown = async (...all: (typeof one)[]) =>
    (await Promise.all(all.map((each) => tables.load(each, [{ id: 'a' }])))).map(([row]) => row?.n);

  test('are one statement', async () => {
    await Promise.all([one, two, three].map((each) => commit(each, 1)));
    expect(asked).toHaveLength(1);
    expect(await shown(one, two, three)).toEqual([1, 1, 1]);
  });

  test('are shown when they are written, each with those rows that readers then see, also behind a lock', async () => {
    const operator = await pool.connect();
    await operator.query(`BEGIN; UPDATE three SET n = n WHERE id = 'a'`);
    const change = { from: 1n, to: 2n, upserts: [{ id: 'a', n: 1 }], deletes: [] };
    const write = (each: typeof one) => tables.commit({ ...change, projection: each, shows: each !== two });
    const writing = Promise.all([one, two, three].map(write));
    const waits = `SELECT count(*)::int AS n FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'`;
    await expect.poll(async () => (await pool.query<{ n: number }>(waits)).rows[0]!.n).toBeGreaterThan(0);
    const { rows } = await operator.query<{ now: Date }>('SELECT clock_timestamp()::timestamptz(3) AS now');
    await operator.query('COMMIT');
    operator.release();
    await writing;
    const shownAt = async (each: typeof one) => (await tables.shownAt(each, [2n])).get(2n)?.getTime();
    expect(await shownAt(two)).toBeUndefined();
    for (const each of [one, three]) expect(await shownAt(each)).toBeGreaterThanOrEqual(rows[0]!.now.getTime());
  });

  test('do not fail with one that fails, and are together again when it no longer does', async () => {
    const refused = { projection: two, from: 1n, to: 2n, upserts: [{ id: 'a', n: null as never }], deletes: [] };
    const results = await Promise.allSettled([commit(one, 1), tables.commit(refused), commit(three, 1)]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect(await shown(one, two, three)).toEqual([1, 0, 1]);

    await commit(two, 1);
    asked = [];
    await Promise.all([one, two, three].map((each) => commit(each, 2)));
    expect(asked).toHaveLength(1);
  });

  test('do not wait for one whose table is locked', async () => {
    const operator = await pool.connect();
    await operator.query('BEGIN; LOCK TABLE two');
    const locked = commit(two, 1);
    const others = Promise.all([commit(one, 1), commit(three, 1)]);
    await expect.poll(() => asked).toHaveLength(1);
    await clock.advance(TOGETHER_MS);
    await others;
    await Promise.all([commit(one, 2), commit(three, 2)]);
    await operator.query('COMMIT');
    operator.release();
    await locked.catch((error: unknown) => expect(error).toBeInstanceOf(CheckpointMoved));
    expect(await tables.checkpoint(two)).toBe(2n);
    expect(await shown(one, two, three)).toEqual([2, 1, 2]);
  });
});

const misnamed = projection<{ shop: string; sku: string; note?: string }, any>({
  name: 'misnamed',
  table: 'shelf',
  categories: [],
  keyColumns: ['shop'],
  key: () => undefined,
  apply: (row) => row,
});

test('a row with a column that the table lacks is refused by name, and so is a table that is missing', async () => {
  const tables = new PostgresTables(pool);
  const change = { from: 0n, to: 1n, upserts: [{ shop: 'Ghent', nott: 'typo' }], deletes: [] };
  await expect(tables.commit({ projection: misnamed, ...change })).rejects.toThrow('shelf has no column nott');
  const missing = { ...misnamed, name: 'missing', table: 'nowhere' };
  await expect(tables.commit({ projection: missing, ...change })).rejects.toThrow('no table nowhere');
});
