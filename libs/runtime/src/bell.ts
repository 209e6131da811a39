import type { Clock } from './ports.js';

/**
 * A door bell: `ring()` wakes whoever waits, and a ring that nobody heard wakes the next who comes. Many rings make one
 * wake, which is what readers of a log want: each reads all there is.
 */
export class Bell {
  private rung = false;
  private wake: (() => void) | undefined;

  ring(): void {
    this.rung = true;
    this.wake?.();
  }

  /** Forgets the rings so far: for who is about to look anyway. */
  silence(): void {
    this.rung = false;
  }

  /**
   * Resolves at the next ring or when `signal` aborts, and after `pollMs` milliseconds of `clock` where a ring may get
   * lost on its way (another process, a broken connection). One waiter at a time.
   */
  async heard(signal: AbortSignal, poll?: { clock: Clock; pollMs: number }): Promise<void> {
    if (!this.rung && !signal.aborted) {
      const heard = new AbortController();
      const stop = () => heard.abort('heard'); // Without a reason, an error with a stack would be made.
      this.wake = stop;
      signal.addEventListener('abort', stop);
      if (poll) await poll.clock.sleep(poll.pollMs, heard.signal);
      else await new Promise((resolve) => heard.signal.addEventListener('abort', resolve));
      signal.removeEventListener('abort', stop);
      this.wake = undefined;
    }
    this.rung = false;
  }
}
