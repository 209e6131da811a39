/** What a rebuild, a comparison, a rollback and a table of the past have in common: how a shadow table catches up. */
import { type EventStore, readAhead, type RecordedEvent } from '#event-store';
import type { Clock, Log } from '#runtime';
import pg from 'pg';
import {
  shadowTable,
  createShadowTable,
  lockSql,
  findSpareTables,
  progressOf,
  schemaDifferences,
} from './shadow-tables.js';
import { currentDigest, checkpointName, PostgresTables } from './tables.js';
import { CheckpointMoved, type Tables } from '../port.js';
import type { AnyProjection } from '../projection.js';
import { advance } from '../projector.js';

/** Events that are folded and written together: enough for most rows to be written once or twice, not once per event. */
const BATCH = 10_000;

/** The most events that may be left for the final step, during which the projector waits. */
const CLOSE = 1_000;

const RETRY_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';

export interface RebuildProgress {
  /** The events that this run has read so far, and the position of the last. */
  readonly events: number;
  readonly position: bigint;
  /** Where this run began: above 0 when it resumes an earlier one. */
  readonly from: bigint;
  /** The position to reach. It advances while the service is running. */
  readonly target: bigint;
}

export interface RebuildOptions {
  readonly projection: AnyProjection;
  readonly store: EventStore;
  /** The service's database; two connections are used. */
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends it after the batch under way. What was built by then is kept. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RebuildProgress) => void;
  /** Joins the transaction that switches the tables; what it throws undoes that. */
  readonly onSwitch?: (client: pg.PoolClient) => Promise<void>;
}

/** It failed for a reason that a person can fix. The message is for that person; the live table is unchanged. */
export class RebuildFailed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RebuildFailed';
  }
}

/** The request makes no sense in the current state. Nothing was done. */
export class RebuildRefused extends RebuildFailed {
  override readonly name = 'RebuildRefused';
}

/** Two rebuilds of one projection would write into one table. */
export class RebuildUnderWay extends RebuildFailed {
  override readonly name = 'RebuildUnderWay';
  constructor(projection: string) {
    super(`${projection} is being rebuilt already. Wait until that is done, or end it.`);
  }
}

/** Runs `work` on two dedicated connections while it holds the lock `name`. */
export async function withRebuildLock<T>(
  options: RebuildOptions,
  name: string,
  work: (run: RebuildRun) => Promise<T>,
): Promise<T> {
  const { projection, pool } = options;
  const client = await pool.connect();
  const snapshot = await pool.connect().catch((error: unknown) => {
    client.release(true);
    throw error;
  });
  // If one breaks while it is idle, the next query on it fails.
  for (const each of [client, snapshot]) each.on('error', () => {});
  try {
    const { rows } = await client.query<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken',
      [name],
    );
    if (!rows[0]?.taken) throw new RebuildUnderWay(projection.name);
    try {
      return await work(new RebuildRun(options, client, snapshot));
    } catch (error) {
      throw isOutOfRoom(error) ? await toRebuildFailed(client, projection, error) : error;
    } finally {
      await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name]).catch(() => {});
    }
  } finally {
    client.release(true);
    snapshot.release(true);
  }
}

export class RebuildRun {
  /** The number of events read so far. */
  events = 0;
  /** The position where this run began. */
  private begun: bigint | undefined;
  readonly tables: PostgresTables;

  constructor(
    readonly options: RebuildOptions,
    /** Holds the lock, and builds. */
    readonly client: pg.PoolClient,
    /** Writes the last rows while `client` locks out other writers, and then sees both tables as they were at that point. */
    readonly snapshot: pg.PoolClient,
  ) {
    this.tables = new PostgresTables(client);
  }

  /** Builds the table of a rebuild, or resumes an earlier run's, until it is close behind the live one. */
  async buildShadowTable(fresh = false): Promise<AnyProjection> {
    const { projection, log } = this.options;
    const built = shadowTable(projection, 'rebuild');
    const builtBy = await currentDigest(this.client, projection);
    const left = await progressOf(this.client, built);
    const fits =
      left?.builtBy === builtBy &&
      left.position <= (await this.tables.checkpoint(projection)) &&
      (await schemaDifferences(this.client, projection, built)).length === 0;
    if (!fits || fresh) await createShadowTable(this.client, projection, built, builtBy);
    if (left && left.position > 0n && !fresh) {
      const { name } = projection;
      const position = Number(left.position);
      if (fits) log.info({ projection: name, position }, `${name} resumes where the last run ended.`);
      else log.info({ projection: name }, `${name} starts over: its code or columns have changed since the last run.`);
    }
    await this.catchUp(built);
    await this.client.query(`ANALYZE ${pg.escapeIdentifier(built.table)}`); // So that the planner has statistics when readers come.
    return built;
  }

  /** Brings a shadow table close to the position of the live one. */
  async catchUp(other: AnyProjection): Promise<void> {
    let before: number;
    do {
      before = this.events;
      await this.catchUpOnce(other, this.tables);
    } while (this.events - before > CLOSE);
  }

  /**
   * Brings both tables to one position and keeps them there for a transaction, of which `work` is the last part. Writers
   * to the live table wait for it. From then on `snapshot` sees both tables as they were. Returns the position.
   */
  async atOnePosition(other: AnyProjection, work: (client: pg.PoolClient) => Promise<void>): Promise<bigint> {
    const { projection, clock, log, signal } = this.options;
    const { client, snapshot } = this;
    for (;;) {
      try {
        // Writers and vacuum are locked out from here on, readers are not.
        await client.query(`BEGIN; SET LOCAL lock_timeout = '5s'; ${lockSql(projection, 'SHARE ROW EXCLUSIVE')}`);
        // And so are batches that change only the checkpoint.
        await client.query(
          `INSERT INTO checkpoints (name, position) VALUES ($1, 0)
           ON CONFLICT (name) DO UPDATE SET position = checkpoints.position`,
          [checkpointName(projection)],
        );
        const position = await this.catchUpOnce(other, new PostgresTables(snapshot));
        await snapshot.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await snapshot.query('SELECT 1'); // The first statement takes the snapshot.
        await work(client);
        await client.query('COMMIT');
        return position;
      } catch (error) {
        for (const each of [client, snapshot]) await each.query('ROLLBACK').catch(() => {});
        if ((error as pg.DatabaseError).code !== LOCK_NOT_AVAILABLE) throw error;
      }
      log.info({ projection: projection.name }, 'Waiting for other sessions to release the table.');
      await clock.sleep(RETRY_MS, signal);
      if (signal?.aborted) throw new RebuildFailed('Ended while it waited for the table.');
      await this.catchUpOnce(other, this.tables);
    }
  }

  /** Brings a shadow table to the current position of the live one, and returns that. */
  private async catchUpOnce(other: AnyProjection, tables: Tables): Promise<bigint> {
    const target = await tables.checkpoint(this.options.projection);
    await this.projectUpTo(target, other, tables);
    return target;
  }

  /** Projects the events up to `target` into a shadow table. */
  async projectUpTo(target: bigint, other: AnyProjection, tables: Tables): Promise<void> {
    for (;;) {
      try {
        return await this.project(target, other, tables);
      } catch (error) {
        // The last write of a killed run may still have been under way.
        if (!(error instanceof CheckpointMoved)) throw error;
      }
    }
  }

  private async project(target: bigint, other: AnyProjection, tables: Tables): Promise<void> {
    const { store, clock, onProgress, signal = NEVER } = this.options;
    let from = await tables.checkpoint(other);
    if (from > target) throw new RebuildFailed(`The checkpoint, ${target}, is behind that of ${other.table}, ${from}.`);
    if (from === target) return;
    const head = await store.head();
    if (target > head) {
      throw new RebuildFailed(
        `The checkpoint, ${target}, is beyond the end of the event store, ${head}: this database was filled from ` +
          'another store. Check EVENT_STORE_URL and DATABASE_URL.',
      );
    }
    this.begun ??= from;
    let events: RecordedEvent[] = [];
    let written = Promise.resolve();
    const { categories } = other;
    for await (const batch of readAhead(store, { categories, after: from, signal }, { clock })) {
      const position = batch.position < target ? batch.position : target;
      const read = batch.events.filter((event) => event.position <= target);
      events = events.concat(read);
      if (events.length >= BATCH || position === target) {
        await written;
        written = advance(tables, other, from, { events, position });
        written.catch(() => {}); // Awaited below, while the next events are read.
        from = position;
        events = [];
      }
      this.events += read.length;
      onProgress?.({ events: this.events, position, from: this.begun, target });
      if (position === target) return await written;
    }
    await written;
    throw new RebuildFailed(`Ended at position ${from}, before ${target} was reached.`);
  }
}

export const NEVER = new AbortController().signal;

/** The codes of disk_full, out_of_memory and configuration_limit_exceeded (temp_file_limit) in PostgreSQL's appendix A. */
function isOutOfRoom(error: unknown): error is pg.DatabaseError {
  return error instanceof pg.DatabaseError && ['53100', '53200', '53400'].includes(error.code ?? '');
}

async function toRebuildFailed(
  client: pg.PoolClient,
  projection: AnyProjection,
  error: pg.DatabaseError,
): Promise<RebuildFailed> {
  const spare = await findSpareTables(client, projection).catch(() => []);
  const drops = spare.map(({ table, size }) => `DROP TABLE ${table} frees ${size}. `).join('');
  return new RebuildFailed(
    `The database is out of room: ${error.message}. ${projection.table} is unchanged. ${drops}` +
      'Free some space and run it again: it resumes where it stopped.',
    { cause: error },
  );
}
