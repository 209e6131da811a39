import type pg from 'pg';
import { ServerRefusal } from '../servers.js';
import { ANSWER_MS, PostgresConnection } from './connection.js';

const REFUSAL =
  'the pooler before the server gives each transaction another session, and leases, partitions and notifications belong to one. Set pool_mode=session (PgBouncer), or connect to the server itself.';

/** Where others use the pooler meanwhile, a look may meet the same two sessions as the one before by chance. */
const LOOKS = 10;

/**
 * Leases, partitions, notifications and settings belong to a session. A pooler that gives each transaction whatever
 * session is free (PgBouncer's transaction mode) breaks them all without a word, so it is asked for before any is used:
 * two connections must each keep their session, also while the other takes a transaction, in which it has one.
 * @throws ServerRefusal behind such a pooler
 */
export async function assertKeepsSessions(url: string): Promise<void> {
  const [first, second] = [connectionTo(url), connectionTo(url)];
  try {
    await first.connect();
    const ofFirst = await sessionOf(first);
    if (processOf(first) === ofFirst) return; // There is no pooler.
    await second.connect();
    const ofSecond = await sessionOf(second);
    if (ofFirst === ofSecond) throw new ServerRefusal(REFUSAL);
    const a = { connection: first, session: ofFirst };
    const b = { connection: second, session: ofSecond };
    for (let look = 1; look <= LOOKS; look++) {
      // A pooler may give the session that was given back last. Where they take turns, that is the other one's.
      const [one, two] = look % 2 ? [a, b] : [b, a];
      await two.connection.query('BEGIN');
      await assertKept(two);
      await assertKept(one);
      await two.connection.query('ROLLBACK');
      await assertKept(one);
    }
  } finally {
    await Promise.all([first.end(), second.end()]).catch(() => {});
  }
}

async function assertKept({ connection, session }: { readonly connection: pg.Client; readonly session: number }) {
  if ((await sessionOf(connection)) !== session) throw new ServerRefusal(REFUSAL);
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
