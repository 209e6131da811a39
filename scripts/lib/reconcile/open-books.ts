/** The books of a shop on Postgres. They are apart from their types, since a simulated world has its books in memory. */
import type pg from 'pg';
import { escapeIdentifier } from 'pg';
import { PostgresLedger } from '../../../apps/payment/src/simulator/postgres-ledger.js';
import { type Service, services, shop } from '../../../apps/shop.js';
import { withUpcasters } from '#event-store';
import type { AnyProjection } from '#projections';
import { PostgresTables } from '#projections/postgres';
import type { Clock } from '#runtime';
import { postgresPool, READ_ONLY } from '#runtime/postgres';
import { Advice } from '../advice.js';
import { type Database, openEvents } from '../databases.js';
import type { Books, ServiceBooks } from './books.js';

/**
 * Opens the books of a shop at these URLs. A server that does not answer a statement within `answerMs` milliseconds counts as
 * away; 0, the default, waits for it.
 * @throws Advice, one line, when some of them cannot be opened
 */
export async function openBooks(
  databases: Readonly<Record<Service, Database>>,
  clock: Clock,
  { answerMs = 0 } = {},
): Promise<{ readonly books: Books; readonly close: () => Promise<void> }> {
  const closes: (() => Promise<void>)[] = [];
  const close = async () => void (await Promise.all(closes.map((close) => close())));
  const open = async (service: Service): Promise<ServiceBooks & { pool: pg.Pool }> => {
    const { databaseUrl } = databases[service];
    const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-reconcile', settings: READ_ONLY, answerMs });
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
