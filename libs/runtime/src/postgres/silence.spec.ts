/** Connections that die without a word: nothing more arrives, and nobody says that they are closed. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freshDatabase } from '#test/database';
import { SilentProxy } from '#test/silent-proxy';
import { isUnavailable, SystemClock } from '#runtime';
import { PostgresConnection, PostgresLeases, postgresPool, PostgresSession } from './index.js';

const database = await freshDatabase();
const clock = new SystemClock();
const ANSWER_MS = 300;

let proxy: SilentProxy;
let url: string;
beforeEach(async () => {
  proxy = new SilentProxy(database);
  await proxy.open();
  url = proxy.through(database);
});
afterEach(() => proxy.close());

test('a pool gives up the connections that do not answer, all at once, and goes on over new ones', async () => {
  const pool = postgresPool(url, { answerMs: ANSWER_MS });
  await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
  expect(pool.totalCount).toBe(2);
  proxy.silence();
  const error = await pool.query('SELECT').catch((failure: unknown) => failure);
  expect(error).toMatchObject({ message: 'Query read timeout' });
  expect(isUnavailable(error)).toBe(true);
  await pool.query('SELECT');
  expect(pool.totalCount).toBe(1);
  await pool.end();
});

test.each(['to-server', 'to-client', 'trickle'] as const)(
  'a connection is as silent when nothing, or next to nothing, passes: %s',
  async (how) => {
    const pool = postgresPool(url, { answerMs: ANSWER_MS });
    await pool.query('SELECT');
    proxy.silence({ how });
    await expect(pool.query('SELECT')).rejects.toThrow('Query read timeout');
    await pool.query('SELECT');
    await pool.end();
  },
);

test('what is slow and not silent costs its statement alone: the server ends it, and no connection is lost', async () => {
  const pool = postgresPool(url, { answerMs: ANSWER_MS });
  const session = new PostgresSession(url, clock, 'larder-session');
  await session.query('SELECT');
  const lost = vi.fn();
  session.onLost(lost);
  const error = await pool.query('SELECT pg_sleep(60)').catch((failure: unknown) => failure);
  expect(error).toMatchObject({ code: '57014', message: 'canceling statement due to statement timeout' });
  expect(isUnavailable(error)).toBe(true);
  await pool.query('SELECT');
  expect([pool.totalCount, lost.mock.calls.length]).toEqual([1, 0]);
  await Promise.all([pool.end(), session.close()]);
});

test('with one that does not answer, a lease and whatever else waits in silence is given up; what has spoken since stays', async () => {
  const session = new PostgresSession(url, clock, 'larder-session');
  const pool = postgresPool(url, { answerMs: ANSWER_MS });
  const spoken = new PostgresConnection({ connectionString: url, application_name: 'larder-spoken' });
  const elsewhere = new PostgresSession(database, clock);
  await Promise.all([session.query('SELECT'), pool.query('SELECT'), elsewhere.query('SELECT'), spoken.connect()]);
  const lost = vi.fn();
  elsewhere.onLost(lost);
  const sessionLost = new Promise<void>((resolve) => session.onLost(resolve));
  expect(proxy.silence({ of: 'larder-session' }) + proxy.silence({ of: 'larder\0' })).toBe(2);
  const failure = expect(pool.query('SELECT')).rejects.toThrow('Query read timeout');
  await spoken.query('SELECT');
  await failure;
  await sessionLost;
  await Promise.all([session.query('SELECT'), spoken.query('SELECT')]);
  expect(lost).not.toHaveBeenCalled();
  await Promise.all([session.close(), pool.end(), elsewhere.close(), spoken.end()]);
});

test('a session gives up a connection that does not answer, and its leases with it', async () => {
  const session = new PostgresSession(url, clock, 'larder-spec', ANSWER_MS);
  const leases = new PostgresLeases(session, clock, 20);
  const notified = vi.fn();
  session.listen('spec', notified);
  let begun = () => {};
  const holding = new Promise<void>((resolve) => (begun = resolve));
  const work = leases.hold('relay', new AbortController().signal, async (lease) => {
    begun();
    await new Promise((resolve) => lease.addEventListener('abort', resolve));
  });
  await holding;
  proxy.silence();
  await expect(session.query('SELECT')).rejects.toThrow('Query read timeout');
  await work;
  await session.query('SELECT');
  session.notify('spec', 'news');
  await expect.poll(() => notified.mock.calls.flat()).toContain('news');
  await session.close();
});

test('the kernel asks after a connection that is idle, within seconds', async () => {
  const setKeepAlive = vi.spyOn((await import('node:net')).Socket.prototype, 'setKeepAlive');
  const client = new PostgresConnection({ connectionString: database });
  await client.connect();
  expect(setKeepAlive).toHaveBeenCalledWith(true, 4_000);
  await client.end();
  setKeepAlive.mockRestore();
});
