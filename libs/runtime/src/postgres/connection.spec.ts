/** Every connection is a session as our code needs it, whatever the database, the role or the URL would make of it. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer } from 'node:net';
import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { beforeAll, expect, test } from 'vitest';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import { SystemClock } from '#runtime';
import { BY_INDEX, postgresPool, PostgresSession } from '#runtime/postgres';
import { freshDatabase } from '#test/database';

/** A database that makes sessions of another zone, in which 01:30 on 1 November 2026 comes twice, and of another style. */
async function elsewhere(zone: string): Promise<string> {
  const url = await freshDatabase('order');
  const name = new URL(url).pathname.slice(1);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(`ALTER DATABASE "${name}" SET timezone = '${zone}'`);
  await client.query(`ALTER DATABASE "${name}" SET datestyle = 'SQL, DMY'`);
  await client.end();
  return url;
}

let url: string;
beforeAll(async () => {
  url = await elsewhere('America/New_York');
});

test('a session is in UTC: one of a pool, and one of its own', async () => {
  const pool = postgresPool(url, { settings: BY_INDEX });
  const session = new PostgresSession(url, new SystemClock());
  const settings = `SELECT current_setting('TimeZone') || ', ' || current_setting('DateStyle') AS set`;
  expect((await pool.query(settings)).rows).toEqual([{ set: 'UTC, ISO, DMY' }]);
  expect((await pool.query('SHOW enable_seqscan')).rows).toEqual([{ enable_seqscan: 'off' }]);
  expect(await session.query(settings)).toEqual([{ set: 'UTC, ISO, DMY' }]);
  expect(await session.query('SHOW tcp_keepalives_idle')).toEqual([{ tcp_keepalives_idle: '5' }]);
  await Promise.all([pool.end(), session.close()]);
});

test('a database cannot change what our statements mean: not their tables, their isolation or how long a session lives', async () => {
  const database = await freshDatabase('order');
  const name = new URL(database).pathname.slice(1);
  const client = new pg.Client({ connectionString: database });
  await client.connect();
  await client.query(`ALTER DATABASE "${name}" SET search_path = shop`);
  await client.query(`ALTER DATABASE "${name}" SET default_transaction_isolation = serializable`);
  await client.query(`ALTER DATABASE "${name}" SET idle_session_timeout = 1000`);
  await client.end();
  const pool = postgresPool(database);
  const show = ['search_path', 'transaction_isolation', 'idle_session_timeout'].map((it) => `current_setting('${it}')`);
  expect((await pool.query({ text: `SELECT ${show.join()}`, rowMode: 'array' })).rows).toEqual([
    ['public', 'read committed', '0'],
  ]);
  await pool.end();
});

test.each(['America/New_York', 'Asia/Kolkata'])('Prisma reads the instant that was written, in %s', async (zone) => {
  const pool = postgresPool(await elsewhere(zone));
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  const instants = ['2026-11-01T05:30:00.123Z', '2026-11-01T06:30:00.123Z', '2026-07-01T12:00:00.000Z'];
  for (const [i, instant] of instants.entries()) {
    await pool.query(`INSERT INTO price_list VALUES ($1, 1, 'EUR', $2)`, [`byDriver${i}`, new Date(instant)]);
    await prisma.price.create({ data: { sku: `byPrisma${i}`, amountMinor: 1n, currency: 'EUR', since: instant } });
  }
  const { rows } = await pool.query<{ sku: string; since: Date }>('SELECT sku, since FROM price_list ORDER BY sku');
  expect(rows.map(({ since }) => since.toISOString())).toEqual([...instants, ...instants]);
  const read = await prisma.price.findMany({ orderBy: { sku: 'asc' } });
  expect(read.map(({ since }) => since.toISOString())).toEqual([...instants, ...instants]);
  await pool.end();
});

test('what a connection needs is set in its session: a pooler such as PgBouncer refuses other start-up parameters', async () => {
  const { port, hostname } = new URL(url);
  const parameters = new Set<string>();
  const proxy = createServer((client) => {
    const server = connect(Number(port), hostname);
    client.once('data', (startup) => {
      // A start-up packet: its length, the version of the protocol, then names and values that end with 0.
      const words = startup.subarray(8).toString().split('\0');
      words.filter((word, i) => i % 2 === 0 && word !== '').forEach((name) => parameters.add(name));
      server.write(startup);
      client.pipe(server);
    });
    server.pipe(client);
    client.on('error', () => {});
    server.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  const through = new URL(url);
  through.port = `${(proxy.address() as AddressInfo).port}`;

  const pool = postgresPool(through.href, { settings: BY_INDEX, name: 'larder-spec' });
  const session = new PostgresSession(through.href, new SystemClock());
  await pool.query('SELECT');
  await session.query('SELECT');
  expect([...parameters].sort()).toEqual(['application_name', 'client_encoding', 'database', 'user']);
  await Promise.all([pool.end(), session.close()]);
  proxy.close();
});

test('a setting that the server does not know fails the query that needed the connection, and nothing else', async () => {
  const pool = postgresPool(url, { settings: { 'no such setting': 'on' }, name: `larder-${randomUUID()}` });
  await expect(pool.query('SELECT')).rejects.toThrow(/no such setting/);
  await expect(pool.query('SELECT')).rejects.toThrow(/no such setting/);
  expect(pool.totalCount).toBe(0);
  await pool.end();
});

test('a server that sends nonsense fails the query and ends the connection, and not the process', async () => {
  const answer = (type: string, ...body: number[]) =>
    Buffer.from([type.charCodeAt(0), 0, 0, 0, 4 + body.length, ...body]);
  const ready = answer('Z', 'I'.charCodeAt(0));
  const server = createServer((client) => {
    const answers = [
      [answer('R', 0, 0, 0, 0), ready], // It asks for no password.
      [answer('C', 0), ready], // The settings are set.
      [answer('T', 0, 9), ready], // Nine columns are announced, and none follows.
    ];
    client.on('data', () => client.write(Buffer.concat(answers.shift() ?? [ready])));
    client.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const pool = postgresPool(`postgresql://user@127.0.0.1:${(server.address() as AddressInfo).port}/any`);
  await expect(pool.query('SELECT')).rejects.toThrow(RangeError);
  expect(pool.totalCount).toBe(0);
  await pool.end();
  server.close();
});
