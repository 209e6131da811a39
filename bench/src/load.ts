/** Load from inside this process: clients that do one thing after the other, and what it took them. */
import type { Sample, Samples } from './row.js';

/**
 * `clients` of them call `operation`, each again as soon as its last call is done, for `ms` milliseconds.
 * Returns `rate` (calls per second), `p50Ms`, `p99Ms` and `calls`.
 */
export async function load(
  clients: number,
  ms: number,
  operation: (client: number, call: number) => Promise<unknown>,
): Promise<Sample> {
  const latencies: number[] = [];
  const begin = performance.now();
  const end = begin + ms;
  await Promise.all(
    Array.from({ length: clients }, async (_, client) => {
      for (let call = 0, started = begin; started < end; call++) {
        await operation(client, call);
        const now = performance.now();
        latencies.push(now - started);
        started = now;
      }
    }),
  );
  return { ...summary(latencies), rate: (latencies.length * 1_000) / (performance.now() - begin) };
}

/** One client that calls each operation in turn, for `ms` milliseconds. Returns `p50Ms`, `p99Ms` and `calls` of each. */
export async function alternately(
  ms: number,
  operations: Readonly<Record<string, () => Promise<unknown>>>,
): Promise<Samples> {
  const each = Object.entries(operations).map(([name, operation]) => ({ name, operation, latencies: [] as number[] }));
  const end = performance.now() + ms;
  while (performance.now() < end) {
    for (const { operation, latencies } of each) {
      const begin = performance.now();
      await operation();
      latencies.push(performance.now() - begin);
    }
  }
  return Object.fromEntries(each.map(({ name, latencies }) => [name, summary(latencies)]));
}

/** Does it so many times, one after the other, and returns what each took in milliseconds. */
export async function timed(times: number, operation: () => Promise<unknown>): Promise<number[]> {
  const latencies: number[] = [];
  for (let n = 0; n < times; n++) {
    const begin = performance.now();
    await operation();
    latencies.push(performance.now() - begin);
  }
  return latencies;
}

/** Percentiles of latencies in milliseconds, and how many there are. */
export function summary(latencies: number[]): { p50Ms: number; p99Ms: number; calls: number } {
  const sorted = latencies.sort((a, b) => a - b);
  return { p50Ms: percentile(sorted, 0.5), p99Ms: percentile(sorted, 0.99), calls: sorted.length };
}

/** Of numbers in ascending order: the smallest that is not below the share `p` of them (nearest rank). */
export function percentile(sorted: readonly number[], p: number): number {
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? NaN;
}
