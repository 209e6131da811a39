/** What a rebuild, a comparison, a rollback and a table of the past have in common: how a table beside is brought forward. */
import type { EventStore, RecordedEvent } from '#event-store';
import type { Clock, Log } from '#runtime';
import pg from 'pg';
import { beside, createBeside, locking, spareTables, standing, unlikeness } from './shadow-tables.js';
import { builtByNow, checkpointName, PostgresTables } from './tables.js';
import { CheckpointMoved, type Tables } from '../port.js';
import type { AnyProjection } from '../projection.js';
import { advance, readAhead } from '../projector.js';

/** Events that are folded and written at once: enough for most rows to be written once or twice, not once per event. */
const BATCH = 10_000;

/** The projector waits while the last events are projected: so few may be left. */
const CLOSE = 1_000;

const RETRY_MS = 1_000;
const LOCK_NOT_AVAILABLE = '55P03';

export interface RebuildProgress {
  /** The events that this run has read so far, and the position of the last. */
  readonly events: number;
  readonly position: bigint;
  /** Where this run began: above 0 when it goes on with what another one built. */
  readonly from: bigint;
  /** The position to reach. It moves on while the service is at work. */
  readonly target: bigint;
}

export interface RebuildOptions {
  readonly projection: AnyProjection;
  readonly store: EventStore;
  /** The service's database; two connections are used. */
  readonly pool: pg.Pool;
  readonly clock: Clock;
  readonly log: Log;
  /** Ends it after the batch under way. What is built by then is kept. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: RebuildProgress) => void;
}

/** It could not be done, for a reason that a person can mend. The message is for that person; the live table is as it was. */
export class RebuildFailed extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RebuildFailed';
  }
}

/** What was asked for makes no sense as things are. Nothing was done. */
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

/** Does the `work` of one rebuild on connections of its own, while it holds the lock `name`. */
export async function alone<T>(options: RebuildOptions, name: string, work: (run: Run) => Promise<T>): Promise<T> {
  const { projection, pool } = options;
  const client = await pool.connect();
  const snapshot = await pool.connect().catch((error: unknown) => {
    client.release(true);
    throw error;
  });
  // Should one break while it is idle, the next query on it fails.
  for (const each of [client, snapshot]) each.on('error', () => {});
  try {
    const { rows } = await client.query<{ taken: boolean }>(
      'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken',
      [name],
    );
    if (!rows[0]?.taken) throw new RebuildUnderWay(projection.name);
    try {
      return await work(new Run(options, client, snapshot));
    } catch (error) {
      throw isOutOfRoom(error) ? await outOfRoom(client, projection, error) : error;
    } finally {
      await client.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [name]).catch(() => {});
    }
  } finally {
    client.release(true);
    snapshot.release(true);
  }
}

export class Run {
  /** Those read so far. */
  events = 0;
  /** The position where it began. */
  private begun: bigint | undefined;
  readonly tables: PostgresTables;

  constructor(
    readonly options: RebuildOptions,
    /** Holds the lock, and builds. */
    readonly client: pg.PoolClient,
    /** Writes the last rows while `client` keeps the others out, and sees both tables as they stood then. */
    readonly snapshot: pg.PoolClient,
  ) {
    this.tables = new PostgresTables(client);
  }

  /** The table of a rebuild, new or left by an earlier run, close behind the live one. */
  async buildBeside(fresh = false): Promise<AnyProjection> {
    const { projection, log } = this.options;
    const built = beside(projection, 'rebuild');
    const builtBy = await builtByNow(this.client, projection);
    const left = await standing(this.client, built);
    const fits =
      left?.builtBy === builtBy &&
      left.position <= (await this.tables.checkpoint(projection)) &&
      (await unlikeness(this.client, projection, built)).length === 0;
    if (!fits || fresh) await createBeside(this.client, projection, built, builtBy);
    if (left && left.position > 0n && !fresh) {
      const [position, name] = [Number(left.position), projection.name];
      if (fits) log.info({ projection: name, position }, `${name} goes on where the last run ended.`);
      else log.info({ projection: name }, `${name} starts over: code or columns are not those of the last run.`);
    }
    await this.approach(built);
    await this.client.query(`ANALYZE ${pg.escapeIdentifier(built.table)}`); // The planner knows it when readers come.
    return built;
  }

  /** Brings a table beside close to the position where the live one is. */
  async approach(other: AnyProjection): Promise<void> {
    let before: number;
    do {
      before = this.events;
      await this.catchUp(other, this.tables);
    } while (this.events - before > CLOSE);
  }

  /**
   * Brings both tables to one position and keeps them there for a transaction, of which `work` is the last part. Those
   * who write to the live table wait for it. From then on `snapshot` sees both as they stood. Returns the position.
   */
  async together(other: AnyProjection, work: (client: pg.PoolClient) => Promise<void>): Promise<bigint> {
    const { projection, clock, log, signal } = this.options;
    const { client, snapshot } = this;
    for (;;) {
      try {
        // Writers and vacuum are kept out from here on, readers are not.
        await client.query(`BEGIN; SET LOCAL lock_timeout = '5s'; ${locking(projection, 'SHARE ROW EXCLUSIVE')}`);
        // So are batches that change nothing but the checkpoint.
        await client.query(
          `INSERT INTO checkpoints (name, position) VALUES ($1, 0)
           ON CONFLICT (name) DO UPDATE SET position = checkpoints.position`,
          [checkpointName(projection)],
        );
        const position = await this.catchUp(other, new PostgresTables(snapshot));
        await snapshot.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
        await snapshot.query('SELECT 1'); // The first statement takes it.
        await work(client);
        await client.query('COMMIT');
        return position;
      } catch (error) {
        for (const each of [client, snapshot]) await each.query('ROLLBACK').catch(() => {});
        if ((error as pg.DatabaseError).code !== LOCK_NOT_AVAILABLE) throw error;
      }
      log.info({ projection: projection.name }, 'Waiting for others to let go of the table.');
      await clock.sleep(RETRY_MS, signal);
      if (signal?.aborted) throw new RebuildFailed('Ended while it waited for the table.');
      await this.catchUp(other, this.tables);
    }
  }

  /** Brings a table beside to the position where the live one is, and returns that. */
  private async catchUp(other: AnyProjection, tables: Tables): Promise<bigint> {
    const target = await tables.checkpoint(this.options.projection);
    await this.projectUpTo(target, other, tables);
    return target;
  }

  /** Projects the events up to `target` into a table beside. */
  async projectUpTo(target: bigint, other: AnyProjection, tables: Tables): Promise<void> {
    for (;;) {
      try {
        return await this.project(target, other, tables);
      } catch (error) {
        // The last write of a run that was killed may still have been under way.
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
    for await (const batch of readAhead(store, other, from, signal, { clock })) {
      const position = batch.position < target ? batch.position : target;
      const read = batch.events.filter((event) => event.position <= target);
      events = events.concat(read);
      if (events.length >= BATCH || position === target) {
        await written;
        written = advance(tables, other, from, { events, position });
        written.catch(() => {}); // The next events are read meanwhile, and then it is awaited.
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

async function outOfRoom(
  client: pg.PoolClient,
  projection: AnyProjection,
  error: pg.DatabaseError,
): Promise<RebuildFailed> {
  const spare = await spareTables(client, projection).catch(() => []);
  const drops = spare.map(({ table, size }) => `DROP TABLE ${table} frees ${size}. `).join('');
  return new RebuildFailed(
    `The database is out of room: ${error.message}. ${projection.table} is as it was. ${drops}` +
      'Make room, and run it again: it goes on from where it is now.',
    { cause: error },
  );
}
