/**
 * Builds a projection's table anew, from the first event, beside the one that is being read and written meanwhile.
 *
 *                 create             catch up                       catch up to the checkpoint, compare, switch
 *   shadow   ──────●═══════════════════════════════════════════●═══════════════════●──▶ is now the table
 *   table    ──────────── projector and readers at work ───────┼─ readers only ────✕ dropped
 *                                                        projector waits        readers wait for milliseconds
 *
 * The last part is one transaction. Both tables then stand at the same position, so every row that differs is a wrong
 * one, or one that changed code folds in another way. The checkpoint stays where it is, and the projector goes on from it.
 */
import type { EventStore, Recorded } from '#event-store';
import type { Clock, Log } from '#runtime';
import pg from 'pg';
import { checkpointName, PostgresTables } from './postgres.js';
import { advance, readAhead } from './projector.js';
import type { Projection } from './projection.js';
import type { Tables } from './port.js';

/** Events that are folded and written at once: enough for most rows to be written once or twice, not once per event. */
const BATCH = 20_000;

/** The projector waits while the last events are projected: so few may be left. */
const CLOSE = 1_000;

/** How long readers may have to queue behind the switch while it waits for one of them to end. */
const SWITCH_TIMEOUT_MS = 200;
const RETRY_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';

export interface RebuildProgress {
  /** The events read so far, and the position of the last. */
  readonly events: number;
  readonly position: bigint;
  /** The position to reach. It moves on while the service is at work. */
  readonly target: bigint;
}

export interface Rebuilt {
  readonly rows: number;
  readonly events: number;
  /** Rows of the table before that were missing, too many, or not the same. */
  readonly differing: number;
  /** Where both tables stood when they were compared. */
  readonly position: bigint;
}

export interface RebuildOptions {
  readonly projection: Projection<any, any>;
  readonly store: EventStore;
  /** The service's database; two connections are used. */
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Log;
  readonly onProgress?: (progress: RebuildProgress) => void;
}

/**
 * Rebuilds up to the projection's checkpoint and switches.
 * @throws RebuildUnderWay when this projection is being rebuilt already
 */
export async function rebuild({ projection, store, pool, clock, log, onProgress }: RebuildOptions): Promise<Rebuilt> {
  const shadow = { ...projection, name: `${projection.name}:rebuild`, table: `${projection.table}_rebuild` };
  const tables = new PostgresTables(pool);
  const client = await pool.connect();
  client.on('error', () => {}); // Should it break while it is idle, the next query on it fails.
  let events = 0;

  /** Brings the shadow to the position where the table is, and returns that. */
  const catchUp = async (writer: Tables): Promise<bigint> => {
    const target = await writer.checkpoint(projection);
    await projectUpTo(target, writer, shadow, store, clock, (position, read) => {
      events += read;
      onProgress?.({ events, position, target });
    });
    return target;
  };

  /** The transaction that ends it; undefined when a reader was in the way for too long. */
  const switchOver = async (): Promise<Rebuilt | undefined> => {
    const live = pg.escapeIdentifier(projection.table);
    const built = pg.escapeIdentifier(shadow.table);
    const before = events;
    try {
      // Writers and vacuum are kept out from here on, readers are not.
      await client.query(
        `BEGIN; SET LOCAL lock_timeout = '5s'; LOCK TABLE ${live}, ${built} IN SHARE ROW EXCLUSIVE MODE`,
      );
      // Batches that change nothing but the checkpoint are kept out too, and both tables stand still.
      await client.query('SELECT FROM checkpoints WHERE name = $1 FOR UPDATE', [checkpointName(projection)]);
      const position = await catchUp(new PostgresTables(client));
      const compared = await compare(client, projection, shadow);
      const renames = await indexRenames(client, live, built);
      await client.query(`
        SET LOCAL lock_timeout = ${SWITCH_TIMEOUT_MS};
        LOCK TABLE ${live} IN ACCESS EXCLUSIVE MODE;
        DROP TABLE ${live};
        ALTER TABLE ${built} RENAME TO ${live};
        ${renames.join('')}
        COMMIT`);
      return { ...compared, events, position };
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {});
      if ((error as pg.DatabaseError).code !== LOCK_NOT_AVAILABLE) throw error;
      events = before;
      return undefined;
    }
  };

  try {
    await lockRebuild(client, projection);
    try {
      await createShadow(client, projection, shadow);
      let before: number;
      do {
        before = events;
        await catchUp(tables);
      } while (events - before > CLOSE);
      await client.query(`ANALYZE ${pg.escapeIdentifier(shadow.table)}`); // The planner knows it when readers come.
      for (;;) {
        const rebuilt = await switchOver();
        if (rebuilt) return rebuilt;
        log.info({ projection: projection.name }, 'Waiting for others to let go of the table.');
        await clock.sleep(RETRY_MS);
        await catchUp(tables);
      }
    } finally {
      await dropShadow(client, shadow).catch(() => {}); // What a crash leaves behind is replaced by the next rebuild.
      await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [shadow.name]).catch(() => {});
    }
  } finally {
    client.release(true);
  }
}

/** Two rebuilds of one projection would write into one shadow. */
export class RebuildUnderWay extends Error {
  constructor(readonly projection: string) {
    super(`${projection} is being rebuilt already. Wait until that is done, or end it.`);
    this.name = 'RebuildUnderWay';
  }
}

async function lockRebuild(client: pg.PoolClient, projection: Projection<any, any>): Promise<void> {
  const { rows } = await client.query<{ taken: boolean }>(
    'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken',
    [`${projection.name}:rebuild`],
  );
  if (!rows[0]?.taken) throw new RebuildUnderWay(projection.name);
}

/** Makes the shadow: empty, with the table's columns, indexes, constraints and grants. */
async function createShadow(
  client: pg.PoolClient,
  live: Projection<any, any>,
  shadow: Projection<any, any>,
): Promise<void> {
  await dropShadow(client, shadow);
  const table = pg.escapeIdentifier(live.table);
  await client.query(`CREATE TABLE ${pg.escapeIdentifier(shadow.table)} (LIKE ${table} INCLUDING ALL)`);
  const { rows: grants } = await client.query<{ sql: string }>(
    `SELECT format('GRANT %s ON %I TO %s;', privilege_type, $2::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS sql
     FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass($1)`,
    [table, shadow.table],
  );
  await client.query(grants.map(({ sql }) => sql).join(''));
}

async function dropShadow(client: pg.PoolClient, shadow: Projection<any, any>): Promise<void> {
  await client.query(`DROP TABLE IF EXISTS ${pg.escapeIdentifier(shadow.table)}`);
  await client.query('DELETE FROM checkpoints WHERE name = $1', [checkpointName(shadow)]);
}

/** Projects the events up to `target`, which has to be the end of an append, as every checkpoint is. */
async function projectUpTo(
  target: bigint,
  tables: Tables,
  projection: Projection<any, any>,
  store: EventStore,
  clock: Clock,
  onRead: (position: bigint, events: number) => void,
): Promise<void> {
  let from = await tables.checkpoint(projection);
  if (from > target) throw new Error(`The checkpoint of ${projection.table} was set back meanwhile. Start again.`);
  if (from === target) return;
  const head = await store.head();
  if (target > head) {
    throw new Error(
      `The checkpoint, ${target}, is beyond the end of the event store, ${head}: this database was filled from another ` +
        'store. Check EVENT_STORE_URL and DATABASE_URL.',
    );
  }
  let events: Recorded[] = [];
  for await (const batch of readAhead(store, projection, from, NEVER, { clock, quietMs: 0 })) {
    const position = batch.position < target ? batch.position : target;
    const read = batch.events.filter((event) => event.position <= target);
    events = events.concat(read);
    if (events.length >= BATCH || position === target) {
      await advance(tables, projection, from, { events, position });
      from = position;
      events = [];
    }
    onRead(position, read.length);
    if (position === target) return;
  }
  throw new Error(`The event store was closed at position ${from}, before ${target} was reached.`);
}

const NEVER = new AbortController().signal;

/** Counts the shadow's rows, and the keys for which the two tables differ. */
async function compare(
  client: pg.PoolClient,
  live: Projection<any, any>,
  shadow: Projection<any, any>,
): Promise<{ rows: number; differing: number }> {
  const keys = live.keyColumns.map((column) => pg.escapeIdentifier(column));
  const { rows } = await client.query<{ rows: string; differing: string }>(`
    SELECT count(s.${keys[0]}) AS rows,
           count(*) FILTER (WHERE ROW(l.*) IS DISTINCT FROM ROW(s.*)) AS differing
    FROM ${pg.escapeIdentifier(live.table)} AS l FULL JOIN ${pg.escapeIdentifier(shadow.table)} AS s
    USING (${keys.join(', ')})`);
  return { rows: Number(rows[0]!.rows), differing: Number(rows[0]!.differing) };
}

/** Gives the shadow's indexes, and the constraints that rest on them, the names of the table's, found by what they index. */
async function indexRenames(client: pg.PoolClient, live: string, built: string): Promise<string[]> {
  const { rows } = await client.query<{ sql: string }>(
    `WITH indexes AS (
       SELECT indrelid, relname, definition, row_number() OVER (PARTITION BY indrelid, definition ORDER BY indexrelid) AS nth
       FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid,
            concat_ws(' ', indisprimary, indisunique, substring(pg_get_indexdef(indexrelid) FROM ' USING .*')) AS definition
     )
     SELECT format('ALTER INDEX %I RENAME TO %I;', s.relname, l.relname) AS sql
     FROM indexes AS l JOIN indexes AS s USING (definition, nth)
     WHERE l.indrelid = to_regclass($1) AND s.indrelid = to_regclass($2)`,
    [live, built],
  );
  return rows.map(({ sql }) => sql);
}
