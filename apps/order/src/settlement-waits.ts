/** Requests that wait until nothing more will happen to an order, whichever instance settles it. */
import { type EventStore, followFromHead, idOf } from '#event-store';

export class SettlementWaits {
  /** By order, how to resolve each wait. */
  private readonly waits = new Map<string, Set<(position: bigint) => void>>();

  constructor(private readonly store: EventStore) {}

  /**
   * `settledAt` resolves when the order is settled, with the position of the event that settled it, or with undefined
   * when `end` is called. It only sees what happens from now on: begin the wait first, and then load the order.
   */
  begin(orderId: string): { settledAt: Promise<bigint | undefined>; end: () => void } {
    let resolve!: (position: bigint | undefined) => void;
    const settledAt = new Promise<bigint | undefined>((resolver) => (resolve = resolver));
    const ofOrder = this.waits.get(orderId) ?? new Set();
    this.waits.set(orderId, ofOrder.add(resolve));
    const end = () => {
      resolve(undefined);
      ofOrder.delete(resolve);
      if (ofOrder.size === 0 && this.waits.get(orderId) === ofOrder) this.waits.delete(orderId);
    };
    return { settledAt, end };
  }

  /** Follows the orders until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void> {
    return followFromHead(this.store, ['order'], signal, ({ events }) => {
      for (const { type, stream, position } of events) {
        if (type !== 'OrderCompleted' && type !== 'OrderSettled') continue;
        this.waits.get(idOf(stream))?.forEach((resolve) => resolve(position));
      }
    });
  }
}
