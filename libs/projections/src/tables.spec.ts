import { afterAll, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { postgresPool } from '#runtime/postgres';
import { MemoryTables, projection } from '#projections';
import { PostgresTables } from '#projections/postgres';
import { CONTRACT_TABLE, tablesContract } from './contract.js';

const CHECKPOINTS = 'CREATE TABLE checkpoints (name text PRIMARY KEY, position bigint NOT NULL, built_by text)';

const pool = postgresPool(await freshDatabase());
await pool.query(`${CHECKPOINTS}; ${CONTRACT_TABLE}`);
afterAll(() => pool.end());

tablesContract('memory', async () => new MemoryTables());
tablesContract('Postgres', async () => {
  await pool.query('TRUNCATE checkpoints, shelf');
  return new PostgresTables(pool);
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
