/**
 * The recipients of orders, from where they come in to where they go out, and their end.
 *
 *   recipient ─▶ seal, with the customer's key ─▶ events, read models, dumps … ─▶ open ─▶ an authorized answer
 *                       │                                                          ▲
 *                  key store: one for each customer ───────────────────────────────┘
 *                       ▲
 *   erasure requested ──┴─▶ the key is closed ─▶ all its orders are settled, and RETENTION is over ─▶ the key is erased
 *
 * A key is erased first and the event recorded then, so a crash in between leaves a key to be erased that is gone already.
 * What an event says is erased stays so, whatever the key store says: a store that was restored from a backup has keys
 * again that were erased since. They are not used, and they are erased again.
 */
import { Conflict, DomainError } from '#decider';
import type { Cause, EventStore, Transactor } from '#event-store';
import type { Tables } from '#projections';
import { Busy, type Clock, isUnavailable, type Leases, type Log } from '#runtime';
import { CannotOpen } from '#service';
import type { CustomerKey, CustomerKeys } from './customer-keys/port.js';
import { type Customer, customer, KEY_CLOSED, keysToErase } from './domain/customer.js';
import { isSettled, order } from './domain/order.js';
import { KeyCache } from './key-cache.js';
import { type CustomerErasureRow, customerErasure } from './read-models/customer-erasure.js';
import { digestOf, kidOf, openRecipient, type Recipient, type RecipientOf, sealRecipient } from './recipient.js';

/** How often it is looked for keys that are due. */
const LOOK_MS = 5_000;
/** How often keys are looked for that are there again. */
const RECHECK_MS = 10 * 60_000;
/** How many customers are processed at the same time. */
const MAX_AT_ONCE = 100;
/** How many keys in a row may turn out to be closed until an order is refused. */
const MAX_KEYS_TRIED = 5;

/** A recipient as an order's event carries it. */
export interface SealedRecipient {
  readonly recipient: string;
  readonly recipientDigest: string;
}

/** What has become of a customer's wish that their data be erased. */
export interface Erasure {
  /** `none`: there is nothing that could be erased. */
  readonly status: 'none' | 'kept' | 'requested' | 'erased';
  /** Until when it has to wait at least (ISO 8601). */
  readonly notBefore?: string;
  /** The position at which it is so. */
  readonly position: bigint;
}

export class PersonalData {
  private readonly cache: KeyCache;

  constructor(
    private readonly ports: {
      readonly customerKeys: CustomerKeys;
      readonly store: EventStore;
      readonly transactor: Transactor;
      readonly tables: Tables;
      readonly leases: Leases;
      readonly clock: Clock;
      readonly log: Log;
    },
    private readonly retentionMs: number,
  ) {
    this.cache = new KeyCache(ports.store, ports.customerKeys, ports.clock);
  }

  /**
   * Has `place` place an order with a sealed recipient, under the customer's key. A key that has been closed meanwhile is
   * replaced, and an order that was placed before under another key is compared by that one.
   */
  async placeWith<T>(
    recipient: Recipient,
    of: RecipientOf,
    place: (sealed: SealedRecipient, kid: string) => Promise<T>,
  ): Promise<T> {
    for (let tried = 1; ; tried++) {
      const key = await this.cache.currentOf(of.customerId);
      const sealed = { recipient: sealRecipient(recipient, key, of), recipientDigest: digestOf(recipient, key, of) };
      try {
        return await place(sealed, key.kid);
      } catch (error) {
        if (!(error instanceof DomainError)) throw error;
        if (error.code === 'idempotency-key-reused') {
          const recipientDigest = await this.digestUnderOwnKey(recipient, key, of);
          if (recipientDigest === undefined) throw error;
          return place({ ...sealed, recipientDigest }, key.kid);
        }
        if (!(error instanceof Conflict && error.code === KEY_CLOSED)) throw error;
        if (tried === MAX_KEYS_TRIED) throw new Busy('The keys of the customer are being closed.', { cause: error });
        // By another instance a moment ago, by one that died after it, or before the key store was restored.
        await this.ports.customerKeys.close([key.kid]);
        this.cache.dropCurrent(of.customerId);
      }
    }
  }

  /**
   * The digest by which an order that exists can be compared, when its recipient was sealed with another key than `key`. What
   * is erased cannot be compared any more: then it is that of the order itself.
   */
  private async digestUnderOwnKey(
    recipient: Recipient,
    key: CustomerKey,
    of: RecipientOf,
  ): Promise<string | undefined> {
    const { state } = await this.ports.transactor.load(order, `order-${of.orderId}`, 0n);
    if (state.status === 'none' || !state.terms.recipient || state.terms.customerId !== of.customerId) return undefined;
    const kid = kidOf(state.terms.recipient);
    if (kid === key.kid) return undefined;
    const own = await this.keyNamed(kid, of.customerId);
    return own ? digestOf(recipient, own, of) : state.terms.recipientDigest;
  }

  /** The recipient in the clear; null when it has been erased, at the position `since` at the latest. */
  async open(sealed: string, of: RecipientOf, since = 0n): Promise<Recipient | null> {
    try {
      const key = await this.keyNamed(kidOf(sealed), of.customerId, since);
      return key ? openRecipient(sealed, key, of) : null;
    } catch (error) {
      if (!(error instanceof CannotOpen)) throw error;
      this.ports.log.error({ orderId: of.orderId, err: error }, 'The recipient of an order cannot be opened.');
      return null;
    }
  }

  private keyNamed(kid: string, customerId: string, since = 0n): Promise<CustomerKey | undefined> {
    const { customerKeys, transactor } = this.ports;
    return this.cache.named(kid, since, async () => {
      const key = await customerKeys.find(kid);
      if (!key) return undefined;
      const { state } = await transactor.load(customer, `customer-${customerId}`);
      return state.keys.some((each) => each.kid === kid && each.status === 'erased') ? undefined : key;
    });
  }

  /** Closes the customer's keys, and erases them as soon as it may be: at once, or later in `run`. */
  async requestErasure(customerId: string, cause: Cause): Promise<Erasure> {
    const { transactor, customerKeys, log } = this.ports;
    const command = { type: 'RequestErasure', retentionMs: this.retentionMs } as const;
    const { state } = await transactor.transact(customer, `customer-${customerId}`, command, cause);
    const kids = keysToErase(state).map(({ kid }) => kid);
    this.cache.dropCurrent(customerId);
    try {
      if (kids.length > 0) await customerKeys.close(kids);
      await this.eraseDue(customerId, cause);
    } catch (error) {
      // It is recorded: whoever uses a closed key next closes it in the key store, too, and `run` erases it.
      if (!isUnavailable(error)) throw error;
      log.warn({ customerId, err: error }, 'Personal data cannot be erased yet; retrying.');
    }
    return this.erasureOf(customerId);
  }

  /** How far the erasure of a customer's data has come. */
  async erasureOf(customerId: string): Promise<Erasure> {
    const { state, position } = await this.ports.transactor.load(customer, `customer-${customerId}`);
    return { ...statusOf(state), position };
  }

  /** Erases those of a customer's closed keys whose time has come and whose orders are all settled. */
  async eraseDue(customerId: string, cause: Cause): Promise<void> {
    const { transactor, customerKeys, clock } = this.ports;
    const stream = `customer-${customerId}`;
    const { state } = await transactor.load(customer, stream);
    const now = clock.now().toISOString();
    const kids: string[] = [];
    for (const { kid, notBefore, orders } of keysToErase(state)) {
      if ((notBefore === undefined || notBefore <= now) && (await this.areSettled(orders))) kids.push(kid);
    }
    if (kids.length === 0) return;
    await customerKeys.erase(kids);
    this.cache.drop(customerId, kids);
    await transactor.transact(customer, stream, { type: 'RecordErased', kids }, cause);
  }

  private async areSettled(orders: readonly string[]): Promise<boolean> {
    const { transactor } = this.ports;
    for (const orderId of orders) {
      const stream = `order-${orderId}`;
      // What is settled in the cache is settled.
      const isOver =
        isSettled((await transactor.load(order, stream, 0n)).state) ||
        isSettled((await transactor.load(order, stream)).state);
      if (!isOver) return false;
    }
    return true;
  }

  /** Drops from the cache what is erased, by whichever instance, until `signal` aborts. */
  follow(signal: AbortSignal): Promise<void> {
    return this.cache.follow(signal);
  }

  /** Erases what is due, and again what is there again, until `signal` aborts. One instance at a time does it. */
  async run(signal: AbortSignal): Promise<void> {
    const { leases, clock } = this.ports;
    await leases.hold('erasures', signal, async (lease) => {
      let recheckMs = clock.monotonicMs();
      while (!lease.aborted) {
        await this.forEach('due_at', lease, ({ customer_id }) =>
          this.eraseDue(customer_id, { correlationId: customer_id, causationId: 'erasure' }),
        );
        if (clock.monotonicMs() >= recheckMs) {
          await this.eraseAgain(lease);
          recheckMs = clock.monotonicMs() + RECHECK_MS;
        }
        await clock.sleep(LOOK_MS, lease);
      }
    });
  }

  private async eraseAgain(lease: AbortSignal): Promise<void> {
    const { customerKeys, log } = this.ports;
    await this.forEach('erased_at', lease, async ({ customer_id: customerId, erased }) => {
      const count = await customerKeys.erase(erased);
      if (count > 0) log.warn({ customerId, count }, 'Keys that were erased were there again, and are erased again.');
    });
  }

  /** Processes each row once whose column `column` is not after now, so that one that fails holds up no other. */
  private async forEach(
    column: 'due_at' | 'erased_at',
    lease: AbortSignal,
    process: (row: CustomerErasureRow) => Promise<void>,
  ): Promise<void> {
    const { tables, clock, log } = this.ports;
    const now = clock.now();
    let last: CustomerErasureRow | undefined;
    do {
      const rows = await tables.due(customerErasure, column, now, MAX_AT_ONCE, last);
      last = rows.length === MAX_AT_ONCE ? rows.at(-1) : undefined;
      const results = await Promise.allSettled(rows.map(process));
      for (const [i, result] of results.entries()) {
        if (result.status === 'fulfilled') continue;
        const customerId = rows[i]?.customer_id;
        log.warn({ customerId, err: result.reason }, 'Personal data could not be erased; retrying.');
      }
    } while (last && !lease.aborted);
  }
}

function statusOf(state: Customer): Omit<Erasure, 'position'> {
  const pending = keysToErase(state);
  const notBefore = pending
    .flatMap((key) => key.notBefore ?? [])
    .sort()
    .at(-1);
  if (pending.length > 0) return { status: 'requested', ...(notBefore !== undefined && { notBefore }) };
  if (state.keys.some(({ status }) => status === 'open')) return { status: 'kept' };
  return { status: state.keys.length > 0 ? 'erased' : 'none' };
}
