import type pg from 'pg';
import { type Snapshot, Snapshots } from '../snapshots.js';

/** Snapshots in the service's table `snapshots`. A crash of the server may lose the latest ones. */
export class PostgresSnapshots extends Snapshots {
  constructor(private readonly pool: pg.Pool) {
    super();
  }

  override async load(stream: string): Promise<Snapshot | undefined> {
    const { rows } = await this.pool.query<Snapshot>({
      name: 'load_snapshot',
      text: `SELECT stream, folded_by AS "foldedBy", revision, event_id AS "eventId", state FROM snapshots WHERE stream = $1`,
      values: [stream],
    });
    return rows[0];
  }

  override async save({ stream, foldedBy, revision, eventId, state }: Snapshot): Promise<void> {
    await this.pool.query({
      name: 'save_snapshot',
      text: `WITH saved AS (
               INSERT INTO snapshots AS s (stream, folded_by, revision, event_id, state) VALUES ($1, $2, $3, $4, $5)
               ON CONFLICT (stream) DO UPDATE SET (folded_by, revision, event_id, state) =
                 ROW(EXCLUDED.folded_by, EXCLUDED.revision, EXCLUDED.event_id, EXCLUDED.state)
               WHERE s.folded_by <> EXCLUDED.folded_by OR s.revision < EXCLUDED.revision)
             SELECT set_config('synchronous_commit', 'off', true)`,
      values: [stream, foldedBy, revision, eventId, JSON.stringify(state)],
    });
  }
}
