/** Behind PgBouncer, as people run it: in session mode a shop works, and in transaction mode it refuses to start. */
import { afterAll, beforeAll, describe, expect, inject, test, vi } from 'vitest';
import { SystemClock } from '#runtime';
import { assertKeepsSessions, PostgresLeases, postgresPool, PostgresSession } from '#runtime/postgres';
import { freshDatabases, openShop } from '../proof/shop/open-shop.js';
import { freshDatabase } from './support/database.js';
import { PgBouncer, pgBouncerMissing } from './support/pgbouncer.js';
import { refuseOldBuild } from './support/shop.js';

describe.skipIf(pgBouncerMissing)('behind PgBouncer', () => {
  const server = inject('postgresUrl');
  let bouncer: PgBouncer;
  let inTransactions: PgBouncer;
  beforeAll(async () => {
    refuseOldBuild();
    bouncer = await PgBouncer.start(server, 'session');
    inTransactions = await PgBouncer.start(server, 'transaction');
  });
  afterAll(() => Promise.all([bouncer?.stop(), inTransactions?.stop()]));

  test('a session keeps its settings, its notifications and its leases', async () => {
    const url = bouncer.through(await freshDatabase());
    const clock = new SystemClock();
    await assertKeepsSessions(url);
    const [one, two] = [new PostgresSession(url, clock), new PostgresSession(url, clock)];
    expect(await one.query('SHOW idle_session_timeout')).toEqual([{ idle_session_timeout: '0' }]);
    const notified = vi.fn();
    one.listen('spec', notified);
    const notify = () => {
      two.notify('spec', 'news'); // Again, until the other one listens.
      return notified.mock.calls.flat();
    };
    await expect.poll(notify).toContain('news');

    const holders: string[] = [];
    const hold = (name: string, session: PostgresSession) => {
      const over = new AbortController();
      const ended = new PostgresLeases(session, clock, 20).hold('relay', over.signal, async (lease) => {
        holders.push(name);
        await new Promise((resolve) => lease.addEventListener('abort', resolve));
      });
      return { over, ended };
    };
    const first = hold('one', one);
    await expect.poll(() => holders).toEqual(['one']);
    const second = hold('two', two);
    await two.query('SELECT pg_sleep(0.1)');
    expect(holders).toEqual(['one']);
    // A session that ends without a word: PgBouncer clears it, and its lease is free.
    await one.close();
    await expect.poll(() => holders).toEqual(['one', 'two']);
    first.over.abort();
    second.over.abort();
    await Promise.all([first.ended.catch(() => {}), second.ended, two.close()]);
  });

  test('a shop completes orders', async () => {
    const direct = await freshDatabases(server);
    const databases = Object.fromEntries(Object.entries(direct).map(([name, url]) => [name, bouncer.through(url)]));
    await using shop = await openShop({ databases: databases as typeof direct });
    await shop.setPrices({ tea: 250 });
    await shop.stockUp({ tea: 10 });
    const orders = await Promise.all(
      Array.from({ length: 5 }, () => shop.place({ lines: [{ sku: 'tea', quantity: 1 }] })),
    );
    for (const order of orders) expect(await shop.settled(order)).toMatchObject({ status: 'completed' });
  }, 60_000);

  test('in transaction mode it is refused, however busy the pooler is', async () => {
    const url = inTransactions.through(await freshDatabase());
    const busy = postgresPool(url, { max: 3 });
    const work = Promise.all(Array.from({ length: 30 }, () => busy.query('SELECT pg_sleep(0.01)')));
    for (let i = 0; i < 3; i++) {
      await expect(assertKeepsSessions(url)).rejects.toMatchObject({
        name: 'ServerRefusal',
        message: expect.stringMatching(
          /^the pooler before the server .* Set pool_mode=session \(PgBouncer\), or connect/,
        ),
      });
    }
    await work;
    await busy.end();
  });

  test('and a service says so in one line, with the variable', async () => {
    const direct = await freshDatabases(server);
    const databases = { ...direct, order: inTransactions.through(direct.order) };
    await expect(openShop({ databases })).rejects.toThrow(/EVENT_STORE_URL: the pooler before the server gives each/);
  }, 60_000);

  test('a server without a pooler needs no look at its sessions', async () => {
    await assertKeepsSessions(await freshDatabase());
  });
});
