/** The prices that orders are placed at, without reading a stream for each line. */
import { type EventStore, idOf, type Transactor } from '#event-store';
import { type Price, price } from './domain/price.js';
import { FollowedCache } from './followed-cache.js';

export class PriceCache {
  private readonly prices: FollowedCache<Price>;

  constructor(
    store: EventStore,
    private readonly transactor: Transactor,
  ) {
    this.prices = new FollowedCache<Price>(store, 'price', { max: 100_000 });
  }

  /** The price of a SKU as it was a moment ago, and no older than the position `since`. */
  of(sku: string, since = 0n): Promise<Price> {
    const find = async () => (await this.transactor.load(price, `price-${sku}`)).state;
    return this.prices.get(sku, since, find, ({ status }) => status === 'set');
  }

  /** Drops each price that changes, until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void> {
    return this.prices.follow(signal, ({ stream }) => this.prices.drop(idOf(stream)));
  }
}
