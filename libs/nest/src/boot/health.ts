/**
 * Health, in two questions. `/health/live`: does the process run? Nothing else counts, because a restart would not bring
 * a database back. `/health/ready`: can it answer requests now? Every check that this needs has to pass. A check that it
 * does not need, such as that of the bus, is shown when it fails, and so is a loop that is stuck: the service is degraded,
 * and goes on.
 */
import { type Clock, within } from '#runtime';

/**
 * The result of a check is part of the answer (`{ position, head, lag }`), and may say `status: 'stuck'`. A check fails by
 * throwing.
 */
export type Check = () => Promise<object | void>;

export interface Readiness {
  readonly status: 'ready' | 'degraded' | 'not-ready' | 'stopping';
  readonly checks: Readonly<Record<string, object>>;
}

/**
 * How long a check may take that requests need, and one that they do not: probes wait a second for the answer (Kubernetes'
 * default), and a bus that does not answer must not make them take the service for dead.
 */
const NEEDED_TIMEOUT_MS = 1_000;
const OTHER_TIMEOUT_MS = 500;

/** Probes within this time share an answer, so that frequent probes do not load the servers. */
const CACHE_MS = 250;

export class Health {
  private readonly checks = new Map<string, { readonly check: Check; readonly needed: boolean }>();
  private latest: { readonly atMs: number; readonly readiness: Promise<Readiness> } | undefined;

  /** Set when the service is about to stop: it still answers requests, and shall get no more of them. */
  stopping = false;

  constructor(private readonly clock: Clock) {}

  /** `needed`: requests cannot be answered while it fails. */
  add(name: string, check: Check, { needed = true } = {}): void {
    this.checks.set(name, { check, needed });
  }

  async ready(): Promise<Readiness> {
    if (this.stopping) return { status: 'stopping', checks: {} };
    const nowMs = this.clock.monotonicMs();
    if (!this.latest || nowMs - this.latest.atMs >= CACHE_MS) {
      this.latest = { atMs: nowMs, readiness: this.checkAll() };
    }
    return this.latest.readiness;
  }

  private async checkAll(): Promise<Readiness> {
    const results = await Promise.all(
      [...this.checks].map(async ([name, each]) => [name, await this.bounded(each)] as const),
    );
    const isRed = results.some(([name, { status }]) => status === 'down' && this.checks.get(name)!.needed);
    const isGreen = results.every(([, { status }]) => status === 'up');
    return { status: isRed ? 'not-ready' : isGreen ? 'ready' : 'degraded', checks: Object.fromEntries(results) };
  }

  /** Errors are not shown: their messages may contain the addresses of servers. */
  private bounded({ check, needed }: { check: Check; needed: boolean }): Promise<{ status: 'up' | 'stuck' | 'down' }> {
    const found = async () => ({ status: 'up' as const, ...(await check()) });
    const down = () => ({ status: 'down' }) as const;
    return within(this.clock, needed ? NEEDED_TIMEOUT_MS : OTHER_TIMEOUT_MS, found, down).catch(down);
  }
}
