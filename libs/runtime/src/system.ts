/** The ports as the machine has them. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Clock, Ids, Random } from './ports.js';

export class SystemClock extends Clock {
  override now(): Date {
    return new Date();
  }

  override async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    // The one rejection there is, an abort, means what resolving means here: go on and look at the signal.
    await sleep(ms, undefined, { signal }).catch(() => {});
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
