/**
 * The key store in a Postgres database of its own, of which nothing else is a part: whoever has a dump of the events has no
 * key. It makes its table itself, at the first use: the service starts without it.
 */
import { ServerUnavailable } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import { newKey } from './memory.js';
import { type CustomerKey, CustomerKeys } from './port.js';

/** A row stays when its key is erased: that it was, and when, is no secret. */
const TABLE = `
  CREATE TABLE IF NOT EXISTS customer_keys (
    kid         text COLLATE "C" PRIMARY KEY,
    customer_id uuid NOT NULL,
    secret      bytea,
    created_at  timestamptz(3) NOT NULL DEFAULT now(),
    closed_at   timestamptz(3),
    erased_at   timestamptz(3),
    CHECK ((secret IS NULL) = (erased_at IS NOT NULL)),
    CHECK (erased_at IS NULL OR closed_at IS NOT NULL)
  );
  CREATE UNIQUE INDEX IF NOT EXISTS customer_keys_open ON customer_keys (customer_id) WHERE closed_at IS NULL`;

/** Only one instance makes the table: `IF NOT EXISTS` does not keep two apart. */
const LOCK = 'SELECT pg_advisory_xact_lock(7268317)';

/** An answer is waited for as long as a request can wait. */
const ANSWER_MS = 1_000;

/** Asked for by many at once, and rarely: keys are cached. */
const MAX_CONNECTIONS = 4;

/** A wrong password, no such database, one that takes no connections: a store that is being moved or restored is away. */
const LETS_NOBODY_IN = /^(28...|3D000|55000)$/;

export class PostgresCustomerKeys extends CustomerKeys {
  private readonly pool;
  private made: Promise<unknown> | undefined;

  constructor(url: string) {
    super();
    this.pool = postgresPool(url, { max: MAX_CONNECTIONS, name: 'larder-keys', answerMs: ANSWER_MS });
  }

  /** One statement: finds the open key, or makes one; who is late by a moment gets the other's. */
  override async current(customerId: string): Promise<CustomerKey> {
    const { kid, secret } = newKey();
    const [key] = await this.query<CustomerKey>(
      `WITH found AS (SELECT kid, secret FROM customer_keys WHERE customer_id = $1 AND closed_at IS NULL),
            made AS (
              INSERT INTO customer_keys (customer_id, kid, secret) SELECT $1, $2, $3 WHERE NOT EXISTS (SELECT FROM found)
              ON CONFLICT (customer_id) WHERE closed_at IS NULL DO UPDATE SET customer_id = excluded.customer_id
              RETURNING kid, secret
            )
       SELECT kid, secret FROM found UNION ALL SELECT kid, secret FROM made`,
      [customerId, kid, secret],
    );
    return key!;
  }

  override async find(kid: string): Promise<CustomerKey | undefined> {
    const sql = 'SELECT kid, secret FROM customer_keys WHERE kid = $1 AND secret IS NOT NULL';
    return (await this.query<CustomerKey>(sql, [kid]))[0];
  }

  override async close(kids: readonly string[]): Promise<void> {
    await this.query('UPDATE customer_keys SET closed_at = now() WHERE kid = ANY ($1) AND closed_at IS NULL', [kids]);
  }

  override async erase(kids: readonly string[]): Promise<number> {
    const erased = await this.query(
      `UPDATE customer_keys SET secret = NULL, erased_at = now(), closed_at = coalesce(closed_at, now())
       WHERE kid = ANY ($1) AND secret IS NOT NULL RETURNING kid`,
      [kids],
    );
    return erased.length;
  }

  override async ping(): Promise<void> {
    await this.ask('SELECT', []); // As it is: at the start a wrong password is a mistake to tell of.
  }

  override end(): Promise<void> {
    return this.pool.end();
  }

  private async query<Row extends object>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    try {
      return await this.ask<Row>(sql, values);
    } catch (cause) {
      const { code = '' } = cause as { code?: string };
      throw LETS_NOBODY_IN.test(code) ? new ServerUnavailable('The key store lets nobody in.', { cause }) : cause;
    }
  }

  private async ask<Row extends object>(sql: string, values: readonly unknown[]): Promise<Row[]> {
    this.made ??= this.makeTable();
    await this.made;
    return (await this.pool.query<Row>(sql, [...values])).rows;
  }

  /** Several statements in one simple query are one transaction. */
  private makeTable(): Promise<unknown> {
    return this.pool.query(`${LOCK}; ${TABLE}`).catch((error: unknown) => {
      this.made = undefined;
      throw error;
    });
  }
}
