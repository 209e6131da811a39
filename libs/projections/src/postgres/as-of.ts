/** A read model as of a moment in the past: a shadow table of its own, built from the events up to then. */
import { readAhead, type RecordedEvent } from '#event-store';
import pg from 'pg';
import { shadowTable, createShadowTable, exists, progressOf } from './shadow-tables.js';
import { withRebuildLock, NEVER, RebuildFailed, type RebuildOptions, RebuildRefused } from './rebuild-run.js';
import { currentDigest, checkpointName } from './tables.js';

export type AsOfOptions = RebuildOptions & { readonly until: Date | bigint };

export interface BuiltAsOf {
  readonly table: string;
  readonly rows: number;
  readonly events: number;
  /** The position of the last event that it shows. */
  readonly position: bigint;
}

/**
 * Builds the table as it was, as a separate table that is not updated afterwards. A position means every event up to it,
 * a time every event, in the store's order, up to the first of this projection's that was recorded later; a writer
 * records by its own machine's clock.
 * @throws RebuildRefused when the table exists already, and for a moment in the future or before the first event
 */
export function buildAsOf(options: AsOfOptions): Promise<BuiltAsOf> {
  const { projection, until } = options;
  const at = shadowTable(projection, `at_${typeof until === 'bigint' ? until : compactTime(until)}`);
  return withRebuildLock(options, at.name, async (run) => {
    const found = await progressOf(run.client, at);
    if (!found && (await exists(run.client, at))) {
      throw new RebuildRefused(`The table ${at.table} exists already. To build it again, drop it first.`);
    }
    const target = await positionAsOf(options);
    const builtBy = await currentDigest(run.client, projection);
    if (found?.builtBy !== builtBy) await createShadowTable(run.client, projection, at, builtBy);
    await run.projectUpTo(target, at, run.tables);
    // A table without a checkpoint counts as complete.
    await run.client.query(`DELETE FROM checkpoints WHERE name = ${pg.escapeLiteral(checkpointName(at))}`);
    const table = pg.escapeIdentifier(at.table);
    await run.client.query(`ANALYZE ${table}`);
    const { rows } = await run.client.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
    return { table: at.table, rows: Number(rows[0]!.count), events: run.events, position: target };
  });
}

/** `20261120t120000z`, with milliseconds if there are any: a form for names that need no quotes. */
function compactTime(time: Date): string {
  return time.toISOString().replace('.000', '').replace(/[-:.]/g, '').toLowerCase();
}

/** The position up to which a projection's events belong to a moment. */
async function positionAsOf(options: AsOfOptions): Promise<bigint> {
  const { projection, store, clock, until } = options;
  const asked = typeof until === 'bigint' ? `position ${until}` : until.toISOString();
  const head = await store.head();
  if (typeof until === 'bigint' && until > head) {
    throw new RebuildRefused(`The last event has position ${head}: there is nothing at ${asked} yet.`);
  }
  if (until instanceof Date && until > clock.now()) throw new RebuildRefused(`${asked} is in the future.`);
  const last = await lastEventBefore(options, head);
  if (last === undefined) throw new RebuildRefused(`${projection.name} had no events yet at ${asked}.`);
  return typeof until === 'bigint' ? until : last;
}

/** The position of a projection's last event of a moment, or for a position any event up to it; undefined when none. */
async function lastEventBefore(
  { projection: { categories }, store, clock, signal = NEVER, until }: AsOfOptions,
  head: bigint,
): Promise<bigint | undefined> {
  if (head === 0n) return undefined;
  const isLater = ({ position, recordedAt }: RecordedEvent) =>
    typeof until === 'bigint' ? position > until : Date.parse(recordedAt) > until.getTime();
  let last: bigint | undefined;
  for await (const batch of readAhead(store, { categories, after: 0n, signal }, { clock })) {
    for (const event of batch.events) {
      if (isLater(event)) return last;
      last = event.position;
    }
    if (batch.position >= head || (typeof until === 'bigint' && last !== undefined)) return last;
  }
  throw new RebuildFailed('Ended before the events of that time were found.');
}
