import type pg from 'pg';
import type { Clock } from '../ports.js';
import { ANSWER_MS, PostgresConnection, SERVER_KEEPALIVE } from './connection.js';

/**
 * One connection kept open for what belongs to a session: LISTEN and advisory locks. It reconnects when it breaks,
 * and notifies its users that whatever they held is gone.
 */
export class PostgresSession {
  private connection: { readonly client: pg.Client; readonly ready: Promise<pg.Client> } | undefined;
  private lastQuery: Promise<unknown> = Promise.resolve();
  private readonly lostListeners = new Set<() => void>();
  private readonly channels = new Map<string, Set<(payload: string) => void>>();
  /** Channels with a notification under way, and the payload of the next one where there is to be one. */
  private readonly notifying = new Map<string, string | undefined>();
  private closed = false;

  constructor(
    private readonly url: string,
    private readonly clock: Clock,
    private readonly name = 'larder-session',
    private readonly answerMs = ANSWER_MS,
  ) {}

  /** Runs one statement on this session, after the earlier ones, connecting first if necessary. */
  query<R extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<R[]> {
    const result = this.lastQuery.then(async () => {
      const client = await this.connect();
      try {
        return (await client.query<R>(sql, values)).rows;
      } catch (error) {
        // pg keeps a connection that has not answered, and would ask it again.
        if (error instanceof Error && error.message === 'Query read timeout') this.drop(client);
        throw error;
      }
    });
    this.lastQuery = result.catch(() => {});
    return result;
  }

  /** Calls `lost` whenever the connection breaks; the returned function ends that. */
  onLost(lost: () => void): () => void {
    this.lostListeners.add(lost);
    return () => this.lostListeners.delete(lost);
  }

  /** Calls `notified` for each notification on `channel`, across reconnects; the returned function ends that. */
  listen(channel: string, notified: (payload: string) => void): () => void {
    const listeners = this.channels.get(channel) ?? new Set();
    if (listeners.size === 0) {
      this.channels.set(channel, listeners);
      this.query(`LISTEN "${channel}"`).catch(() => {}); // Every new connection listens to all channels.
    }
    listeners.add(notified);
    return () => listeners.delete(notified);
  }

  /**
   * Notifies the listeners of `channel`, soon and without waiting. Calls that come while one is under way become one,
   * with the payload of the last. It is a transaction of its own, not part of the write that it announces: a transaction that
   * notifies holds a lock over the whole cluster until it is flushed (PreCommit_Notify in PostgreSQL's async.c), and
   * would make every service commit in turn.
   */
  notify(channel: string, payload = ''): void {
    if (this.notifying.has(channel)) {
      this.notifying.set(channel, payload);
      return;
    }
    this.notifying.set(channel, undefined);
    this.query('SELECT pg_notify($1, $2)', [channel, payload])
      .catch(() => {}) // Readers also poll.
      .finally(() => {
        const next = this.notifying.get(channel);
        this.notifying.delete(channel);
        if (next !== undefined && !this.closed) this.notify(channel, next);
      });
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.connection?.client.end().catch(() => {});
  }

  private async connect(): Promise<pg.Client> {
    if (this.closed) throw new Error('This session is closed.');
    this.connection ??= this.open();
    return this.connection.ready;
  }

  private open(): { client: pg.Client; ready: Promise<pg.Client> } {
    const client = new PostgresConnection({
      connectionString: this.url,
      application_name: this.name,
      connectionTimeoutMillis: 1_500,
      query_timeout: this.answerMs,
      // Nothing on this connection needs to survive a crash of the server, so nothing waits for its disk.
      settings: { ...SERVER_KEEPALIVE, synchronous_commit: 'off' },
    });
    client.on('error', () => this.drop(client));
    client.on('end', () => this.drop(client));
    client.on('notification', ({ channel, payload }) => this.dispatch(channel, payload ?? ''));
    const ready = this.prepare(client);
    ready.catch(() => this.drop(client));
    return { client, ready };
  }

  private async prepare(client: pg.Client): Promise<pg.Client> {
    await client.connect();
    const listens = [...this.channels.keys()].map((channel) => `LISTEN "${channel}"`);
    if (listens.length > 0) await client.query(listens.join(';'));
    // A notification may have been missed while there was no connection.
    for (const channel of this.channels.keys()) this.dispatch(channel, '');
    return client;
  }

  private dispatch(channel: string, payload: string): void {
    this.channels.get(channel)?.forEach((listener) => listener(payload));
  }

  /** A client reports its end more than once, and the last report may come when it has a successor already. */
  private drop(client: pg.Client): void {
    if (this.connection?.client !== client) return;
    this.connection = undefined;
    void client.end().catch(() => {});
    if (this.closed) return;
    this.lostListeners.forEach((lost) => lost());
    if (this.channels.size > 0) this.reconnectLater();
  }

  private reconnectLater(): void {
    void this.clock.sleep(500).then(() => {
      if (!this.closed && this.connection === undefined) this.connect().catch(() => {});
    });
  }
}
