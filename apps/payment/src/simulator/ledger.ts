/**
 * The books of the simulated provider. They are its own: no other part of Larder writes them, so what they record of an
 * order's money is a second opinion on what the payment service records.
 */
import { type Change, type Entry, type SimulatedPayment, UNASKED } from './payment.js';

/** An entry in the order of the books. */
export interface LedgerEntry extends Entry {
  readonly position: number;
  readonly orderId: string;
  /** ISO 8601, UTC. */
  readonly at: string;
}

/** A payment with which the provider does something by itself. */
export interface StrayPayment {
  readonly orderId: string;
  readonly payment: SimulatedPayment;
}

/** How far back in the books strays are looked for: a minute at full load. */
export const RECENT_ENTRIES = 100_000;
/** How many of them are returned at most: the outbox has room for two webhooks of each. */
export const MOST_STRAYS = 500;

/** The money of one currency, in minor units: exact, also where the sum of many orders is no safe integer. */
export interface Totals {
  readonly currency: string;
  /** Held on customers' money now. */
  readonly heldMinor: bigint;
  readonly capturedMinor: bigint;
  readonly refundedMinor: bigint;
  /** Captured and not refunded. */
  readonly netMinor: bigint;
}

export abstract class Ledger {
  /**
   * Changes one payment. The payment and the entries that `change` returns are stored, all or nothing, before this
   * resolves, and no other change of that payment, from any instance, comes in between. `change` is pure: it runs again
   * when another instance was faster. `now` is the time of the entries.
   */
  abstract change<T>(
    orderId: string,
    now: Date,
    change: (payment: SimulatedPayment | undefined) => Change<T>,
  ): Promise<Change<T>>;

  /**
   * The entries after position `after` (default 0), of all orders or one, by position, at most `limit`. During concurrent
   * writes an entry may appear before the last one that was read; the totals are exact at any time.
   */
  abstract entries(page: {
    readonly orderId?: string;
    readonly after?: number;
    readonly limit: number;
  }): Promise<LedgerEntry[]>;

  /** The payments of the last entries with which the provider does by itself what only a webhook tells, the newest first. */
  abstract strays(): Promise<StrayPayment[]>;

  /** The sums per currency, of all orders or one. */
  abstract totals(orderId?: string): Promise<Totals[]>;
}

/** Books in memory, for tests and simulation. */
export class MemoryLedger extends Ledger {
  private readonly payments = new Map<string, SimulatedPayment>();
  private readonly book: LedgerEntry[] = [];

  override async change<T>(
    orderId: string,
    now: Date,
    change: (payment: SimulatedPayment | undefined) => Change<T>,
  ): Promise<Change<T>> {
    const changed = change(this.payments.get(orderId));
    if (changed.payment) this.payments.set(orderId, changed.payment);
    for (const entry of changed.entries) {
      this.book.push({ ...entry, position: this.book.length + 1, orderId, at: now.toISOString() });
    }
    return changed;
  }

  override async entries(page: { orderId?: string; after?: number; limit: number }): Promise<LedgerEntry[]> {
    const { orderId, after = 0, limit } = page;
    const wanted = this.book.filter((entry) => entry.position > after && (!orderId || entry.orderId === orderId));
    return wanted.slice(0, limit);
  }

  override async strays(): Promise<StrayPayment[]> {
    const orderIds = new Set(
      this.book
        .slice(-RECENT_ENTRIES)
        .reverse()
        .map((entry) => entry.orderId),
    );
    return [...orderIds]
      .map((orderId) => ({ orderId, payment: this.payments.get(orderId)! }))
      .filter(({ payment: { strays } }) => strays && UNASKED.includes(strays))
      .slice(0, MOST_STRAYS);
  }

  override async totals(orderId?: string): Promise<Totals[]> {
    const sums = new Map<string, Totals>();
    for (const { currency, heldMinor, chargedMinor, ...entry } of this.book) {
      if (currency === null || (orderId && entry.orderId !== orderId)) continue;
      const none = { currency, heldMinor: 0n, capturedMinor: 0n, refundedMinor: 0n, netMinor: 0n };
      const sum = sums.get(currency) ?? none;
      sums.set(currency, {
        currency,
        heldMinor: sum.heldMinor + BigInt(heldMinor),
        capturedMinor: sum.capturedMinor + BigInt(Math.max(chargedMinor, 0)),
        refundedMinor: sum.refundedMinor + BigInt(Math.max(0 - chargedMinor, 0)),
        netMinor: sum.netMinor + BigInt(chargedMinor),
      });
    }
    return [...sums.values()].sort((a, b) => (a.currency < b.currency ? -1 : 1));
  }
}
