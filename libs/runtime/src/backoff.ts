import type { Random } from './ports.js';

/**
 * The pause before attempt `attempt` (1 is the first retry): exponential with full jitter, so that those who failed
 * together do not come back together. Milliseconds.
 *
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoffMs(attempt: number, random: Random, baseMs = 50, capMs = 30_000): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.ceil(ceiling / 2 + (ceiling / 2) * random.next());
}
