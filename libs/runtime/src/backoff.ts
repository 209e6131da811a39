import type { Random } from './ports.js';

/**
 * The pause before retry `attempt` (1 is the first), in milliseconds: exponential with equal jitter, half of it fixed and
 * half of it random, so that callers that failed together do not come back together.
 *
 * Source: Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, "Equal Jitter".
 */
export function backoffMs(attempt: number, random: Random, baseMs = 50, capMs = 30_000): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(attempt - 1, 30));
  return Math.ceil(ceiling / 2 + (ceiling / 2) * random.next());
}
