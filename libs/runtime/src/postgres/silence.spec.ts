/** Connections that die without a word: nothing more arrives, and nobody says that they are closed. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { freshDatabase } from '#test/database';
import { isUnavailable, SystemClock } from '#runtime';
import { PostgresConnection, PostgresLeases, postgresPool, PostgresSession } from './index.js';

const database = await freshDatabase();
const clock = new SystemClock();
const ANSWER_MS = 300;

/** Between us and the server. It swallows everything on the connections that it is told to, in both directions. */
class SilentProxy {
  url = '';
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;

  constructor() {
    const { hostname, port } = new URL(database);
    this.server = createServer((client) => {
      const server = connect(Number(port), hostname);
      client.pipe(server).pipe(client);
      for (const socket of [client, server]) {
        socket.on('error', () => {});
        this.sockets.add(socket);
      }
    });
  }

  async open(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    const through = new URL(database);
    through.port = `${(this.server.address() as AddressInfo).port}`;
    this.url = through.href;
  }

  /** From now on nothing passes on the connections that there are; new ones work. */
  silence(): void {
    for (const socket of this.sockets) {
      socket.unpipe();
      socket.pause();
    }
  }

  close(): void {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
  }
}

let proxy: SilentProxy;
beforeEach(async () => {
  proxy = new SilentProxy();
  await proxy.open();
});
afterEach(() => proxy.close());

test('a pool gives up a connection that does not answer, and goes on over a new one', async () => {
  const pool = postgresPool(proxy.url, { answerMs: ANSWER_MS });
  await Promise.all([pool.query('SELECT pg_sleep(0.05)'), pool.query('SELECT pg_sleep(0.05)')]);
  expect(pool.totalCount).toBe(2);
  proxy.silence();
  const failures: unknown[] = [];
  for (let answered = false; !answered;) {
    answered = await pool.query('SELECT').then(
      () => true,
      (error: unknown) => (failures.push(error), false),
    );
  }
  expect(failures).toHaveLength(2);
  expect(failures.every((error) => isUnavailable(error))).toBe(true);
  await pool.end();
});

test('a session gives up a connection that does not answer, and its leases with it', async () => {
  const session = new PostgresSession(proxy.url, clock, 'larder-spec', ANSWER_MS);
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
