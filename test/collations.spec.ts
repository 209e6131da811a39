/** Names and keys are compared by their bytes, whatever the database's own order is: no upgrade of its system breaks an index. */
import { cpSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { PostgresEventStore } from '#event-store/postgres';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import { PostgresConnection } from '#runtime/postgres';
import { services } from '../apps/shop.js';
import { migrate } from '../scripts/migrate.js';
import { freshDatabase } from './support/database.js';

const clock = new SystemClock();

async function query<R extends object>(url: string, sql: string): Promise<R[]> {
  const client = new PostgresConnection({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** The text columns of all indexes whose order is not that of their bytes. */
async function inAnotherOrder(url: string): Promise<string[]> {
  const rows = await query<{ place: string }>(
    url,
    `SELECT format('%s: %s', indexrelid::regclass, coalesce(attname, 'an expression')) AS place
     FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
     CROSS JOIN unnest(indkey, indcollation) AS part (attnum, ordered_by)
     LEFT JOIN pg_attribute ON attrelid = indrelid AND pg_attribute.attnum = part.attnum AND part.attnum > 0
     WHERE part.ordered_by NOT IN (0, '"C"'::regcollation)
       AND relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'
     ORDER BY 1`,
  );
  return rows.map(({ place }) => place);
}

test.each(services)('every text column of an index of %s is in the order of its bytes', async (service) => {
  const url = await freshDatabase(service);
  await (await PostgresEventStore.open({ url, clock })).close();
  await (await PostgresMessageBus.open({ url, clock })).close();
  expect(await query(url, 'SELECT FROM pg_indexes')).not.toHaveLength(0);
  expect(await inAnotherOrder(url)).toEqual([]);
});

test('a database of a release before changes its order, with the shadow tables of rebuilds and all that is in them', async () => {
  const url = await freshDatabase();
  const before = mkdtempSync(join(tmpdir(), 'larder-migrations-'));
  const folder = 'prisma/inventory/migrations';
  for (const name of readdirSync(folder)) {
    if (!name.endsWith('byte_order')) cpSync(join(folder, name), join(before, name), { recursive: true });
  }
  await migrate(url, before);
  rmSync(before, { recursive: true });
  await query(
    url,
    `INSERT INTO stock_level SELECT 'sku-' || n, n, 0, 0, now() FROM generate_series(1, 100) AS n;
     CREATE TABLE stock_level_before (LIKE stock_level INCLUDING ALL)`,
  );
  expect(await inAnotherOrder(url)).toContain('stock_level_before_pkey: sku');
  expect((await migrate(url, folder)).at(-1)).toMatch(/byte_order$/);
  expect(await inAnotherOrder(url)).toEqual([]);
  expect(await query(url, `SELECT available FROM stock_level WHERE sku = 'sku-42'`)).toEqual([{ available: '42' }]);
});

test('so does a bus of a release before', async () => {
  const url = await freshDatabase();
  await (await PostgresMessageBus.open({ url, clock })).close();
  const columns = ['"group"', 'topic'].map((column) => `ALTER COLUMN ${column} TYPE text COLLATE "default"`);
  await query(url, `ALTER TABLE message_bus.subscriptions ${columns.join()}`);
  expect(await inAnotherOrder(url)).toHaveLength(2);
  await (await PostgresMessageBus.open({ url, clock })).close();
  expect(await inAnotherOrder(url)).toEqual([]);
});
