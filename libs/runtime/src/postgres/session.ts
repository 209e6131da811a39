/** What the Postgres adapters share: connections, notifications, leases and checkpoints. */
import pg from 'pg';
import { Checkpoints, type Clock, Leases } from '../ports.js';

/**
 * For connections whose queries have their indexes: a plan that is kept from when a table was empty would scan the table
 * when it is full.
 */
export const BY_INDEX = '-c enable_seqscan=off';

/** A pool whose callers hear within 1.5 s that the server cannot be reached. `max` counts connections. */
export function postgresPool(url: string, { max = 8, name = 'larder', options = '' } = {}): pg.Pool {
  const pool = new pg.Pool({
    connectionString: url,
    max,
    application_name: name,
    options,
    connectionTimeoutMillis: 1_500,
    keepAlive: true,
  });
  // An idle connection that the server closes is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => {});
  return pool;
}

/** The server notices within about 10 s that a machine is gone which could not say so, and frees what its session held. */
export const SERVER_KEEPALIVE = '-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3';

/**
 * One connection kept open for what belongs to a session: LISTEN and advisory locks. It is made anew when it breaks,
 * and tells its users that whatever they held is gone.
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
  ) {}

  /** Runs one statement on this session, after those before it, connecting first where needed. */
  query<R extends pg.QueryResultRow>(sql: string, values: unknown[] = []): Promise<R[]> {
    const result = this.lastQuery.then(async () => {
      const client = await this.connected();
      return (await client.query<R>(sql, values)).rows;
    });
    this.lastQuery = result.catch(() => {});
    return result;
  }

  /** Calls `lost` whenever the connection breaks; the returned function ends that. */
  onLost(lost: () => void): () => void {
    this.lostListeners.add(lost);
    return () => this.lostListeners.delete(lost);
  }

  /** Calls `heard` for each notification on `channel`, across reconnects; the returned function ends that. */
  listen(channel: string, heard: (payload: string) => void): () => void {
    const listeners = this.channels.get(channel) ?? new Set();
    if (listeners.size === 0) {
      this.channels.set(channel, listeners);
      this.query(`LISTEN "${channel}"`).catch(() => {}); // Every new connection listens to all channels.
    }
    listeners.add(heard);
    return () => listeners.delete(heard);
  }

  /**
   * Notifies the listeners of `channel`, soon and without waiting. Calls that come while one is under way become one,
   * with the payload of the last. It is a transaction of its own, not part of the write it tells of: a transaction that
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
      .catch(() => {}) // Readers poll behind the notifications.
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

  private async connected(): Promise<pg.Client> {
    if (this.closed) throw new Error('This session is closed.');
    this.connection ??= this.connect();
    return this.connection.ready;
  }

  private connect(): { client: pg.Client; ready: Promise<pg.Client> } {
    const client = new pg.Client({
      connectionString: this.url,
      application_name: this.name,
      connectionTimeoutMillis: 1_500,
      keepAlive: true,
      // Nothing on this connection needs to survive a crash of the server, so nothing waits for its disk.
      options: `${SERVER_KEEPALIVE} -c synchronous_commit=off`,
    });
    client.on('error', () => this.dropped(client));
    client.on('end', () => this.dropped(client));
    client.on('notification', ({ channel, payload }) => this.heard(channel, payload ?? ''));
    const ready = this.prepare(client);
    ready.catch(() => this.dropped(client));
    return { client, ready };
  }

  private async prepare(client: pg.Client): Promise<pg.Client> {
    await client.connect();
    const listens = [...this.channels.keys()].map((channel) => `LISTEN "${channel}"`);
    if (listens.length > 0) await client.query(listens.join(';'));
    // A notification may have been missed while there was no connection.
    for (const channel of this.channels.keys()) this.heard(channel, '');
    return client;
  }

  private heard(channel: string, payload: string): void {
    this.channels.get(channel)?.forEach((listener) => listener(payload));
  }

  /** A client says more than once that it is gone, and the last of it may come when there is a new one. */
  private dropped(client: pg.Client): void {
    if (this.connection?.client !== client) return;
    this.connection = undefined;
    void client.end().catch(() => {});
    if (this.closed) return;
    this.lostListeners.forEach((lost) => lost());
    if (this.channels.size > 0) this.reconnectLater();
  }

  private reconnectLater(): void {
    void this.clock.sleep(500).then(() => {
      if (!this.closed && this.connection === undefined) this.connected().catch(() => {});
    });
  }
}

/**
 * Leases as session-level advisory locks: the server frees them the moment their holder's connection ends, so a
 * successor takes over within `retryMs` of a crash, and no clock is trusted.
 */
export class PostgresLeases extends Leases {
  private readonly held = new Set<string>();

  constructor(
    private readonly session: PostgresSession,
    private readonly clock: Clock,
    private readonly retryMs = 500,
  ) {
    super();
  }

  override async hold(name: string, signal: AbortSignal, work: (lease: AbortSignal) => Promise<void>): Promise<void> {
    const lost = new AbortController();
    const stopListening = this.session.onLost(() => lost.abort(new Error(`The lease ${name} was lost.`)));
    const lease = AbortSignal.any([signal, lost.signal]);
    try {
      while (!(await this.taken(name))) {
        await this.clock.sleep(this.retryMs, signal);
        if (signal.aborted) return;
      }
      await work(lease);
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopListening();
      if (this.held.delete(name) && !lost.signal.aborted) {
        await this.session
          .query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [`lease:${name}`])
          .catch(() => {});
      }
    }
  }

  /** A session may take its own advisory lock twice, so this object also remembers what it holds. */
  private async taken(name: string): Promise<boolean> {
    if (this.held.has(name)) return false;
    this.held.add(name);
    try {
      const [row] = await this.session.query<{ taken: boolean }>(
        'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken',
        [`lease:${name}`],
      );
      if (!row?.taken) this.held.delete(name);
      return row?.taken ?? false;
    } catch (error) {
      this.held.delete(name);
      throw error;
    }
  }
}

/** Checkpoints in the service's table `checkpoints (name text primary key, position bigint)`. */
export class PostgresCheckpoints extends Checkpoints {
  constructor(private readonly pool: pg.Pool) {
    super();
  }

  override async load(name: string): Promise<bigint> {
    const { rows } = await this.pool.query<{ position: string }>({
      name: 'load_checkpoint',
      text: 'SELECT position FROM checkpoints WHERE name = $1',
      values: [name],
    });
    return BigInt(rows[0]?.position ?? 0);
  }

  override async save(name: string, position: bigint): Promise<void> {
    await this.pool.query({
      name: 'save_checkpoint',
      text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position WHERE checkpoints.position < EXCLUDED.position`,
      values: [name, position],
    });
  }
}
