import type pg from 'pg';
import { Checkpoints } from '../ports.js';

/** Checkpoints in the service's table `checkpoints (name text primary key, position bigint)`. */
export class PostgresCheckpoints extends Checkpoints {
  constructor(private readonly pool: pg.Pool) {
    super();
  }

  override async load(name: string): Promise<bigint> {
    const { rows } = await this.pool.query<{ position: string }>({
      name: 'load_checkpoint',
      text: 'SELECT position FROM checkpoints WHERE name = $1',
      values: [name],
    });
    return BigInt(rows[0]?.position ?? 0);
  }

  /** Does not wait for the server's disk: after its crash, what followed an older checkpoint is done once more. */
  override async save(name: string, position: bigint): Promise<void> {
    await this.pool.query({
      name: 'save_checkpoint',
      text: `INSERT INTO checkpoints (name, position) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position WHERE checkpoints.position < EXCLUDED.position
             RETURNING set_config('synchronous_commit', 'off', true)`,
      values: [name, position],
    });
  }
}
