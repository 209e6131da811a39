import type pg from 'pg';
import { ServerRefusal } from '../servers.js';
import { ANSWER_MS, PostgresConnection } from './connection.js';

const REFUSAL =
  'the pooler before the server gives each transaction another session, and leases, partitions and notifications belong to one. Set pool_mode=session (PgBouncer), or connect to the server itself.';

/** Where others use the pooler meanwhile, a connection may get the same session twice by chance. */
const LOOKS = 10;

/**
 * Leases, partitions, notifications and settings belong to a session. A pooler that gives each transaction whatever
 * session is free (PgBouncer's transaction mode) breaks them all without a word, so it is asked for before any is used:
 * a second connection takes a transaction, and must not get the session of the first.
 * @throws ServerRefusal behind such a pooler
 */
export async function assertKeepsSessions(url: string): Promise<void> {
  const [first, second] = [connectionTo(url), connectionTo(url)];
  try {
    await first.connect();
    const session = await sessionOf(first);
    if (processOf(first) === session) return; // There is no pooler.
    await second.connect();
    for (let look = 1; look <= LOOKS; look++) {
      await second.query('BEGIN');
      const other = await sessionOf(second);
      if (other === session || (await sessionOf(first)) !== session) throw new ServerRefusal(REFUSAL);
      await second.query('ROLLBACK');
    }
  } finally {
    await Promise.all([first.end(), second.end()]).catch(() => {});
  }
}

const connectionTo = (url: string) =>
  new PostgresConnection({
    connectionString: url,
    application_name: 'larder-start',
    connectionTimeoutMillis: 1_500,
    query_timeout: ANSWER_MS,
  });

/** What BackendKeyData names at the start of a connection: the server's process, or a number of the pooler's own. */
const processOf = (connection: pg.Client) => (connection as unknown as { readonly processID: number }).processID;

async function sessionOf(connection: pg.Client): Promise<number> {
  const { rows } = await connection.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  return rows[0]!.pid;
}
