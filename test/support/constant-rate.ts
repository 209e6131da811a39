/** Load at a constant rate, for latencies as customers see them. */
import { setTimeout as sleep } from 'node:timers/promises';

export interface Latencies {
  readonly count: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** What failed, in words. */
  readonly failures: readonly string[];
}

/**
 * Sends `perSecond` requests a second, whether the earlier ones are answered or not, until it is stopped. A latency
 * counts from the moment at which its request was due: a server that hangs for a second delays all that were due then,
 * and each of them is counted (Gil Tene's "coordinated omission" is what happens otherwise).
 */
export function atConstantRate(perSecond: number, request: () => Promise<unknown>): { stop(): Promise<Latencies> } {
  const stopping = new AbortController();
  const latencies: number[] = [];
  const failures: string[] = [];
  const begun = performance.now();
  const sending = (async () => {
    const pending: Promise<void>[] = [];
    for (let i = 0; !stopping.signal.aborted; i++) {
      const due = begun + (i * 1_000) / perSecond;
      const early = due - performance.now();
      if (early > 0) await sleep(early);
      pending.push(
        request().then(
          () => void latencies.push(performance.now() - due),
          (error: unknown) => void failures.push(String(error)),
        ),
      );
    }
    await Promise.all(pending);
  })();
  return {
    async stop() {
      stopping.abort();
      await sending;
      const sorted = latencies.sort((a, b) => a - b);
      const percentile = (p: number) => round(sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN);
      const [p50Ms, p99Ms, maxMs] = [percentile(0.5), percentile(0.99), percentile(1)];
      return { count: sorted.length, p50Ms, p99Ms, maxMs, failures };
    },
  };
}

const round = (ms: number) => Math.round(ms * 10) / 10;
