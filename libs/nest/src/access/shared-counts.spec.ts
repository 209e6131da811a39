/** The counts of rate limits in a real database, as several instances write them. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { BY_INDEX, postgresPool } from '#runtime/postgres';
import { ManualClock } from '#runtime/testing';
import { freshDatabase } from '#test/database';
import { PostgresCounts } from './shared-counts.js';

let pools: ReturnType<typeof postgresPool>[];
beforeAll(async () => {
  const url = await freshDatabase('order');
  pools = [postgresPool(url, { settings: BY_INDEX }), postgresPool(url, { settings: BY_INDEX })];
});
afterAll(() => Promise.all(pools.map((pool) => pool.end())));

const instances = () => pools.map((pool) => new PostgresCounts(pool));

test('what all instances have told is added up, also at the same moment, until the window ends', async () => {
  const [one, other] = instances();
  const key = `caller:${'x'.repeat(255)}`;
  expect((await one!.add(key, 3, 60)).requests).toBe(3);
  await Promise.all(Array.from({ length: 40 }, (_, n) => (n % 2 ? one! : other!).add(key, 2, 3_600)));
  const { requests, endsInMs } = await other!.add(key, 1, 3_600);
  expect(requests).toBe(84);
  expect([endsInMs > 50_000, endsInMs <= 60_000]).toEqual([true, true]); // Of the one that began it.
  expect((await one!.add('caller:other', 1, 60)).requests).toBe(1);
});

test('a window that has ended begins anew with the next request', async () => {
  const [one] = instances();
  const { endsInMs } = await one!.add('caller:late', 5, 1);
  await new SystemClock().sleep(endsInMs + 5);
  expect((await one!.add('caller:late', 1, 1)).requests).toBe(1);
});

test('windows that have ended are deleted every minute, and no more once the service stops', async () => {
  const [one] = instances();
  const left = async () =>
    (await pools[0]!.query<{ key: string }>(`SELECT key FROM rate_limits WHERE key LIKE 'address:%' ORDER BY key`))
      .rows;
  await one!.add('address:old', 1, 60);
  await one!.add('address:young', 1, 3_600);
  const clock = new ManualClock(new Date(Date.now() + 120_000).toISOString());
  const stop = new AbortController();
  const cleaning = one!.clean(clock, stop.signal);
  expect((await left()).length).toBe(2);
  await clock.advance(60_000);
  await expect.poll(left).toEqual([{ key: 'address:young' }]);
  clock.set(7_200_000);
  stop.abort();
  await cleaning;
  expect(await left()).toEqual([{ key: 'address:young' }]);
});

test('a write waits for no disk: the table is not logged', async () => {
  const { rows } = await pools[0]!.query(`SELECT relpersistence FROM pg_class WHERE relname = 'rate_limits'`);
  expect(rows).toEqual([{ relpersistence: 'u' }]);
});
