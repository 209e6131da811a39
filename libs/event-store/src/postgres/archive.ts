/**
 * Moves old events of the Postgres event store to its archive (schema.ts), a few thousand at a time, so that no append
 * waits long. The store can be in use meanwhile, because it reads from both. Events are chosen by age, not by whether
 * their order is finished: a stream whose beginning is archived is read and written as before.
 */
import type pg from 'pg';
import { assertInstalled } from './event-store.js';

/** Positions that one statement covers. */
const CHUNK = 10_000n;

/**
 * Moves the events that were recorded before `before`. Returns how many. It may be interrupted at any time and called
 * again. `onProgress` receives the share that is done, 0 to 1, and the number of events moved.
 * @throws ServerRefusal when no service has opened the store yet
 */
export async function archive(
  pool: pg.Pool,
  before: Date,
  onProgress: (progress: { share: number; done: number }) => void = () => {},
): Promise<number> {
  await assertInstalled(pool);
  const first = await positionAt(pool, 'min');
  const last = await lastBefore(pool, before, first);
  let done = 0;
  let position = first - 1n;
  while (position < last) {
    position = position + CHUNK < last ? position + CHUNK : last;
    const { rows } = await pool.query<{ moved: string }>('SELECT event_store.archive($1) AS moved', [position]);
    // Plans that were made while the archive was empty would scan all of it. This has them made again.
    if (done === 0 || position === last) await pool.query('ANALYZE event_store.archive');
    done += Number(rows[0]!.moved);
    onProgress({ share: Number(position - first + 1n) / Number(last - first + 1n), done });
  }
  return done;
}

/**
 * The highest position, from `first` on, whose event was recorded before a time, or else the position before `first`.
 * A binary search, because events are recorded in order.
 */
async function lastBefore(pool: pg.Pool, before: Date, first: bigint): Promise<bigint> {
  let found = first - 1n;
  let low = first;
  let high = await positionAt(pool, 'max');
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
