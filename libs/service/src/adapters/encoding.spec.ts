import pg from 'pg';
import { expect, inject, test } from 'vitest';
import { silentLog, SystemClock } from '#runtime';
import { migrate } from '../../../../scripts/migrate.js';
import { openEventStore, openMessageBus } from './adapters.js';

/** A new, empty database. */
async function database(encoding: string): Promise<string> {
  const url = new URL(inject('postgresUrl'));
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  url.pathname = `/t_${crypto.randomUUID().replaceAll('-', '')}`;
  const name = url.pathname.slice(1);
  await client.query(`CREATE DATABASE "${name}" ENCODING '${encoding}' LOCALE 'C' TEMPLATE template0`);
  await client.end();
  return url.href;
}

const clock = new SystemClock();
const uses: [string, (url: string) => Promise<unknown>][] = [
  ['an event store', async (url) => (await openEventStore(url, clock)).close()],
  ['a message bus', async (url) => (await openMessageBus(url, { clock, log: silentLog })).close()],
  ['a read model', (url) => migrate(url, 'prisma/order/migrations')],
];

test.each(uses)('%s is not made in a database that cannot hold every character', async (_what, use) => {
  await expect(use(await database('LATIN1'))).rejects.toMatchObject({
    name: 'ServerRefusal',
    message: expect.stringContaining(
      `the encoding LATIN1, which lacks most characters. Create it with ENCODING 'UTF8'.`,
    ),
  });
});

test.each(uses)('%s can be made in one that keeps bytes as they are', async (_what, use) => {
  await use(await database('SQL_ASCII'));
});
