import type { Clock } from './ports.js';

const LATE: unique symbol = Symbol('late');

/**
 * The answer of `call` when it comes within `ms` milliseconds of `clock`, and otherwise what `late` returns or throws:
 * at once when the time is over or `signal` aborts, also when `call` takes no notice of the signal that it is given.
 * That signal aborts when nobody waits any more.
 */
export async function within<T, L>(
  clock: Clock,
  ms: number,
  call: (signal: AbortSignal) => Promise<T>,
  late: () => L,
  signal?: AbortSignal,
): Promise<T | L> {
  // Not AbortSignal.any: in Node 20 each signal that it makes leaves an entry with a long-lived `signal` for ever.
  const over = new AbortController();
  const stop = () => over.abort('over'); // Without a reason, an error with a stack would be made.
  signal?.addEventListener('abort', stop);
  if (signal?.aborted) stop();
  const timer = clock.sleep(ms, over.signal).then((): typeof LATE => LATE);
  try {
    const answer = await Promise.race([call(over.signal), timer]);
    return answer === LATE ? late() : answer;
  } finally {
    signal?.removeEventListener('abort', stop);
    stop();
  }
}
