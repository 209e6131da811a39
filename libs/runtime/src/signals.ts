/** Waiting: for a bell, for an abort, and for an answer within a time. */
import type { Clock } from './ports.js';

/**
 * A door bell: `ring()` wakes the waiter, or else the next one to come. Many rings make one wake, which is what readers
 * of a log want: each reads all there is.
 */
export class Bell {
  private rung = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.wake?.();
  }

  /** Forgets the rings so far: for a reader that is about to look anyway. */
  reset(): void {
    this.rung = false;
  }

  /**
   * Resolves at the next ring or when `signal` aborts, and after `pollMs` milliseconds of `clock` where a ring may get
   * lost on its way (another process, a broken connection). One waiter at a time.
   */
  async wait(signal: AbortSignal, poll?: { clock: Clock; pollMs: number }): Promise<void> {
    if (!this.rung && !signal.aborted) {
      let stop!: () => void;
      const woken = new Promise<void>((resolve) => (stop = resolve));
      const sleep = poll && new AbortController();
      this.wake = sleep ? () => abortQuietly(sleep) : stop;
      // Once: a wait that never ends, because its clock belongs to a process that was killed, leaves nothing at the signal.
      signal.addEventListener('abort', this.wake, { once: true });
      await (sleep ? poll.clock.sleep(poll.pollMs, sleep.signal) : woken);
      signal.removeEventListener('abort', this.wake);
      this.wake = undefined;
    }
    this.rung = false;
  }
}

const LATE: unique symbol = Symbol('late');

/**
 * The answer of `call` when it comes within `ms` milliseconds of `clock`, and otherwise what `late` returns or throws:
 * as soon as the time is over or `signal` aborts, even when `call` ignores the signal that it is given. That signal
 * aborts when nobody waits any longer.
 */
export async function within<T, L>(
  clock: Clock,
  ms: number,
  call: (signal: AbortSignal) => Promise<T>,
  late: () => L,
  signal?: AbortSignal,
): Promise<T | L> {
  // Not AbortSignal.any: in Node 20 each signal that it makes leaves an entry with a long-lived `signal` forever.
  const over = new AbortController();
  const stop = () => abortQuietly(over);
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

/** Whether a promise resolves or rejects within `ms` milliseconds of `clock`. */
export async function endsWithin(clock: Clock, ms: number, promise: Promise<unknown>): Promise<boolean> {
  const settled = new AbortController();
  const stop = () => abortQuietly(settled);
  promise.then(stop, stop);
  await clock.sleep(ms, settled.signal);
  return settled.signal.aborted;
}

/** Resolves when `signal` aborts. It keeps a listener until then: not for a signal that outlives many waits. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

/** Aborts with a reason: without one, Node makes an error with a stack each time, which hot paths pay for. */
export function abortQuietly(controller: AbortController): void {
  controller.abort('over');
}
