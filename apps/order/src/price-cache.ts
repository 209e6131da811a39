/**
 * The prices that orders are placed at, without reading a stream for each line. A price is cached until its stream
 * changes: this instance follows all prices, including those that other instances set. While it cannot follow them, it
 * caches nothing and reads every time.
 */
import { LRUCache } from 'lru-cache';
import { type EventStore, followFromHead, idOf, type Transactor } from '#event-store';
import { type Price, price } from './domain/price.js';

export class PriceCache {
  private readonly prices = new LRUCache<string, Price>({ max: 100_000 });
  private following = false;

  constructor(
    private readonly store: EventStore,
    private readonly transactor: Transactor,
  ) {}

  /** The price of a SKU as it was a moment ago. */
  async of(sku: string): Promise<Price> {
    const cached = this.prices.get(sku);
    if (cached) return cached;
    const { state } = await this.transactor.load(price, `price-${sku}`);
    if (this.following && state.status === 'set') this.prices.set(sku, state);
    return state;
  }

  /** Drops each price that changes, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      await followFromHead(
        this.store,
        ['price'],
        signal,
        ({ stream }) => this.prices.delete(idOf(stream)),
        () => (this.following = true),
      );
    } finally {
      this.following = false;
      this.prices.clear();
    }
  }
}
