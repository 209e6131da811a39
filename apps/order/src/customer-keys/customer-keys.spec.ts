import { afterAll, describe, expect, test } from 'vitest';
import pg from 'pg';
import { isUnavailable } from '#runtime';
import { freshDatabase } from '#test/database';
import { keyStoreContract } from './contract.js';
import { MemoryCustomerKeys } from './memory.js';
import { PostgresCustomerKeys } from './postgres-customer-keys.js';

const opened: PostgresCustomerKeys[] = [];
const openAt = (url: string) => {
  const keys = new PostgresCustomerKeys(url);
  opened.push(keys);
  return keys;
};
afterAll(() => Promise.all(opened.map((each) => each.end())));

describe('in memory', () =>
  keyStoreContract(async () => {
    const keys = new MemoryCustomerKeys();
    return [keys, keys];
  }));

describe('in Postgres', () => {
  keyStoreContract(async () => {
    const url = await freshDatabase();
    return [openAt(url), openAt(url)];
  });

  test('the secret of an erased key is in no row, and when it was erased is', async () => {
    const url = await freshDatabase();
    const keys = openAt(url);
    const { kid } = await keys.current('4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e');
    await keys.erase([kid]);
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query('SELECT * FROM customer_keys');
    await client.end();
    expect(rows).toEqual([
      {
        kid,
        customer_id: '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e',
        secret: null,
        created_at: expect.any(Date),
        closed_at: expect.any(Date),
        erased_at: expect.any(Date),
      },
    ]);
  });

  test('who is late by a moment, while another makes the first key, gets the same', async () => {
    const url = await freshDatabase();
    const keys = openAt(url);
    await keys.ping();
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const ada = '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e';
    await client.query('BEGIN');
    await client.query(`INSERT INTO customer_keys (customer_id, kid, secret) VALUES ($1, 'first', '\\x00')`, [ada]);
    const late = keys.current(ada);
    const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
    await expect.poll(async () => (await client.query(waiting)).rowCount).toBe(1);
    await client.query('COMMIT');
    expect((await late).kid).toBe('first');
    await client.end();
  });

  test('instances that start at once make one table', async () => {
    const url = await freshDatabase();
    await Promise.all(Array.from({ length: 20 }, () => openAt(url).ping()));
  });

  test('where no server answers, it is unavailable, and makes its table once one does', async () => {
    const url = await freshDatabase();
    const away = new URL(url);
    away.port = '1';
    const unreachable = openAt(away.href);
    for (const ask of [() => unreachable.current('4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e'), () => unreachable.ping()]) {
      expect(isUnavailable(await ask().catch((error: unknown) => error))).toBe(true);
    }
    await openAt(url).ping();
  });

  test('a store that lets nobody in, as while it is restored, is unavailable', async () => {
    const missing = new URL(await freshDatabase());
    missing.pathname = '/no_such_database';
    const stranger = new URL(await freshDatabase());
    stranger.username = 'nobody_known_here';
    for (const url of [missing, stranger]) {
      const keys = openAt(url.href);
      const error: unknown = await keys.find('any').catch((thrown: unknown) => thrown);
      expect(isUnavailable(error)).toBe(true);
      // Told as it is at the start.
      expect(isUnavailable(await keys.ping().catch((thrown: unknown) => thrown))).toBe(false);
    }
  });
});
