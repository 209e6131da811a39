/**
 * The running balance of an open shop: whether the streams, the read models and the provider's ledger agree about the latest
 * orders. `npm run reconcile` compares everything once; this compares little, again and again.
 *
 *   order's events ─▶ the orders that were spoken of last ─▶ reconcile, of these alone ─▶ told ─▶ a pause ─▶ …
 *
 * A round takes a tenth of the time at most, and none where nothing has happened since the last one that found nothing.
 */
import { isSettled, order } from '../../apps/order/src/domain/order.js';
import type { Balance } from '../../apps/gateway/src/api.js';
import { services } from '../../apps/shop.js';
import { stateAfter } from '#decider';
import { idOf } from '#event-store';
import type { Clock } from '#runtime';
import type { OrderBooks } from './reconcile/order.js';
import { type Books, readEvents, reconcileOrders } from './reconcile/reconcile.js';

const ORDERS = 200;
/** How far back in the events of order they are looked for at first. */
const BACK = 2_000n;
const PAUSE_MS = 3_000;
/** How long a server may take for one answer, before it is said that the books cannot be compared. */
export const BOOKS_ANSWER_MS = 10_000;
/** A pause is at least so many times as long as the round before. */
const PAUSES = 9;

export interface BalanceOptions {
  readonly open: () => Promise<{ readonly books: Books; readonly close: () => Promise<void> }>;
  readonly tell: (balance: Balance) => void;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** How many orders are compared: those that were spoken of last. */
  readonly orders?: number;
  readonly pauseMs?: number;
  /** How long what is wrong has to stay wrong: see ReconcileOptions. */
  readonly doubtMs?: number;
}

/** Tells the balance after every round until `signal` aborts. While the books cannot be read it says why. */
export async function watchBalance(options: BalanceOptions): Promise<void> {
  const { open, tell, clock, signal, orders = ORDERS, pauseMs = PAUSE_MS, doubtMs } = options;
  let latest: Balance = { at: clock.now().toISOString(), orders: 0, open: 0, money: [], disagreements: [] };
  while (!signal.aborted) {
    const opened = await open().catch((error: unknown) => error as Error);
    try {
      if (opened instanceof Error) throw opened;
      const rounds = new Rounds(opened.books, clock, orders, doubtMs);
      while (!signal.aborted) {
        const beganMs = clock.monotonicMs();
        latest = await rounds.next();
        tell(latest);
        await clock.sleep(Math.max(pauseMs, PAUSES * (clock.monotonicMs() - beganMs)), signal);
      }
    } catch (error) {
      tell({ ...latest, problem: error instanceof Error ? error.message : String(error) });
      await clock.sleep(pauseMs, signal);
    } finally {
      if (!(opened instanceof Error)) await opened.close().catch(() => {});
    }
  }
}

class Rounds {
  /** The latest last. */
  private readonly orderIds = new Set<string>();
  private readTo: bigint | undefined;
  private latest: Balance | undefined;
  private heads = '';

  constructor(
    private readonly books: Books,
    private readonly clock: Clock,
    private readonly most: number,
    private readonly doubtMs?: number,
  ) {}

  async next(): Promise<Balance> {
    const heads = await Promise.all(services.map((service) => this.books[service].store.head()));
    const at = this.clock.now().toISOString();
    const isSame = heads.join() === this.heads;
    this.heads = heads.join();
    if (isSame && this.latest?.disagreements.length === 0) return (this.latest = { ...this.latest, at });
    await this.follow(heads[services.indexOf('order')]!);
    const read = new Map<string, OrderBooks>();
    const disagreements: string[] = [];
    const findings = reconcileOrders(this.books, [...this.orderIds], {
      clock: this.clock,
      ...(this.doubtMs !== undefined && { pauseMs: this.doubtMs }),
      onOrder: (books) => read.set(books.orderId, books),
    });
    for await (const { message } of findings) disagreements.push(message);
    const all = [...read.values()];
    const open = all.filter((books) => !isSettled(stateAfter(order, books.order))).length;
    return (this.latest = { at, orders: all.length, open, money: moneyOf(all), disagreements });
  }

  private async follow(head: bigint): Promise<void> {
    const from = this.readTo ?? (head > BACK ? head - BACK : 0n);
    for await (const events of readEvents(this.books.order, ['order'], from)) {
      for (const { stream } of events) this.add(idOf(stream));
    }
    this.readTo = head;
  }

  private add(orderId: string): void {
    this.orderIds.delete(orderId);
    this.orderIds.add(orderId);
    if (this.orderIds.size > this.most) this.orderIds.delete(this.orderIds.values().next().value!);
  }
}

/** What the provider holds and has taken for these orders, by currency. */
function moneyOf(all: readonly OrderBooks[]): Balance['money'] {
  const sums = new Map<string, { heldMinor: number; chargedMinor: number }>();
  for (const { currency, heldMinor, chargedMinor } of all.flatMap(({ ledger }) => ledger)) {
    if (currency === null) continue;
    const sum = sums.get(currency) ?? { heldMinor: 0, chargedMinor: 0 };
    sums.set(currency, {
      heldMinor: sum.heldMinor + heldMinor,
      chargedMinor: sum.chargedMinor + chargedMinor,
    });
  }
  return [...sums].map(([currency, sum]) => ({ currency, ...sum }));
}
