/** Tells those who wait for an order when nothing more will happen to it, whichever instance it happens on. */
import { type EventStore, idOf } from '#event-store';
import type { Clock } from '#runtime';

export class Settlements {
  private readonly waiting = new Map<string, Set<(position: bigint) => void>>();

  constructor(
    private readonly store: EventStore,
    private readonly clock: Clock,
  ) {}

  /**
   * `over` resolves when the order is settled, with the position of the event that says so, or with nothing when `ms`
   * milliseconds have passed, `signal` aborts or `end` is called. It hears what happens from now on: begin to wait, and
   * then look at the order.
   */
  wait(orderId: string, ms: number, signal: AbortSignal): { over: Promise<bigint | undefined>; end: () => void } {
    // Not AbortSignal.any, as in within.ts.
    const enough = new AbortController();
    const stop = () => enough.abort('enough'); // Without a reason, an error with a stack would be made.
    let settledAt: bigint | undefined;
    const heard = (position: bigint) => {
      settledAt = position;
      stop();
    };
    const waiters = this.waiting.get(orderId) ?? new Set();
    this.waiting.set(orderId, waiters.add(heard));
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const over = this.clock.sleep(ms, enough.signal).then(() => {
      signal.removeEventListener('abort', stop);
      waiters.delete(heard);
      if (waiters.size === 0 && this.waiting.get(orderId) === waiters) this.waiting.delete(orderId);
      return settledAt;
    });
    return { over, end: stop };
  }

  /** Follows the orders until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    const after = await this.store.head();
    for await (const { events } of this.store.subscribe({ categories: ['order'], after, signal })) {
      for (const { type, stream, position } of events) {
        if (type !== 'OrderCompleted' && type !== 'OrderSettled') continue;
        this.waiting.get(idOf(stream))?.forEach((heard) => heard(position));
      }
    }
  }
}
