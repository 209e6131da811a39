import { expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { PostgresLeases, PostgresSession } from '#runtime/postgres';
import { SystemClock } from '#runtime';

test('a lease has one holder, and the next takes over when the connection of the first breaks', async () => {
  const url = await freshDatabase();
  const clock = new SystemClock();
  const first = new PostgresSession(url, clock);
  const second = new PostgresSession(url, clock);
  const stop = new AbortController();
  const holders: string[] = [];
  let begun = () => {};
  const firstBegan = new Promise<void>((resolve) => (begun = resolve));
  const firstWork = new PostgresLeases(first, clock, 20).hold('relay', stop.signal, async (lease) => {
    holders.push('first');
    begun();
    await new Promise((resolve) => lease.addEventListener('abort', resolve));
  });
  await firstBegan;
  const secondWork = new PostgresLeases(second, clock, 20).hold('relay', stop.signal, async () => {
    holders.push('second');
  });
  await clock.sleep(100);
  expect(holders).toEqual(['first']);

  await first.query('SELECT pg_terminate_backend(pg_backend_pid())').catch(() => {});
  await Promise.all([firstWork, secondWork]);
  expect(holders).toEqual(['first', 'second']);
  await Promise.all([first.close(), second.close()]);
});
