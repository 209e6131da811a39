/**
 * The customers' keys without asking the key store each time. A key is cached for a minute at most, and as long as this
 * instance follows what is erased, also by other instances: what is erased is dropped when the event arrives.
 */
import { type EventStore, idOf, type RecordedEvent } from '#event-store';
import type { Clock } from '#runtime';
import type { CustomerKey, CustomerKeys } from './customer-keys/port.js';
import type { CustomerEvent } from './domain/customer.js';
import { FollowedCache } from './followed-cache.js';

/** A customer has two entries: the key that seals, and the same key by its own name. */
const MAX_ENTRIES = 20_000;
const KEPT_MS = 60_000;

export class KeyCache {
  private readonly keys: FollowedCache<CustomerKey>;

  constructor(
    store: EventStore,
    private readonly customerKeys: CustomerKeys,
    clock: Clock,
  ) {
    const limits = { max: MAX_ENTRIES, ttl: KEPT_MS, ttlResolution: 0, perf: { now: () => clock.monotonicMs() } };
    this.keys = new FollowedCache<CustomerKey>(store, 'customer', limits);
  }

  /** The key that seals for a customer. It may have been closed a moment ago: the order that uses it finds out. */
  currentOf(customerId: string): Promise<CustomerKey> {
    return this.keys.get(currentOf(customerId), 0n, () => this.customerKeys.current(customerId));
  }

  /** The key of this name, as `find` has it; what was erased up to the position `since` is not found in the cache. */
  named(kid: string, since: bigint, find: () => Promise<CustomerKey | undefined>): Promise<CustomerKey | undefined> {
    return this.keys.get(named(kid), since, find);
  }

  /** The customer gets another key to seal with. */
  dropCurrent(customerId: string): void {
    this.keys.drop(currentOf(customerId));
  }

  drop(customerId: string, kids: readonly string[]): void {
    this.keys.drop(currentOf(customerId), ...kids.map(named));
  }

  /** Drops each key that is closed or erased, until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void> {
    return this.keys.follow(signal, (event) => {
      const { type, data, stream } = event as RecordedEvent<CustomerEvent>;
      if (type !== 'CustomerRecipientKept') this.drop(idOf(stream), data.kids);
    });
  }
}

const currentOf = (customerId: string) => `current ${customerId}`;
const named = (kid: string) => `named ${kid}`;
