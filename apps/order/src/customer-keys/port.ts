/**
 * The port of the key store: a key for each customer, in a store of its own, which is in no dump of the events. Erasing a
 * key erases everything that was sealed with it. Its promises are stated here, and `contract.ts` proves them for every
 * adapter.
 */
export interface CustomerKey {
  /** Its name in what it sealed: chance, so that a key that is gone is never made again. */
  readonly kid: string;
  /** 32 bytes. */
  readonly secret: Buffer;
}

export abstract class CustomerKeys {
  /** The customer's key for sealing. When there is none that is open, one is made: the same for all who ask at once. */
  abstract current(customerId: string): Promise<CustomerKey>;

  /** A key, open or closed; undefined when it has been erased, or never was. */
  abstract find(kid: string): Promise<CustomerKey | undefined>;

  /** From now on they seal nothing: `current` gives another. What they sealed can be opened. Those that are unknown are left out. */
  abstract close(kids: readonly string[]): Promise<void>;

  /** Forgets the keys for good, closed or not. Returns how many of them there were still. */
  abstract erase(kids: readonly string[]): Promise<number>;

  /** @throws when the store cannot be reached */
  abstract ping(): Promise<void>;

  /** Frees connections. */
  abstract end(): Promise<void>;
}
