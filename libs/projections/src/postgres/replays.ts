/**
 * Replays that operators ask a service for: a read model is rebuilt, compared with its events, or rolled back.
 *
 *   ask ──▶ waiting ──▶ running ──▶ (the tables are switched) ──▶ done, or failed with the reason
 *                        ▲    │
 *                        └────┘ its instance ends: the next one resumes it
 *
 * They take longer than a request may, so a replay is a row of the table `replays`: whoever asks looks there for how far it
 * is, and it stays as the record of who asked and why. One instance at a time carries them out, one after the other. It
 * notes the switch in the transaction of the switch, so that after a crash nobody switches again: a second rollback
 * would undo the first.
 */
import type pg from 'pg';
import type { EventStore } from '#event-store';
import { Bell, type Clock, isUnavailable, type Leases, type Log } from '#runtime';
import { postgresPool } from '#runtime/postgres';
import type { RowDifference } from './compare.js';
import type { Staleness } from '../built-by.js';
import type { AnyProjection } from '../projection.js';
import { compareWithEvents, rebuild, rollBack } from './rebuild.js';
import { RebuildFailed, type RebuildOptions, type RebuildProgress, RebuildUnderWay } from './rebuild-run.js';
import { progressOf, shadowTable } from './shadow-tables.js';
import type { Database } from './tables.js';

export type ReplayAction = 'rebuild' | 'compare' | 'rollback';

export interface AskedReplay {
  /** A UUID. */
  readonly id: string;
  /** The name of the read model. */
  readonly projection: string;
  readonly action: ReplayAction;
  readonly actor: string;
  readonly reason: string;
  readonly askedAt: Date;
  readonly correlationId?: string | undefined;
}

/** What came of a replay. What is not known, because its instance ended after the switch, is left out. */
export interface ReplayResult {
  readonly events?: number;
  readonly rows?: number;
  /** Rows of a rebuild that differ from the previous table; of a comparison, from the live one. */
  readonly differing?: number;
  /** The first of them. */
  readonly differences?: readonly RowDifference[];
  /** Of the table that is in use after a rollback. */
  readonly stale?: Staleness;
}

/** Numbers as JSON has them: positions are below 2⁵³ here. */
export type ReplayProgress = Readonly<Record<keyof RebuildProgress, number>>;

export interface Replay extends AskedReplay {
  readonly startedAt: Date | undefined;
  readonly switchedAt: Date | undefined;
  readonly endedAt: Date | undefined;
  readonly progress: ReplayProgress | undefined;
  readonly result: ReplayResult | undefined;
  /** Why it failed, and what to do. */
  readonly error: string | undefined;
}

export interface ReplaysOptions {
  readonly databaseUrl: string;
  /** Of that database. */
  readonly pool: pg.Pool;
  /** Returns events in their current shapes. */
  readonly store: EventStore;
  readonly projections: readonly AnyProjection[];
  readonly leases: Leases;
  readonly clock: Clock;
  readonly log: Log;
}

/** Another instance may have been asked, or may have ended in the middle of one. */
const LOOK_EVERY_MS = 5_000;
const SAVE_EVERY_MS = 500;

/** Somebody else has switched the tables for the same replay. */
class CarriedOutElsewhere extends Error {}

export class Replays {
  private readonly bell = new Bell();

  constructor(private readonly options: ReplaysOptions) {}

  /** Has a replay carried out; false when one of its read model is open already, and then does nothing. */
  async ask({ id, projection, action, actor, reason, askedAt, correlationId }: AskedReplay): Promise<boolean> {
    const { rowCount } = await this.options.pool.query(
      `INSERT INTO replays (id, projection, action, actor, reason, asked_at, correlation_id)
       VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (projection) WHERE ended_at IS NULL DO NOTHING`,
      [id, projection, action, actor, reason, askedAt, correlationId],
    );
    this.bell.ring();
    return rowCount === 1;
  }

  async find(id: string): Promise<Replay | undefined> {
    const { rows } = await this.options.pool.query<Row>('SELECT * FROM replays WHERE id = $1', [id]);
    return rows.map(toReplay)[0];
  }

  /** The last that was asked for of each read model. */
  async latest(): Promise<ReadonlyMap<string, Replay>> {
    const { rows } = await this.options.pool.query<Row>(
      `SELECT last.* FROM unnest($1::text[]) AS name CROSS JOIN LATERAL (
         SELECT * FROM replays WHERE projection = name ORDER BY asked_at DESC LIMIT 1) AS last`,
      [this.options.projections.map(({ name }) => name)],
    );
    return new Map(rows.map((row) => [row.projection, toReplay(row)]));
  }

  /** The latest first, at most `limit`; with `after`, only those that follow it in this order. */
  async list(limit: number, after?: Pick<Replay, 'askedAt' | 'id'>): Promise<Replay[]> {
    const { rows } = await this.options.pool.query<Row>(
      `SELECT * FROM replays WHERE $1::timestamptz IS NULL OR (asked_at, id) < ($1, $2::uuid)
       ORDER BY asked_at DESC, id DESC LIMIT $3`,
      [after?.askedAt, after?.id, limit],
    );
    return rows.map(toReplay);
  }

  /** Carries out what is asked for, until `signal` aborts. Several instances may; it fails when a server is away. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if ((await this.open()).length > 0) {
        await this.options.leases.hold('replays', signal, async (lease) => {
          // Anew, under the lease: the instance before may have carried them out.
          for (const replay of await this.open()) if (!lease.aborted) await this.carryOut(replay, lease);
        });
      }
      await this.bell.wait(signal, { clock: this.options.clock, pollMs: LOOK_EVERY_MS });
    }
  }

  /** Those that have not ended, the oldest first. */
  private async open(): Promise<Replay[]> {
    const { rows } = await this.options.pool.query<Row>(
      'SELECT * FROM replays WHERE ended_at IS NULL ORDER BY asked_at, id',
    );
    return rows.map(toReplay);
  }

  private async carryOut(replay: Replay, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.options;
    const { id, action, actor, reason, correlationId } = replay;
    const about = { projection: replay.projection, action, actor, reason, correlationId };
    const projection = this.options.projections.find(({ name }) => name === replay.projection);
    if (!projection) return this.end(id, { error: `This release has no read model ${replay.projection}.` });
    if (replay.switchedAt) return this.end(id, { result: {} });
    await this.change(id, 'started_at = coalesce(started_at, $2)', [clock.now()]);
    try {
      const result = await this.work(replay, projection, signal);
      await this.end(id, { result });
      log.info({ ...about, ...result, differences: undefined }, 'A replay is done.');
    } catch (error) {
      if (signal.aborted || error instanceof CarriedOutElsewhere) return;
      if (error instanceof RebuildUnderWay) {
        log.info(about, 'A replay waits: another one of this read model is at work, by `npm run replay`.');
        return;
      }
      const isForPerson = error instanceof RebuildFailed;
      if (!isForPerson && isUnavailable(error)) throw error;
      log.error({ ...about, err: error }, 'A replay failed.');
      const { message } = error as Error;
      await this.end(id, {
        error: isForPerson ? message : `${projection.name} failed, and its table is as it was: ${message}`,
      });
    }
  }

  private async work({ id, action }: Replay, projection: AnyProjection, signal: AbortSignal): Promise<ReplayResult> {
    const { databaseUrl, store, clock, log } = this.options;
    const pool = postgresPool(databaseUrl, { max: 2, name: 'larder-replay', answerMs: 0 });
    // A comparison of large tables is one statement: a service that stops does not wait for its answer.
    const clients: pg.PoolClient[] = [];
    pool.on('connect', (client) => clients.push(client));
    const cut = () => clients.forEach((client) => void client.end());
    signal.addEventListener('abort', cut);
    let savedMs = -Infinity;
    let saved: Promise<unknown> = Promise.resolve();
    const options: RebuildOptions = {
      projection,
      store,
      pool,
      clock,
      log,
      signal,
      onProgress: ({ events, position, from, target }) => {
        const nowMs = clock.monotonicMs();
        if (nowMs - savedMs < SAVE_EVERY_MS && position !== target) return;
        savedMs = nowMs;
        const progress = { events, position: Number(position), from: Number(from), target: Number(target) };
        // In order, and none after the end. One that is lost is made up for by the next.
        saved = saved.then(() => this.change(id, 'progress = $2', [JSON.stringify(progress)]).catch(() => {}));
      },
      onSwitch: async (client) => {
        const { rowCount } = await client.query(
          'UPDATE replays SET switched_at = $2 WHERE id = $1 AND switched_at IS NULL AND ended_at IS NULL',
          [id, clock.now()],
        );
        if (rowCount !== 1) throw new CarriedOutElsewhere();
      },
    };
    try {
      return await WORK[action](options);
    } finally {
      signal.removeEventListener('abort', cut);
      await saved;
      await pool.end();
    }
  }

  private end(id: string, { result, error }: { result?: ReplayResult; error?: string }): Promise<void> {
    return this.change(id, 'ended_at = $2, result = $3, error = $4', [
      this.options.clock.now(),
      result && JSON.stringify(result),
      error,
    ]);
  }

  /** Changes one that has not ended. */
  private async change(id: string, columns: string, values: readonly unknown[]): Promise<void> {
    await this.options.pool.query(`UPDATE replays SET ${columns} WHERE id = $1 AND ended_at IS NULL`, [id, ...values]);
  }
}

/** The table that a rollback would put back into service, and up to where it shows the events; undefined when there is none. */
export async function previousTable(
  db: Database,
  projection: AnyProjection,
): Promise<{ readonly table: string; readonly position: bigint } | undefined> {
  const before = shadowTable(projection, 'before');
  const progress = await progressOf(db, before);
  return progress && { table: before.table, position: progress.position };
}

const WORK: Readonly<Record<ReplayAction, (options: RebuildOptions) => Promise<ReplayResult>>> = {
  rebuild: async (options) => {
    const { events, rows, differing } = await rebuild(options);
    return { events, rows, differing };
  },
  compare: async (options) => {
    const { events, rows, differing, differences } = await compareWithEvents(options);
    return { events, rows, differing, differences };
  },
  rollback: async (options) => {
    const { events, stale } = await rollBack(options);
    return { events, ...(stale && { stale }) };
  },
};

interface Row {
  id: string;
  projection: string;
  action: ReplayAction;
  actor: string;
  reason: string;
  correlation_id: string | null;
  asked_at: Date;
  started_at: Date | null;
  switched_at: Date | null;
  ended_at: Date | null;
  progress: ReplayProgress | null;
  result: ReplayResult | null;
  error: string | null;
}

function toReplay(row: Row): Replay {
  return {
    id: row.id,
    projection: row.projection,
    action: row.action,
    actor: row.actor,
    reason: row.reason,
    correlationId: row.correlation_id ?? undefined,
    askedAt: row.asked_at,
    startedAt: row.started_at ?? undefined,
    switchedAt: row.switched_at ?? undefined,
    endedAt: row.ended_at ?? undefined,
    progress: row.progress ?? undefined,
    result: row.result ?? undefined,
    error: row.error ?? undefined,
  };
}
