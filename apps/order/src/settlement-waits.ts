/** Requests that wait until nothing more will happen to an order, whichever instance settles it. */
import { idOf, type RecordedEvent } from '#event-store';
import { SETTLES } from './domain/order.js';

export class SettlementWaits {
  /** By order, how to resolve each wait. */
  private readonly waits = new Map<string, Set<(position: bigint) => void>>();

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

  /** Ends the waits for what these events settle. */
  see(events: readonly RecordedEvent[]): void {
    for (const { type, stream, position } of events) {
      if (SETTLES.has(type)) this.waits.get(idOf(stream))?.forEach((resolve) => resolve(position));
    }
  }
}
