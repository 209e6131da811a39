/**
 * Moves old events of the Postgres event store to its archive (postgres-schema.ts), a few thousand at a time, so that
 * nobody waits long for anything. The store can be at work meanwhile: what is read is read from both. It goes by age, not
 * by whether an order is at its end: a stream whose beginning is archived is read and written as before.
 */
import type pg from 'pg';

/** Events that one statement moves. */
const CHUNK = 10_000n;

/**
 * Moves the events that were recorded before `before`. Returns how many. May be ended at any time, and called again.
 * `onProgress` is told the share that is done, 0 to 1, and how many events that are.
 */
export async function archive(
  pool: pg.Pool,
  before: Date,
  onProgress: (progress: { share: number; done: number }) => void = () => {},
): Promise<number> {
  const first = await positionAt(pool, 'min');
  const last = await lastBefore(pool, before, first);
  let done = 0;
  for (let position = first - 1n; position < last;) {
    position = position + CHUNK < last ? position + CHUNK : last;
    const { rows } = await pool.query<{ moved: string }>('SELECT event_store.archive($1) AS moved', [position]);
    // Plans that were made while the archive was empty would look through all of it. This has them made anew.
    if (done === 0 || position === last) await pool.query('ANALYZE event_store.archive');
    done += Number(rows[0]!.moved);
    onProgress({ share: Number(position - first + 1n) / Number(last - first + 1n), done });
  }
  return done;
}

/**
 * The highest position, from `first` on, whose event was recorded before a time, or else the one before `first`. It is
 * found by halving: events are recorded in order.
 */
async function lastBefore(pool: pg.Pool, before: Date, first: bigint): Promise<bigint> {
  let found = first - 1n;
  let [low, high] = [first, await positionAt(pool, 'max')];
  while (low <= high) {
    const middle = (low + high) / 2n;
    const { rows } = await pool.query<{ position: string; earlier: boolean }>(
      `SELECT position, recorded_at < $2 AS earlier FROM event_store.events
       WHERE position <= $1 ORDER BY position DESC LIMIT 1`,
      [middle, before],
    );
    const event = rows[0];
    if (event === undefined || event.earlier) {
      if (event) found = BigInt(event.position);
      low = middle + 1n;
    } else {
      high = BigInt(event.position) - 1n;
    }
  }
  return found;
}

async function positionAt(pool: pg.Pool, end: 'min' | 'max'): Promise<bigint> {
  const { rows } = await pool.query<{ at: string | null }>(`SELECT ${end}(position) AS at FROM event_store.events`);
  return BigInt(rows[0]?.at ?? 0);
}
