/**
 * Builds a projection's table anew, from the first event, beside the one that is being read and written meanwhile.
 *
 *              create, or go on            catch up               catch up to the checkpoint, switch
 *   …_rebuild  ──────●══════════════════════════════════════════●══════════════════●──▶ is now the table
 *   table      ──────────── projector and readers at work ──────┼─ readers only ───●──▶ …_before, for a rollback
 *                                                       projector waits     readers wait for milliseconds
 *
 * Rows and checkpoint of the table that is being built are committed together, so a run that was ended, however it was,
 * is gone on with by the next one. While nobody moves the two tables they come to stand at the same position; the switch
 * is one transaction there, and the checkpoint stays where it is: the projector goes on from it.
 *
 * They are compared afterwards, in a snapshot that was taken at that position, so nobody waits for it, however large they
 * are. Every row that differs is a wrong one, or one that changed code folds in another way.
 *
 * A rollback is the same with `…_before` for the new table: it catches up, and changes places with the other.
 */
import type pg from 'pg';
import type { Staleness } from '../built-by.js';
import {
  beside,
  dependents,
  dropBeside,
  exchanging,
  exists,
  locking,
  replacing,
  standing,
  unlikeness,
} from './shadow-tables.js';
import { compare, type Comparison, differences, type RowDifference } from './compare.js';
import { alone, RebuildFailed, type RebuildOptions, RebuildRefused, type Run } from './rebuild-run.js';
import type { AnyProjection } from '../projection.js';

/** How long readers may have to queue behind the switch while it waits for one of them to end. */
const SWITCH_TIMEOUT_MS = 200;

/** Differences that a comparison shows; it counts all. */
const SHOWN = 20;

export interface Rebuilt extends Comparison {
  /** The events that this run has read. */
  readonly events: number;
  /** Where both tables stood when they changed places, and were compared. */
  readonly position: bigint;
  /** The table before, under the name that it has now. */
  readonly before: string;
}

export interface Compared extends Comparison {
  readonly events: number;
  readonly position: bigint;
  /** The first of them in the order of the primary key. */
  readonly differences: readonly RowDifference[];
}

export interface RolledBack {
  /** The events that the table before had missed. */
  readonly events: number;
  readonly position: bigint;
  /** Whether today's code or columns are not those that it was built by. */
  readonly stale: Staleness | undefined;
}

/**
 * Rebuilds up to the projection's checkpoint and switches. What an earlier run has left is gone on with, unless it was
 * built by other code or for other columns, or everything is to be `fresh`.
 * @throws RebuildUnderWay when this projection is being rebuilt already
 * @throws RebuildFailed when the database is out of room, or something else is in the way of the switch
 */
export function rebuild(options: RebuildOptions & { readonly fresh?: boolean }): Promise<Rebuilt> {
  const { projection } = options;
  return alone(options, beside(projection, 'rebuild').name, async (run) => {
    await refuseDependents(run);
    const built = await run.buildBeside(options.fresh);
    const before = beside(projection, 'before');
    const position = await run.together(built, async (client) => {
      await refuseUnlike(client, projection, built);
      const exchange = await exchanging(client, projection, built);
      // Whoever reads the table before is waited for first: nobody else has to wait for that.
      await client.query(`
        SET LOCAL lock_timeout = ${SWITCH_TIMEOUT_MS};
        ${(await exists(client, before)) ? locking(before) : ''}
        ${locking(projection)}
        ${exchange}
        ${replacing(before, built)}`);
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
        `${projection.table} is built anew and in use, but could not be compared with the table before: ${why}.`,
        { cause: error },
      );
    }
  });
}

/**
 * Builds as a rebuild does, compares, and leaves the table as it is. What was built stays for a rebuild, which goes on
 * with it, unless there is nothing to mend.
 * @throws RebuildRefused when the projection has not begun
 */
export function compareWithEvents(options: RebuildOptions & { readonly fresh?: boolean }): Promise<Compared> {
  const { projection } = options;
  return alone(options, beside(projection, 'rebuild').name, async (run) => {
    if ((await run.tables.checkpoint(projection)) === 0n) {
      throw new RebuildRefused(`${projection.name} has projected nothing yet: there is nothing to compare.`);
    }
    const built = await run.buildBeside(options.fresh);
    const position = await run.together(built, (client) => refuseUnlike(client, projection, built));
    const compared = await compare(run.snapshot, projection, built);
    const shown = compared.differing > 0 ? await differences(run.snapshot, projection, built, SHOWN) : [];
    await run.snapshot.query('COMMIT'); // It has read what is dropped now.
    if (compared.differing === 0) await dropBeside(run.client, built);
    return { ...compared, events: run.events, position, differences: shown };
  });
}

/**
 * Puts the table that the last rebuild, or rollback, took out of service back into it, once it has caught up.
 * @throws RebuildRefused when there is none, or a migration has come between
 */
export function rollBack(options: RebuildOptions): Promise<RolledBack> {
  const { projection } = options;
  const before = beside(projection, 'before');
  return alone(options, beside(projection, 'rebuild').name, async (run) => {
    if (!(await standing(run.client, before))) {
      throw new RebuildRefused(`There is no ${before.table}: nothing to go back to.`);
    }
    const parts = await unlikeness(run.client, projection, before);
    if (parts.length > 0) {
      throw new RebuildRefused(
        `A migration has come between ${projection.table} and ${before.table} (${parts.join(', ')}): there is no way back to it.`,
      );
    }
    await refuseDependents(run);
    await run.approach(before);
    const position = await run.together(before, async (client) => {
      const exchange = await exchanging(client, projection, before);
      await client.query(
        `SET LOCAL lock_timeout = ${SWITCH_TIMEOUT_MS}; ${locking(before)} ${locking(projection)} ${exchange}`,
      );
    });
    return { events: run.events, position, stale: await run.tables.staleness(projection) };
  });
}

async function refuseDependents({ client, options: { projection } }: Run): Promise<void> {
  const names = await dependents(client, projection);
  if (names.length > 0) {
    throw new RebuildFailed(
      `${names.join(', ')} would stay with the old ${projection.table}: drop it before, and make it anew afterwards.`,
    );
  }
}

async function refuseUnlike(client: pg.PoolClient, projection: AnyProjection, built: AnyProjection): Promise<void> {
  const parts = await unlikeness(client, projection, built);
  if (parts.length > 0) {
    throw new RebuildFailed(
      `${projection.table} was changed meanwhile (${parts.join(', ')}): it is as it was then, and a new run starts over.`,
    );
  }
}
