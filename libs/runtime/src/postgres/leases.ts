import { type Clock, Leases } from '../ports.js';
import type { PostgresSession } from './session.js';

const SESSION = 'larder-leases ';

/** What the session of an instance's leases is called, so that every instance can tell who holds one. */
export const leaseSession = (instance: string): string => `${SESSION}${instance}`;

/**
 * Leases as session-level advisory locks: the server frees them the moment their holder's connection ends, so a
 * successor takes over within `retryMs` of a crash, and no clock is trusted. An instance whose work has failed leaves the
 * lease alone for twice that time: others that wait have looked by then, and may be able to do what it cannot.
 */
export class PostgresLeases extends Leases {
  private readonly held = new Set<string>();
  /** By lease, until when it is left to others, in milliseconds of the monotonic clock. */
  private readonly leftUntilMs = new Map<string, number>();

  constructor(
    private readonly session: PostgresSession,
    private readonly clock: Clock,
    private readonly retryMs = 500,
  ) {
    super();
  }

  override async hold(name: string, signal: AbortSignal, work: (lease: AbortSignal) => Promise<void>): Promise<void> {
    await this.leaveToOthers(name, signal);
    while (!signal.aborted) {
      // Anew for each attempt: a session that broke before this one does not count, since the lock is taken on its successor.
      const lost = new AbortController();
      const stopListening = this.session.onLost(() => lost.abort(new Error(`The lease ${name} was lost.`)));
      try {
        if (await this.tryTake(name)) return await work(AbortSignal.any([signal, lost.signal]));
      } catch (error) {
        const failedUnderIt = this.held.has(name) && !lost.signal.aborted;
        if (failedUnderIt) this.leftUntilMs.set(name, this.clock.monotonicMs() + 2 * this.retryMs);
        if (!signal.aborted) throw error;
      } finally {
        stopListening();
        if (this.held.delete(name) && !lost.signal.aborted) await this.give(name);
      }
      await this.clock.sleep(this.retryMs, signal);
    }
  }

  override async holders(names: readonly string[]): Promise<ReadonlyMap<string, string>> {
    const rows = await this.session.query<{ name: string; session: string }>(HOLDERS, [names]);
    return new Map(rows.map(({ name, session }) => [name, session.replace(SESSION, '')]));
  }

  private async leaveToOthers(name: string, signal: AbortSignal): Promise<void> {
    const leftMs = (this.leftUntilMs.get(name) ?? 0) - this.clock.monotonicMs();
    this.leftUntilMs.delete(name);
    if (leftMs > 0) await this.clock.sleep(leftMs, signal);
  }

  private async give(name: string): Promise<void> {
    await this.session.query('SELECT pg_advisory_unlock(hashtextextended($1, 0))', [`lease:${name}`]).catch(() => {});
  }

  /** A session may take its own advisory lock twice, so this object also remembers which ones it holds. */
  private async tryTake(name: string): Promise<boolean> {
    if (this.held.has(name)) return false;
    this.held.add(name);
    try {
      const [row] = await this.session.query<{ taken: boolean }>(
        'SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS taken',
        [`lease:${name}`],
      );
      if (!row?.taken) this.held.delete(name);
      return row?.taken ?? false;
    } catch (error) {
      this.held.delete(name);
      throw error;
    }
  }
}

/** The server shows the 64 bits of an advisory lock's key in two columns of 32. */
const HOLDERS = `
  SELECT name, coalesce(application_name, 'unknown') AS session
  FROM unnest($1::text[]) AS name
  JOIN pg_locks ON locktype = 'advisory' AND granted AND objsubid = 1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (classid::bigint << 32 | objid::bigint) = hashtextextended('lease:' || name, 0)
  JOIN pg_stat_activity USING (pid)`;
