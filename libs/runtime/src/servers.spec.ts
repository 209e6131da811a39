/** `isUnavailable` on what real drivers throw when a server is away, silent or cut off. */
import { PrismaPg } from '@prisma/adapter-pg';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import pg from 'pg';
import { expect, test } from 'vitest';
import { PrismaClient } from '../../../prisma/order/client/client.js';
import { freePort } from '../../../scripts/lib/embedded-postgres.js';
import { freshDatabase } from '#test/database';
import { postgresPool, PostgresSession } from '#runtime/postgres';
import { isUnavailable } from './servers.js';
import { SystemClock } from './system.js';

const nowhere = async () => `postgresql://larder:s3cret@127.0.0.1:${await freePort()}/order`;
const failure = (promise: Promise<unknown>) => promise.then(() => undefined).catch((error: unknown) => error);

test('unavailable: nothing listens', async () => {
  const pool = postgresPool(await nowhere());
  expect(isUnavailable(await failure(pool.query('SELECT')))).toBe(true);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  expect(isUnavailable(await failure(prisma.price.findMany()))).toBe(true);
  const session = new PostgresSession(await nowhere(), new SystemClock());
  expect(isUnavailable(await failure(session.query('SELECT')))).toBe(true);
  await Promise.all([pool.end(), session.close()]);
});

test('unavailable: the server accepts a connection and stays silent', async () => {
  const silent = createServer().listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const { port } = silent.address() as AddressInfo;
  const pool = postgresPool(`postgresql://larder@127.0.0.1:${port}/order`);
  expect(isUnavailable(await failure(pool.query('SELECT')))).toBe(true);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  expect(isUnavailable(await failure(prisma.price.findMany()))).toBe(true);
  await pool.end();
  silent.close();
});

test('unavailable: a connection is cut in the middle of a query', async () => {
  const url = await freshDatabase('order');
  const pool = postgresPool(url, { max: 1 });
  const killer = new pg.Client({ connectionString: url });
  await killer.connect();
  const cut = async (query: Promise<unknown>) => {
    const failed = failure(query);
    const others =
      'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ~ $1';
    await expect
      .poll(async () => (await killer.query(`${others} AND pid <> pg_backend_pid()`, ['pg_sleep'])).rowCount)
      .toBe(1);
    return failed;
  };
  expect(isUnavailable(await cut(pool.query('SELECT pg_sleep(60)')))).toBe(true);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  expect(isUnavailable(await cut(prisma.$queryRaw`SELECT pg_sleep(60)`))).toBe(true);
  await Promise.all([pool.end(), killer.end()]);
});

test.each([
  ['takes no writes, as after a failover', 'default_transaction_read_only = on', 'DELETE FROM price_list'],
  ['ends a statement that takes too long', 'statement_timeout = 50', 'SELECT pg_sleep(60)'],
  ['ends a wait for a lock that takes too long', 'lock_timeout = 50', 'DELETE FROM order_summary'],
])('unavailable: the server %s', async (_what, setting, statement) => {
  const url = await freshDatabase('order');
  const other = new pg.Client({ connectionString: url });
  await other.connect();
  await other.query(`ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET ${setting}`);
  await other.query('BEGIN; LOCK order_summary IN SHARE MODE');
  const pool = postgresPool(url);
  expect(isUnavailable(await failure(pool.query(statement)))).toBe(true);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  expect(isUnavailable(await failure(prisma.$executeRawUnsafe(statement)))).toBe(true);
  await Promise.all([pool.end(), other.end()]);
});

test('not unavailable: a mistake in our own SQL', async () => {
  const pool = postgresPool(await freshDatabase('order'));
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  for (const error of [
    await failure(pool.query('SELECT nothing FROM order_summary')),
    await failure(prisma.$queryRaw`SELECT nothing FROM order_summary`),
  ]) {
    expect(error).toBeInstanceOf(Error);
    expect(isUnavailable(error)).toBe(false);
  }
  await pool.end();
});
