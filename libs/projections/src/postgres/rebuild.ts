/**
 * Rebuilds a projection's table from the first event as a shadow table, while the live one is read and written.
 *
 *              create, or resume           catch up               catch up to the checkpoint, switch
 *   …_rebuild  ──────●══════════════════════════════════════════●══════════════════●──▶ is now the table
 *   table      ──────────── projector and readers at work ──────┼─ readers only ───●──▶ …_before, for a rollback
 *                                                       projector waits     readers wait for milliseconds
 *
 * Rows and checkpoint of the shadow table are committed together, so an interrupted run is resumed by the next one. While
 * writers are locked out, both tables reach the same position; the switch is one transaction there, and the checkpoint
 * stays where it is: the projector continues from it.
 *
 * They are compared afterwards, in a snapshot that was taken at that position, so nothing waits for the comparison,
 * however large the tables are. Every row that differs was wrong, or changed code folds it differently.
 *
 * A rollback is the same with `…_before` as the new table: it catches up, and the two are swapped.
 */
import type pg from 'pg';
import type { Staleness } from '../built-by.js';
import {
  shadowTable,
  findDependents,
  dropShadowTable,
  swapSql,
  exists,
  lockSql,
  replaceSql,
  progressOf,
  schemaDifferences,
} from './shadow-tables.js';
import { compare, type Comparison, listDifferences, type RowDifference } from './compare.js';
import { withRebuildLock, RebuildFailed, type RebuildOptions, RebuildRefused, type RebuildRun } from './rebuild-run.js';
import type { AnyProjection } from '../projection.js';

/** How long readers may queue behind the switch while it waits for one of them to finish. */
const SWITCH_TIMEOUT_MS = 200;

/** How many differences a comparison shows; it counts all of them. */
const SHOWN = 20;

export interface Rebuilt extends Comparison {
  /** The events that this run has read. */
  readonly events: number;
  /** Where both tables were when they were swapped, and compared. */
  readonly position: bigint;
  /** The current name of the previous table. */
  readonly before: string;
}

export interface Compared extends Comparison {
  readonly events: number;
  readonly position: bigint;
  /** The first differences in the order of the primary key. */
  readonly differences: readonly RowDifference[];
}

export interface RolledBack {
  /** The events that the previous table had missed. */
  readonly events: number;
  readonly position: bigint;
  /** Whether its code or columns have changed since it was built. */
  readonly stale: Staleness | undefined;
}

/**
 * Rebuilds up to the projection's checkpoint and switches. Resumes an earlier run, unless that used other code or other
 * columns, or `fresh` is set.
 * @throws RebuildUnderWay when this projection is being rebuilt already
 * @throws RebuildFailed when the database is out of room, or something else prevents the switch
 */
export function rebuild(options: RebuildOptions & { readonly fresh?: boolean }): Promise<Rebuilt> {
  const { projection } = options;
  return withRebuildLock(options, shadowTable(projection, 'rebuild').name, async (run) => {
    await refuseDependents(run);
    const built = await run.buildShadowTable(options.fresh);
    const before = shadowTable(projection, 'before');
    const position = await run.atOnePosition(built, async (client) => {
      await refuseSchemaChange(client, projection, built);
      const exchange = await swapSql(client, projection, built);
      await options.onSwitch?.(client);
      // Readers of the previous table are waited for first, because nobody queues behind that lock.
      await client.query(`
        SET LOCAL lock_timeout = ${SWITCH_TIMEOUT_MS};
        ${(await exists(client, before)) ? lockSql(before) : ''}
        ${lockSql(projection)}
        ${exchange}
        ${replaceSql(before, built)}`);
    });
    try {
      return {
        ...(await compare(run.snapshot, before, projection)),
        events: run.events,
        position,
        before: before.table,
      };
    } catch (error) {
      const why = (error as Error).message;
      throw new RebuildFailed(
        `${projection.table} is rebuilt and in use, but could not be compared with the previous table: ${why}.`,
        { cause: error },
      );
    }
  });
}

/**
 * Builds as a rebuild does, compares, and leaves the table as it is. If there are differences, what was built is kept
 * for a rebuild, which resumes with it.
 * @throws RebuildRefused when the projection has not begun
 */
export function compareWithEvents(options: RebuildOptions & { readonly fresh?: boolean }): Promise<Compared> {
  const { projection } = options;
  return withRebuildLock(options, shadowTable(projection, 'rebuild').name, async (run) => {
    if ((await run.tables.checkpoint(projection)) === 0n) {
      throw new RebuildRefused(`${projection.name} has projected nothing yet: there is nothing to compare.`);
    }
    const built = await run.buildShadowTable(options.fresh);
    const position = await run.atOnePosition(built, (client) => refuseSchemaChange(client, projection, built));
    const compared = await compare(run.snapshot, projection, built);
    const shown = compared.differing > 0 ? await listDifferences(run.snapshot, projection, built, SHOWN) : [];
    await run.snapshot.query('COMMIT'); // It still holds a lock on the table that is dropped next.
    if (compared.differing === 0) await dropShadowTable(run.client, built);
    return { ...compared, events: run.events, position, differences: shown };
  });
}

/**
 * Puts the table that the last rebuild, or rollback, took out of service back into service, once it has caught up.
 * @throws RebuildRefused when there is none, or after a migration in between
 */
export function rollBack(options: RebuildOptions): Promise<RolledBack> {
  const { projection } = options;
  const before = shadowTable(projection, 'before');
  return withRebuildLock(options, shadowTable(projection, 'rebuild').name, async (run) => {
    if (!(await progressOf(run.client, before))) {
      throw new RebuildRefused(`There is no ${before.table}: nothing to roll back to.`);
    }
    const parts = await schemaDifferences(run.client, projection, before);
    if (parts.length > 0) {
      throw new RebuildRefused(
        `A migration separates ${projection.table} from ${before.table} (${parts.join(', ')}): it cannot be rolled back.`,
      );
    }
    await refuseDependents(run);
    await run.catchUp(before);
    const position = await run.atOnePosition(before, async (client) => {
      const exchange = await swapSql(client, projection, before);
      await options.onSwitch?.(client);
      await client.query(
        `SET LOCAL lock_timeout = ${SWITCH_TIMEOUT_MS}; ${lockSql(before)} ${lockSql(projection)} ${exchange}`,
      );
    });
    return { events: run.events, position, stale: await run.tables.staleness(projection) };
  });
}

async function refuseDependents({ client, options: { projection } }: RebuildRun): Promise<void> {
  const names = await findDependents(client, projection);
  if (names.length > 0) {
    throw new RebuildFailed(
      `${names.join(', ')} would stay with the old ${projection.table}: drop it first, and recreate it afterwards.`,
    );
  }
}

async function refuseSchemaChange(
  client: pg.PoolClient,
  projection: AnyProjection,
  built: AnyProjection,
): Promise<void> {
  const parts = await schemaDifferences(client, projection, built);
  if (parts.length > 0) {
    throw new RebuildFailed(
      `${projection.table} was changed meanwhile (${parts.join(', ')}): nothing was switched, and a new run starts over.`,
    );
  }
}
