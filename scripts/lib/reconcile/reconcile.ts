/**
 * Compares the books of a shop, in memory that does not grow with the number of its orders.
 *
 *   order's events ─────┐
 *   inventory's ────────┼─ side by side, ─▶ the orders that were ─▶ judged, a page ─▶ those in doubt are read ─▶ findings
 *   payment's ──────────┤  in the order     spoken of lately         at a time        again by themselves, twice
 *   the ledger ─────────┘  of time                                                       ▲
 *   the tables' keys ─────────── those that no stream has ───────────────────────────────┘
 *
 * Everything is read once, from front to back, and what is written of one order stands close together in time: so the
 * first look at an order needs no query but one for a page of rows. An order that was spoken of again after it was
 * looked at is looked at again. What a first look has seen may be incomplete, so it only raises doubts. An order in doubt
 * is read again by itself, and what is wrong then has to be wrong still after a pause: the services speak one after
 * another.
 *
 * A row whose order nobody speaks of is not met on the way. The rolls of the ids that were met, and of each table's keys,
 * are compared at the end.
 */
import { LRUCache } from 'lru-cache';
import pLimit from 'p-limit';
import type { LedgerEntry } from '../../../apps/payment/src/simulator/ledger.js';
import { categoryOf, idOf, type RecordedEvent } from '#event-store';
import type { Clock } from '#runtime';
import { type Service, services } from '../../../apps/shop.js';
import type { Books, ServiceBooks } from './books.js';
import type { Finding } from './finding.js';
import { emptyBooks, judge, type OrderBooks, orderCategories } from './order.js';
import {
  allReadModels,
  caughtUp,
  judgeRows,
  orderReadModels,
  type Rows,
  rowsOf,
  skuReadModels,
  SkuRows,
} from './read-models.js';
import { Roll } from './roll.js';
import { StockAudit, stockCategories } from './stock.js';

export type { Books, Finding };

export interface Progress {
  /** Of all events, 0 to 1. */
  readonly share: number;
  /** Orders met so far. */
  readonly orders: number;
}

export interface ReconcileOptions {
  readonly clock: Clock;
  /** How long what is wrong has to stay wrong: longer than the services take to answer each other. */
  readonly pauseMs?: number;
  /** Whether nothing is under way in the shop: then whatever has no end is found too. */
  readonly atRest?: boolean;
  readonly onProgress?: (progress: Progress) => void;
  /** Is given the books of each order that is read by itself: of one that is read twice, twice. */
  readonly onOrder?: (books: OrderBooks) => void;
}

/** Orders that are kept while there may be more to come about them. With more of them under way at once, it takes longer. */
const WINDOW = 2_000;
/** Orders that are looked at together. */
const PAGE = 500;
/** Orders that are read at the same time. */
const READS = 16;
/** A finding is told once, unless this many other orders and SKUs came between. */
const REMEMBERED = 100_000;

/** What a step of the walk brings: a batch of a service's events, or a page of the ledger. */
interface Step {
  readonly from: Service | 'ledger';
  /** When its first event was recorded; empty when there is none. */
  readonly since: string;
  readonly events: readonly RecordedEvent[];
  readonly entries: readonly LedgerEntry[];
  readonly position: bigint;
}

/** Everything that disagrees, as it is found, each thing once. It only reads; a shop that is open may go on. */
export async function* reconcile(books: Books, options: ReconcileOptions): AsyncGenerator<Finding, void, void> {
  const told = new LRUCache<string, true>({ max: REMEMBERED });
  for await (const finding of new Reconciliation(books, options).run()) {
    const what = JSON.stringify([finding.kind, finding.orderId, finding.sku, finding.books]);
    if (!told.has(what)) yield finding;
    told.set(what, true);
  }
}

/** What disagrees about these orders: the same, without a walk through all books. */
export async function* reconcileOrders(
  books: Books,
  orderIds: readonly string[],
  options: ReconcileOptions,
): AsyncGenerator<Finding, void, void> {
  yield* new Reconciliation(books, options).about(orderIds);
}

class Reconciliation {
  /** The orders that were spoken of lately, the latest last. */
  private readonly window = new Map<string, OrderBooks>();
  private readonly inDoubt = new Set<string>();
  private readonly rolls = { order: new Roll(), reservation: new Roll(), payment: new Roll() };
  private readonly stock = new StockAudit();
  private readonly skuRows = skuReadModels.map((model) => new SkuRows(model));
  /** The last position of each category, and how far each service was read. */
  private readonly lastOf = new Map<string, bigint>();
  private readonly readTo = new Map<Service, bigint>();
  private orders = 0;
  private readonly slots = pLimit(READS);

  constructor(
    private readonly books: Books,
    private readonly options: ReconcileOptions,
  ) {}

  async *run(): AsyncIterable<Finding> {
    yield* this.walk();
    while (this.window.size > 0) yield* this.lookAtOldest();
    yield* this.doubts();
    yield* this.stock.end();
    for (const model of allReadModels) {
      const { clock, pauseMs = 2_000 } = this.options;
      const position = this.lastOf.get(model.category) ?? 0n;
      yield* caughtUp(model, this.books[model.service], position, clock, pauseMs);
    }
    for (const rows of this.skuRows) {
      const { service } = rows.model;
      const from = this.readTo.get(service) ?? 0n;
      yield* rows.compare(this.books[service], (categories) => readEvents(this.books[service], categories, from));
    }
    yield* this.callTheRoll();
  }

  async *about(orderIds: readonly string[]): AsyncIterable<Finding> {
    for (const orderId of orderIds) this.inDoubt.add(orderId);
    yield* this.doubts();
  }

  /** Reads all books side by side, and looks at the orders that nobody has spoken of for a while. */
  private async *walk(): AsyncIterable<Finding> {
    const heads = await Promise.all(services.map((service) => this.books[service].store.head()));
    const total = Number(heads.reduce((sum, head) => sum + head, 0n));
    const sources = services.map((service, i) => this.stepsOf(service, heads[i]!));
    for await (const step of sideBySide([...sources, ledgerSteps(this.books.ledger)])) {
      if (step.from === 'inventory') yield* this.stock.see(step.events as Parameters<StockAudit['see']>[0]);
      for (const event of step.events) this.see(event);
      for (const entry of step.entries) this.of(entry.orderId).ledger.push(entry);
      if (step.from !== 'ledger') this.readTo.set(step.from, step.position);
      while (this.window.size > WINDOW) yield* this.lookAtOldest();
      const read = [...this.readTo.values()].reduce((sum, position) => sum + position, 0n);
      this.options.onProgress?.({ share: total ? Math.min(1, Number(read) / total) : 1, orders: this.orders });
    }
  }

  private async *stepsOf(service: Service, head: bigint): AsyncIterable<Step> {
    const categories = allReadModels.filter((model) => model.service === service).map(({ category }) => category);
    const all = new Set([...categories, ...(service === 'inventory' ? stockCategories : [])]);
    for await (const { events, position } of batches(this.books[service], [...all], 0n, head)) {
      yield { from: service, since: events[0]?.recordedAt ?? '', events, entries: [], position };
    }
  }

  private see(event: RecordedEvent): void {
    const category = categoryOf(event.stream);
    this.lastOf.set(category, event.position);
    for (const rows of this.skuRows) rows.see(event);
    if (!isAboutOrder(category)) return;
    const id = idOf(event.stream);
    (this.of(id)[category] as RecordedEvent[]).push(event);
    if (event.revision > 0) return;
    this.rolls[category].add(id);
    if (category === 'order') this.orders++;
  }

  /** What is kept of an order, which becomes the latest that was spoken of. */
  private of(orderId: string): OrderBooks {
    const books = this.window.get(orderId) ?? emptyBooks(orderId);
    this.window.delete(orderId);
    this.window.set(orderId, books);
    return books;
  }

  /** The first look at a page of orders. */
  private async *lookAtOldest(): AsyncIterable<Finding> {
    const page = [...this.window.values()].slice(0, PAGE);
    for (const { orderId } of page) this.window.delete(orderId);
    const rows = (await this.rowsOf(page.map(({ orderId }) => orderId))).map((rows) => ({ ...rows, since: ALL }));
    for (const books of page) {
      if (judgeAll(books, rows, this.options.atRest).length === 0) continue;
      this.inDoubt.add(books.orderId);
      if (this.inDoubt.size >= PAGE) yield* this.doubts();
    }
  }

  /** Reads the orders in doubt by themselves, and those that disagree once more after a pause. */
  private async *doubts(): AsyncIterable<Finding> {
    const orderIds = [...this.inDoubt];
    this.inDoubt.clear();
    const before = await this.readAgain(orderIds);
    if (before.size === 0) return;
    await this.options.clock.sleep(this.options.pauseMs ?? 2_000);
    for (const [orderId, findings] of await this.readAgain([...before.keys()])) {
      const was = new Set(before.get(orderId)!.map(identity));
      yield* findings.filter((finding) => was.has(identity(finding)));
    }
  }

  /** By order, what disagrees about it; nothing for those that agree. */
  private async readAgain(orderIds: readonly string[]): Promise<Map<string, Finding[]>> {
    if (orderIds.length === 0) return new Map();
    // The rows first: then the streams tell of all that the rows can show.
    const rows = await this.rowsOf(orderIds);
    const found = await Promise.all(
      orderIds.map((orderId) =>
        this.slots(async () => {
          const books = await this.readOrder(orderId);
          this.options.onOrder?.(books);
          return [orderId, judgeAll(books, rows, this.options.atRest)] as const;
        }),
      ),
    );
    return new Map(found.filter(([, findings]) => findings.length > 0));
  }

  private rowsOf(orderIds: readonly string[]): Promise<Rows[]> {
    return Promise.all(orderReadModels.map((model) => rowsOf(model, this.books[model.service], orderIds)));
  }

  /** The order's own stream first: whatever it has heard of the others stands in theirs by then. */
  private async readOrder(orderId: string): Promise<OrderBooks> {
    const { order, inventory, payment, ledger } = this.books;
    const books = emptyBooks(orderId);
    const read = async (service: ServiceBooks, category: (typeof orderCategories)[number]) => {
      for await (const event of service.store.read(`${category}-${orderId}`)) {
        (books[category] as RecordedEvent[]).push(event);
      }
    };
    await read(order, 'order');
    await Promise.all([read(inventory, 'reservation'), read(payment, 'payment')]);
    for await (const entries of readLedger(ledger, orderId)) books.ledger.push(...entries);
    return books;
  }

  /** Looks for rows of orders that were not met: where the keys of a table are not the ids of the streams. */
  private async *callTheRoll(): AsyncIterable<Finding> {
    for (const { service, projection, category } of orderReadModels) {
      const streams = this.rolls[category];
      const table = new Roll();
      for await (const keys of this.books[service].keys(projection)) for (const key of keys) table.add(key);
      if (table.equals(streams)) continue;
      for await (const keys of this.books[service].keys(projection)) {
        for (const key of keys) {
          if (!table.differsAt(streams, key)) continue;
          this.inDoubt.add(key);
          if (this.inDoubt.size >= PAGE) yield* this.doubts();
        }
      }
      yield* this.doubts();
    }
  }
}

/** A position behind all events: a row has to show every one that is known. */
export const ALL = 2n ** 63n - 1n;

const isAboutOrder = (category: string): category is (typeof orderCategories)[number] =>
  (orderCategories as readonly string[]).includes(category);

const identity = ({ kind, books }: Finding) => JSON.stringify([kind, books]);

/** Everything that disagrees about one order, known to the order service or not; `atRest` as in `judge`. */
export function judgeAll(books: OrderBooks, rows: readonly Rows[], atRest = false): Finding[] {
  if (books.order.length === 0) return judgeUnknown(books, rows);
  return [...judge(books, atRest), ...judgeRows(books, rows)];
}

/** The books that know an order that the order service does not: one finding, because that is all that is wrong with it. */
function judgeUnknown({ orderId, reservation, payment, ledger }: OrderBooks, allRows: readonly Rows[]): Finding[] {
  const tables = allRows.filter(({ byKey }) => byKey.has(orderId)).map(({ model }) => model.projection.table);
  const books = [
    ...(reservation.length > 0 ? [`reservation-${orderId}`] : []),
    ...(payment.length > 0 ? [`payment-${orderId}`] : []),
    ...(ledger.length > 0 ? ['ledger'] : []),
    ...tables,
  ];
  if (books.length === 0) return [];
  if (books.length === 1 && ledger.length > 0) {
    const types = ledger.map(({ type, position }) => `${type} (entry ${position})`).join(', ');
    const message = `Order ${orderId}: the provider's ledger says ${types}, but there is no such order.`;
    return [{ kind: 'ledger-without-order', orderId, books: [`order-${orderId}`, 'ledger'], message }];
  }
  const message = `Order ${orderId}: there is no stream order-${orderId}, but it is in ${books.join(', ')}.`;
  return [{ kind: 'order-without-stream', orderId, books: [`order-${orderId}`, ...books], message }];
}

/** The batches after a position, up to `head`. */
async function* batches({ store }: ServiceBooks, categories: readonly string[], after: bigint, head: bigint) {
  if (after >= head) return;
  const { signal } = new AbortController();
  for await (const batch of store.subscribe({ categories, after, signal })) {
    yield batch;
    if (batch.position >= head) return;
  }
}

/** The events of these categories after a position, up to the present. */
export async function* readEvents(books: ServiceBooks, categories: readonly string[], after: bigint) {
  for await (const { events } of batches(books, categories, after, await books.store.head())) yield events;
}

const LEDGER_PAGE = 1_000;

/** The ledger's entries, of all orders or one. */
export async function* readLedger(ledger: Books['ledger'], orderId?: string): AsyncIterable<LedgerEntry[]> {
  for (let after = 0; ;) {
    const entries = await ledger.entries({ orderId, after, limit: LEDGER_PAGE });
    yield entries;
    if (entries.length < LEDGER_PAGE) return;
    after = entries.at(-1)!.position;
  }
}

async function* ledgerSteps(ledger: Books['ledger']): AsyncIterable<Step> {
  for await (const entries of readLedger(ledger)) {
    yield { from: 'ledger', since: entries[0]?.at ?? '', events: [], entries, position: 0n };
  }
}

/** Several sources as one, the step with the earliest beginning first. Each source fetches one step ahead. */
async function* sideBySide(sources: readonly AsyncIterable<Step>[]): AsyncIterable<Step> {
  const ahead = (iterator: AsyncIterator<Step>) => {
    const step = iterator.next();
    step.catch(() => {}); // It is waited for later, and fails there.
    return { iterator, step };
  };
  let open = sources.map((source) => ahead(source[Symbol.asyncIterator]()));
  try {
    while (open.length > 0) {
      const steps = await Promise.all(open.map(async ({ step }) => await step));
      open = open.filter((_, i) => !steps[i]!.done);
      const next = steps.filter(({ done }) => !done).map(({ value }) => value as Step);
      const first = next.reduce((least, { since }, i) => (since < next[least]!.since ? i : least), 0);
      if (open.length === 0) return;
      open[first] = ahead(open[first]!.iterator);
      yield next[first]!;
    }
  } finally {
    await Promise.allSettled(open.map(async ({ iterator }) => iterator.return?.()));
  }
}
