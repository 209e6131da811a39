/** The ports of the real machine. */
import { randomUUID } from 'node:crypto';
import { Clock, Ids, Random } from './ports.js';

export class SystemClock extends Clock {
  override now(): Date {
    return new Date();
  }

  override monotonicMs(): number {
    return performance.now();
  }

  /** Not `node:timers/promises`: most sleeps here are cut short, and for each of those it makes an error with a stack. */
  override sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal?.addEventListener('abort', wake);
    });
  }
}

export class SystemIds extends Ids {
  override next(): string {
    return randomUUID();
  }
}

export class SystemRandom extends Random {
  override next(): number {
    return Math.random();
  }
}
