/** A read model as of a moment in the past: its table, built from the events up to then, beside the live one. */
import type { RecordedEvent } from '#event-store';
import pg from 'pg';
import { beside, createBeside, exists, standing } from './shadow-tables.js';
import { alone, NEVER, RebuildFailed, type RebuildOptions, RebuildRefused } from './rebuild-run.js';
import { builtByNow, checkpointName } from './tables.js';
import { readAhead } from '../projector.js';

export interface BuiltAsOf {
  readonly table: string;
  readonly rows: number;
  readonly events: number;
  /** The position of the last event that it shows. */
  readonly position: bigint;
}

/**
 * Builds the table as it was, in one of its own that nobody moves on. A position means every event up to it, a time every
 * event, in the store's order, up to the first of this projection's that was recorded later; a writer records by its own
 * machine's clock.
 * @throws RebuildRefused when there is such a table, and for a moment that is to come or at which there was nothing yet
 */
export function buildAsOf(options: RebuildOptions & { readonly until: Date | bigint }): Promise<BuiltAsOf> {
  const { projection, until } = options;
  const at = beside(projection, `at_${typeof until === 'bigint' ? until : compactTime(until)}`);
  return alone(options, at.name, async (run) => {
    const found = await standing(run.client, at);
    if (!found && (await exists(run.client, at))) {
      throw new RebuildRefused(`There is a table ${at.table} already. To build it anew, drop it first.`);
    }
    const target = await positionAsOf(options);
    const builtBy = await builtByNow(run.client, projection);
    if (found?.builtBy !== builtBy) await createBeside(run.client, projection, at, builtBy);
    await run.projectUpTo(target, at, run.tables);
    // Without a checkpoint it counts as done.
    await run.client.query(`DELETE FROM checkpoints WHERE name = ${pg.escapeLiteral(checkpointName(at))}`);
    const table = pg.escapeIdentifier(at.table);
    await run.client.query(`ANALYZE ${table}`);
    const { rows } = await run.client.query<{ count: string }>(`SELECT count(*) FROM ${table}`);
    return { table: at.table, rows: Number(rows[0]!.count), events: run.events, position: target };
  });
}

/** `20261120t120000z`, and with milliseconds where there are any: as it stands in a name that needs no quotes. */
function compactTime(time: Date): string {
  return time.toISOString().replace('.000', '').replace(/[-:.]/g, '').toLowerCase();
}

/** The position of a projection's last event of a moment. */
async function positionAsOf({
  projection,
  store,
  clock,
  signal = NEVER,
  until,
}: RebuildOptions & { readonly until: Date | bigint }): Promise<bigint> {
  const asked = typeof until === 'bigint' ? `position ${until}` : until.toISOString();
  const head = await store.head();
  if (typeof until === 'bigint' && until > head) {
    throw new RebuildRefused(`The last event has position ${head}: there is nothing at ${asked} yet.`);
  }
  if (until instanceof Date && until > clock.now()) throw new RebuildRefused(`${asked} is in the future.`);
  const isLater = ({ position, recordedAt }: RecordedEvent) =>
    typeof until === 'bigint' ? position > until : Date.parse(recordedAt) > until.getTime();
  let last: bigint | undefined;
  search: if (head > 0n) {
    for await (const batch of readAhead(store, projection, 0n, signal, { clock })) {
      for (const event of batch.events) {
        if (isLater(event)) break search;
        last = event.position;
      }
      if (batch.position >= head || (typeof until === 'bigint' && last !== undefined)) break search;
    }
    throw new RebuildFailed('Ended before the events of that time were found.');
  }
  if (last === undefined) throw new RebuildRefused(`${projection.name} had no events yet at ${asked}.`);
  return typeof until === 'bigint' ? until : last;
}
