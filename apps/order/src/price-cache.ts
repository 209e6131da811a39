/**
 * The prices that orders are placed at, without reading a stream for each line. A price is cached until its stream
 * changes: this instance follows all prices, including those that other instances set. While it cannot follow them, it
 * caches nothing and reads every time.
 *
 *   read ─────────── answer: cached     unless a change was seen in between, or the following ended or began:
 *         ▲                             then the answer may be from before that, and nobody would drop it
 *         └ a change
 */
import { LRUCache } from 'lru-cache';
import { type EventStore, followFromHead, idOf, type Transactor } from '#event-store';
import { type Price, price } from './domain/price.js';

export class PriceCache {
  private readonly prices = new LRUCache<string, Price>({ max: 100_000 });
  /** The cached prices are not older than this position. Undefined while nothing is followed. */
  private followedTo: bigint | undefined;
  /** Counts what makes an answer too old to be cached that was asked for before. */
  private changes = 0;

  constructor(
    private readonly store: EventStore,
    private readonly transactor: Transactor,
  ) {}

  /** The price of a SKU as it was a moment ago, and no older than the position `since`. */
  async of(sku: string, since = 0n): Promise<Price> {
    const cached = this.prices.get(sku);
    if (cached && this.followedTo !== undefined && this.followedTo >= since) return cached;
    const { followedTo, changes } = this;
    const { state } = await this.transactor.load(price, `price-${sku}`);
    if (followedTo !== undefined && changes === this.changes && state.status === 'set') this.prices.set(sku, state);
    return state;
  }

  /** Drops each price that changes, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      await followFromHead(this.store, ['price'], signal, ({ events, position }) => {
        for (const { stream } of events) this.prices.delete(idOf(stream));
        this.changes += events.length;
        this.followedTo = position;
      });
    } finally {
      this.followedTo = undefined;
      this.changes++;
      this.prices.clear();
    }
  }
}
