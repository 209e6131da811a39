/**
 * The prices that orders are placed at, without reading a stream for each of them. A price is kept until its stream
 * moves: this instance follows all prices, also those that another instance sets. While it cannot follow, it keeps
 * nothing and reads.
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

  /** Forgets what changes, until `signal` aborts. */
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
