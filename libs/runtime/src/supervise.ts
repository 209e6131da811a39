import { backoffMs } from './backoff.js';
import type { Runtime } from './ports.js';

/**
 * Runs `work` until `signal` aborts, and restarts it after a growing pause whenever it fails or ends: a server that goes
 * away stops a loop only while it is away. Errors are logged and never thrown. The pause grows up to `capMs`
 * milliseconds; it is short again after a run that lasted longer than `calmMs`.
 */
export async function supervise(
  name: string,
  { clock, random, log }: Pick<Runtime, 'clock' | 'random' | 'log'>,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<void>,
  { capMs = 2_000, calmMs = 10_000 } = {},
): Promise<void> {
  let failures = 0;
  while (!signal.aborted) {
    const startedMs = clock.monotonicMs();
    try {
      await work(signal);
      if (!signal.aborted) log.debug({ loop: name }, 'The loop ended; restarting.');
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ loop: name, err: error }, 'The loop failed; restarting after a pause.');
    }
    failures = clock.monotonicMs() - startedMs > calmMs ? 1 : failures + 1;
    await clock.sleep(backoffMs(failures, random, 50, capMs), signal);
  }
}
