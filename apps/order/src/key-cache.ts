/**
 * The customers' keys without asking the key store each time. A key is cached for a minute at most, and as long as this
 * instance follows what is erased, also by other instances: what is erased is dropped when the event arrives. While it
 * cannot follow, it caches nothing and asks every time.
 */
import { LRUCache } from 'lru-cache';
import { type EventStore, followFromHead, idOf, type RecordedEvent } from '#event-store';
import type { Clock } from '#runtime';
import type { CustomerKey, CustomerKeys } from './customer-keys/port.js';
import type { CustomerEvent } from './domain/customer.js';

const MAX_KEYS = 10_000;
const KEPT_MS = 60_000;

export class KeyCache {
  /** By customer, the key that seals. */
  private readonly current;
  /** By its own name. */
  private readonly keys;
  /** What was erased up to this position is not cached. Undefined while nothing is followed. */
  private followedTo: bigint | undefined;
  /** Counts what makes an answer too old to be cached that was asked for before. */
  private changes = 0;

  constructor(
    private readonly store: EventStore,
    private readonly customerKeys: CustomerKeys,
    clock: Clock,
  ) {
    const limits = { max: MAX_KEYS, ttl: KEPT_MS, ttlResolution: 0, perf: { now: () => clock.monotonicMs() } };
    this.current = new LRUCache<string, CustomerKey>(limits);
    this.keys = new LRUCache<string, CustomerKey>(limits);
  }

  /** The key that seals for a customer. It may have been closed a moment ago: the order that uses it finds out. */
  currentOf(customerId: string): Promise<CustomerKey> {
    return this.cached(this.current, customerId, 0n, () => this.customerKeys.current(customerId));
  }

  /** The key of this name, as `find` has it; what was erased up to the position `since` is not found in the cache. */
  named(kid: string, since: bigint, find: () => Promise<CustomerKey | undefined>): Promise<CustomerKey | undefined> {
    return this.cached(this.keys, kid, since, find);
  }

  /** The customer gets another key to seal with. */
  dropCurrent(customerId: string): void {
    this.changes++;
    this.current.delete(customerId);
  }

  drop(customerId: string, kids: readonly string[]): void {
    this.dropCurrent(customerId);
    for (const kid of kids) this.keys.delete(kid);
  }

  /** Drops each key that is closed or erased, until `signal` aborts. */
  async follow(signal: AbortSignal): Promise<void> {
    try {
      await followFromHead(this.store, ['customer'], signal, ({ events, position }) => {
        for (const { type, data, stream } of events as readonly RecordedEvent<CustomerEvent>[]) {
          if (type !== 'CustomerRecipientKept') this.drop(idOf(stream), data.kids);
        }
        this.followedTo = position;
      });
    } finally {
      this.followedTo = undefined;
      this.changes++;
      this.current.clear();
      this.keys.clear();
    }
  }

  private async cached<Found extends CustomerKey | undefined>(
    cache: LRUCache<string, CustomerKey>,
    name: string,
    since: bigint,
    find: () => Promise<Found>,
  ): Promise<Found | CustomerKey> {
    const known = cache.get(name);
    const { followedTo, changes } = this;
    if (known && followedTo !== undefined && followedTo >= since) return known;
    const found = await find();
    if (found && followedTo !== undefined && changes === this.changes) cache.set(name, found);
    return found;
  }
}
