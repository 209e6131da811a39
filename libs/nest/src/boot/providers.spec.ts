import type { FactoryProvider } from '@nestjs/common';
import pg from 'pg';
import { expect, test } from 'vitest';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import { freshDatabase } from '#test/database';
import { isUnavailable, silentLog } from '#runtime';
import { Background } from './background.js';
import { providePrisma } from './providers.js';

test('a read that takes longer than a request may ends on the server as well', async () => {
  const url = await freshDatabase('order');
  const background = new Background(silentLog);
  const { useFactory } = providePrisma(PrismaClient) as FactoryProvider<PrismaClient>;
  const client = await useFactory({ DATABASE_URL: url, REQUEST_TIMEOUT: 200 }, background);
  expect(await client.$queryRaw`SELECT current_setting('statement_timeout') AS limit`).toEqual([{ limit: '200ms' }]);

  const other = new pg.Client({ connectionString: url });
  await other.connect();
  await other.query('BEGIN; LOCK order_summary');
  const read = () => client.orderSummary.findMany({ take: 1 });
  expect(isUnavailable(await read().catch((error: unknown) => error))).toBe(true);
  const { rows } = await other.query(`SELECT query FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'larder-reads' AND state = 'active'`);
  expect(rows).toEqual([]);
  await other.query('COMMIT');
  expect(await read()).toEqual([]);
  await other.end();
  await background.onApplicationShutdown();
});
