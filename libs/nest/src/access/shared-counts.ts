/**
 * The counts of rate limits that all instances of a service share, in its database. The table is not logged, so a write
 * waits for no disk, and a crash of the server empties it: then everybody may send a few requests more.
 */
import type { Pool } from 'pg';
import { RateLimiterPostgres } from 'rate-limiter-flexible';
import type { Clock } from '#runtime';
import type { SharedCounts } from './rate-limit.js';

const CLEAN_EVERY_MS = 60_000;

export class PostgresCounts implements SharedCounts {
  private readonly limiter: RateLimiterPostgres;

  constructor(private readonly pool: Pool) {
    this.limiter = new RateLimiterPostgres({
      storeClient: pool,
      storeType: 'pool',
      tableName: 'rate_limits',
      tableCreated: true, // By a migration.
      keyPrefix: '',
      points: 0, // What is too many, rate-limit.ts says.
      duration: 0, // And for how long, each call.
      clearExpiredByTimeout: false, // It would go on after the service has stopped: see `clean`.
    });
  }

  async add(key: string, requests: number, seconds: number) {
    const { consumedPoints, msBeforeNext } = await this.limiter.penalty(key, requests, { customDuration: seconds });
    return { requests: consumedPoints, endsInMs: msBeforeNext };
  }

  /** Deletes the counts of windows that have ended, until `signal` aborts. */
  async clean(clock: Clock, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await clock.sleep(CLEAN_EVERY_MS, signal);
      const ended = [clock.now().getTime()];
      // What cannot be deleted now is deleted the next time.
      if (!signal.aborted) await this.pool.query('DELETE FROM rate_limits WHERE expire < $1', ended).catch(() => {});
    }
  }
}
