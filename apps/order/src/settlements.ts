/** Tells those who wait for an order when nothing more will happen to it, whichever instance it happens on. */
import { type EventStore, followFromHead, idOf } from '#event-store';

export class Settlements {
  private readonly listeners = new Map<string, Set<(position: bigint) => void>>();

  constructor(private readonly store: EventStore) {}

  /**
   * `heard` resolves when the order is settled, with the position of the event that says so, or with nothing when `end`
   * is called. It hears what happens from now on: begin to listen, and then look at the order.
   */
  listen(orderId: string): { heard: Promise<bigint | undefined>; end: () => void } {
    let tell!: (position: bigint | undefined) => void;
    const heard = new Promise<bigint | undefined>((resolve) => (tell = resolve));
    const ofOrder = this.listeners.get(orderId) ?? new Set();
    this.listeners.set(orderId, ofOrder.add(tell));
    const end = () => {
      tell(undefined);
      ofOrder.delete(tell);
      if (ofOrder.size === 0 && this.listeners.get(orderId) === ofOrder) this.listeners.delete(orderId);
    };
    return { heard, end };
  }

  /** Follows the orders until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void> {
    return followFromHead(this.store, ['order'], signal, ({ type, stream, position }) => {
      if (type !== 'OrderCompleted' && type !== 'OrderSettled') return;
      this.listeners.get(idOf(stream))?.forEach((tell) => tell(position));
    });
  }
}
