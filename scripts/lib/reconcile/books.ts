/**
 * The books that are compared: each service's events and tables, and the provider's ledger. They can only be read: the
 * types have no other methods, and every connection that reads refuses writes.
 */
import type pg from 'pg';
import { escapeIdentifier } from 'pg';
import type { Ledger } from '../../../apps/payment/src/simulator/ledger.js';
import { PostgresLedger } from '../../../apps/payment/src/simulator/postgres-ledger.js';
import { type EventStore, withUpcasters } from '#event-store';
import type { AnyProjection, MemoryTables, Row, Tables } from '#projections';
import { PostgresTables } from '#projections/postgres';
import type { Clock } from '#runtime';
import { postgresPool, READ_ONLY } from '#runtime/postgres';
import { Advice } from '../advice.js';
import { type Service, services, shop } from '../../../apps/shop.js';
import { type Database, openEvents } from '../databases.js';

export interface ServiceBooks {
  /** Its events are lifted to their current shapes. */
  readonly store: Pick<EventStore, 'read' | 'subscribe' | 'head'>;
  readonly tables: Pick<Tables, 'checkpoint' | 'load'>;
  /** Every row's primary key, in pages that fit into memory. */
  readonly keys: (projection: AnyProjection) => AsyncIterable<readonly string[]>;
}

export interface Books extends Readonly<Record<Service, ServiceBooks>> {
  readonly ledger: Pick<Ledger, 'entries'>;
}

/**
 * Opens the books of a shop at these URLs.
 * @throws Advice, one line, when some of them cannot be opened
 */
export async function openBooks(
  databases: Readonly<Record<Service, Database>>,
  clock: Clock,
): Promise<{ readonly books: Books; readonly close: () => Promise<void> }> {
  const closes: (() => Promise<void>)[] = [];
  const close = async () => void (await Promise.all(closes.map((close) => close())));
  const open = async (service: Service): Promise<ServiceBooks & { pool: pg.Pool }> => {
    const { databaseUrl } = databases[service];
    const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-reconcile', settings: READ_ONLY, answerMs: 0 });
    closes.push(() => pool.end());
    await pool.query('SELECT');
    const store = await openEvents(service, databases[service], clock);
    closes.push(() => store.close());
    return {
      store: withUpcasters(store, shop[service].upcasters),
      tables: new PostgresTables(pool),
      keys: (projection) => keysInPostgres(pool, projection),
      pool,
    };
  };
  try {
    const opened = await Promise.all(
      services.map(async (service) => {
        const books = await open(service).catch((error: unknown) => {
          if (error instanceof Advice) throw error;
          throw new Advice(`The books of ${service} cannot be opened: ${(error as Error).message}`, { cause: error });
        });
        return [service, books] as const;
      }),
    );
    const books = Object.fromEntries(opened) as Record<Service, Awaited<ReturnType<typeof open>>>;
    return { books: { ...books, ledger: new PostgresLedger(books.payment.pool) }, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const KEYS_AT_ONCE = 10_000;

async function* keysInPostgres(pool: pg.Pool, { table, keyColumns }: AnyProjection): AsyncIterable<string[]> {
  const key = escapeIdentifier(keyColumns[0]!);
  const select = (where: string) =>
    `SELECT ${key}::text AS key FROM ${escapeIdentifier(table)} ${where} ORDER BY ${key} LIMIT ${KEYS_AT_ONCE}`;
  for (let last: string | undefined; ;) {
    const { rows } =
      last === undefined
        ? await pool.query<{ key: string }>(select(''))
        : await pool.query<{ key: string }>(select(`WHERE ${key} > $1`), [last]);
    if (rows.length > 0) yield rows.map((row) => row.key);
    if (rows.length < KEYS_AT_ONCE) return;
    last = rows.at(-1)!.key;
  }
}

/** `ServiceBooks.keys` of tables in memory. */
export async function* keysInMemory(tables: MemoryTables, projection: AnyProjection): AsyncIterable<string[]> {
  yield tables.rows(projection).map((row) => keyOf(projection, row));
}

/** The primary key of a row, which is one column: the id of the stream that the row is about. */
export function keyOf(projection: AnyProjection, row: Row): string {
  return String(row[projection.keyColumns[0]!]);
}
