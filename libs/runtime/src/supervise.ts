import { backoffMs } from './backoff.js';
import type { Runtime } from './ports.js';

/**
 * Runs `work` until `signal` aborts, and starts it again, after a growing pause, whenever it fails or ends: a server
 * that goes away stops a loop for as long as it is gone and not for good. Errors are logged and never thrown. A run
 * that lasted longer than `calmMs` starts the pauses over.
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
    const startedMs = clock.now().getTime();
    try {
      await work(signal);
      if (!signal.aborted) log.debug({ loop: name }, 'The loop ended and starts again.');
    } catch (error) {
      if (signal.aborted) return;
      log.warn({ loop: name, err: error }, 'The loop failed and starts again after a pause.');
    }
    failures = clock.now().getTime() - startedMs > calmMs ? 1 : failures + 1;
    await clock.sleep(backoffMs(failures, random, 50, capMs), signal);
  }
}
