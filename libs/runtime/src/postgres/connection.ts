import type { Socket } from 'node:net';
import pg from 'pg';
import { endOnNonsense, ServerRefusal } from '../servers.js';

/** What a session is to be set to, by the names of Postgres' run-time parameters. */
export type Settings = Readonly<Record<string, string>>;

/** What is not left to the server, the database or the role, because our code relies on it. */
const EVERY_SESSION: Settings = {
  // Prisma sends and reads times without a zone and takes them for UTC; pg reads no other style of dates than ISO.
  TimeZone: 'UTC',
  DateStyle: 'ISO',
  // Whoever waits for a lock has to see what its last holder wrote: event stores, buses and projectors take turns by it.
  default_transaction_isolation: 'read committed',
  // Prisma looks for its tables in no other schema.
  search_path: 'public',
  // Leases, partitions and notifications belong to sessions that say nothing for long.
  idle_session_timeout: '0',
};

/**
 * For connections whose queries all have an index to use: a plan kept from when a table was empty would scan the whole
 * table once it is full.
 */
export const BY_INDEX: Settings = { enable_seqscan: 'off' };

/** The server notices within about 10 s that a machine died without a word, and frees what its session held. */
export const SERVER_KEEPALIVE: Settings = {
  tcp_keepalives_idle: '5',
  tcp_keepalives_interval: '2',
  tcp_keepalives_count: '3',
};

/**
 * How long a statement of a running service waits for its answer, in milliseconds: longer, and the connection counts as
 * dead. Without a limit, one whose server died without a word (power, a firewall, a failover) is waited for until the
 * kernel gives up, which takes from a quarter of an hour to two hours.
 */
export const ANSWER_MS = 10_000;

/**
 * The server ends a statement a little before that: nobody waits for its answer any more, and by then it would only hold
 * locks, memory and a processor. So what is slow costs one statement, and what is silent the connection.
 */
const SERVER_ENDS_AT = 0.9;

const STATEMENT_TIMEOUT = 'statement_timeout';

/** Sets it in milliseconds, unless the server, the database or the role allows less. */
const atMost = (ms: string) =>
  `SELECT set_config(name, '${Number(ms)}', false) FROM pg_settings
   WHERE name = '${STATEMENT_TIMEOUT}' AND (setting = '0' OR setting::int > ${Number(ms)})`;

/** On an idle connection nobody waits for an answer: there the kernel asks, after 4 s and then each second, ten times. */
const KEEPALIVE = { keepAlive: true, keepAliveInitialDelayMillis: 4_000 };

/** Every transaction of the session is read-only. */
export const READ_ONLY: Settings = { default_transaction_read_only: 'on' };

type ConnectionConfig = pg.ClientConfig & { readonly settings?: Settings };

/** The connections of this process, to find those that died together. */
const connected = new Set<PostgresConnection>();

/** Counts questions and answers, so that it is known which came first without a clock. */
let turns = 0;

/**
 * A connection to Postgres: the only class that connects, for pools and by itself, so that every session has EVERY_SESSION.
 *
 * Settings are set once it is connected and not with the start-up packet's `options`, which poolers (PgBouncer) refuse.
 *
 * What makes one connection fall silent rarely hits it alone, and each of a service's connections would be waited for in
 * turn. So with one that does not answer, those to the same server end that have not been heard since it was asked.
 */
export class PostgresConnection extends pg.Client {
  private readonly settings: Settings;
  /** The turn of its last answer or notification. */
  private heard = 0;

  constructor({ settings, ...config }: ConnectionConfig = {}) {
    super({ ...KEEPALIVE, ...config });
    const { query_timeout: answerMs } = (this as unknown as { connectionParameters: pg.ClientConfig })
      .connectionParameters;
    const limit: Settings = answerMs ? { [STATEMENT_TIMEOUT]: `${Math.ceil(answerMs * SERVER_ENDS_AT)}` } : {};
    this.settings = { ...EVERY_SESSION, ...limit, ...settings };
    // Whoever uses the connection learns from his query that it broke; without a listener it would end the process.
    this.on('error', () => {});
    const guard = () => endOnNonsense(this.connection.stream as Socket);
    guard();
    this.connection.on('sslconnect', guard); // With TLS it reads from another stream.
    const hear = () => (this.heard = ++turns);
    for (const sign of ['readyForQuery', 'notificationResponse']) this.connection.on(sign, hear);
    const ask = this.query.bind(this) as (...args: unknown[]) => unknown;
    this.query = ((...args: unknown[]) => {
      const asked = ++turns;
      const answered = args.at(-1);
      const look = (error: unknown) => {
        if (error instanceof Error && error.message === 'Query read timeout') this.endOthers(asked);
      };
      if (typeof answered !== 'function') {
        const result = ask(...args);
        if (result instanceof Promise) result.catch(look);
        return result;
      }
      return ask(...args.slice(0, -1), (error: unknown, result: unknown) => {
        look(error);
        answered(error, result);
      });
    }) as pg.Client['query'];
  }

  override connect(): Promise<pg.Client>;
  override connect(connected: (error: Error) => void): void;
  override connect(connected?: (error: Error) => void): Promise<pg.Client> | void {
    const connecting = super.connect().then(
      () => this.set(),
      (error: unknown) => Promise.reject(asRefusal(error)),
    );
    if (!connected) return connecting;
    connecting.then(() => connected(undefined as never), connected);
  }

  private async set(): Promise<pg.Client> {
    const set = ([name, value]: [string, string]) =>
      name === STATEMENT_TIMEOUT ? atMost(value) : `SET ${pg.escapeIdentifier(name)} = ${pg.escapeLiteral(value)}`;
    try {
      await this.query(Object.entries(this.settings).map(set).join('; '));
      connected.add(this);
      this.once('end', () => connected.delete(this));
      return this;
    } catch (error) {
      void this.end().catch(() => {});
      throw error;
    }
  }

  /** Ends the connections that have said nothing since this one was asked, at turn `asked`, what it did not answer. */
  private endOthers(asked: number): void {
    for (const each of connected) {
      if (each === this) continue; // Whoever asked it learns that from the error.
      const isSameServer = each.host === this.host && each.port === this.port;
      if (!isSameServer || each.heard >= asked) continue;
      // Whoever keeps it lets go of it now, before anyone else can ask it: a pool, a session, a member of a group.
      each.emit('error', new Error('Connection terminated, because its server fell silent'));
      each.connection.stream.destroy();
    }
  }
}

/** Codes of Node's TLS: the certificate is not of an authority that we trust, of another host, or over; it is no PEM file. */
const UNTRUSTED = /CERT|UNABLE_TO_(VERIFY|GET)|^ERR_(TLS|SSL|OSSL)/;

/** A refusal for what only a person can put right; other errors as they are. */
function asRefusal(error: unknown): unknown {
  const { code = '', message } = error as NodeJS.ErrnoException;
  const reason = message.replace(/\s+/g, ' ').replace(/\.$/, '');
  if (UNTRUSTED.test(code)) {
    return new ServerRefusal(
      `the certificate of the server is not trusted (${reason}). Name the authority that signed it with ?sslrootcert= in the URL, or correct the certificate.`,
      { cause: error },
    );
  }
  if (/does not support SSL connections/.test(message)) {
    return new ServerRefusal('the server has no TLS, for which the URL asks (sslmode). Correct one of the two.', {
      cause: error,
    });
  }
  return error;
}

/**
 * A pool whose queries fail within 1.5 s when the server cannot be reached, and within `answerMs` when it falls silent; 0
 * is no limit, for commands whose statements are long. `max` counts connections.
 */
export function postgresPool(
  url: string,
  options: { max?: number; name?: string; settings?: Settings; answerMs?: number } = {},
): pg.Pool {
  const { max = 8, name = 'larder', settings = {}, answerMs = ANSWER_MS } = options;
  const config: pg.PoolConfig & ConnectionConfig = {
    connectionString: url,
    max,
    application_name: name,
    settings,
    connectionTimeoutMillis: 1_500,
    query_timeout: answerMs,
    Client: PostgresConnection,
  };
  const pool = new pg.Pool(config);
  // An idle connection that the server closes is replaced at the next query; without a listener it would end the process.
  pool.on('error', () => {});
  return pool;
}
