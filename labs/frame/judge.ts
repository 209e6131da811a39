/**
 * The one judge of all ways: the rules of `npm run reconcile`, on the books that a way has left when nothing is under way.
 * The provider's ledger and the reservations are second opinions on the order's money and on the stock.
 */
import { stateAfter } from '#decider';
import { type DomainEvent, idOf, type RecordedEvent } from '#event-store';
import { reservation } from '../../apps/inventory/src/domain/reservation.js';
import { order } from '../../apps/order/src/domain/order.js';
import { payment } from '../../apps/payment/src/domain/payment.js';
import type { LedgerEntry } from '../../apps/payment/src/simulator/ledger.js';
import type { Finding, Kind } from '../../scripts/lib/reconcile/finding.js';
import { emptyBooks, type OrderBooks } from '../../scripts/lib/reconcile/order.js';
import { judgeAll as judgeBooks } from '../../scripts/lib/reconcile/reconcile.js';
import { StockAudit } from '../../scripts/lib/reconcile/stock.js';
import { connected } from './books.js';
import type { Databases } from './way.js';

export interface Verdict {
  readonly orders: number;
  /** Orders about which the books disagree, and those for whose units there were none. */
  readonly broken: number;
  /** Units that were promised or handed out, and never came in. */
  readonly oversold: number;
  /** Orders that were completed and not paid. */
  readonly moneyLost: number;
  /** Orders whose money is held or taken, twice or for nothing. */
  readonly moneyTaken: number;
  readonly withoutEnd: number;
  readonly leftToPerson: number;
  readonly findings: readonly Finding[];
}

const LOST: readonly Kind[] = ['not-paid', 'payment-missing'];
export const TAKEN: readonly Kind[] = [
  'double-capture',
  'money-not-owed',
  'money-held',
  'lost-refund',
  'ledger-without-order',
  'ledger-without-payment',
];
const ENDLESS: readonly Kind[] = ['order-without-end', 'payment-without-end'];

export async function judgeAll(databases: Databases): Promise<Verdict> {
  const [orders, inventory] = await Promise.all([booksOf(databases), eventsIn(databases, 'inventory')]);
  const audit = new StockAudit();
  const ofStock = [...audit.see(inventory as Parameters<StockAudit['see']>[0]), ...audit.end()];
  const ofOrders = [...orders.values()].flatMap(judgeOne);
  const findings = [...ofOrders, ...ofStock];
  const ordersWith = (kinds: readonly Kind[]) =>
    new Set(findings.filter(({ kind }) => kinds.includes(kind)).map(({ orderId }) => orderId)).size;
  const oversold = oversoldIn(inventory);
  const disagreed = new Set(ofOrders.map(({ orderId }) => orderId)).size;
  const refused = [...orders.values()].filter(({ payment: events }) =>
    /refused/.test(stateAfter(payment, events).status),
  );
  return {
    orders: orders.size,
    broken: disagreed + oversold,
    oversold,
    moneyLost: ordersWith(LOST),
    moneyTaken: ordersWith(TAKEN),
    withoutEnd: ordersWith(ENDLESS),
    leftToPerson: refused.length,
    findings,
  };
}

/** Where one order is, in the books of everybody: `none`, then final, and what is in between. */
export async function whereabouts(databases: Databases, orderId: string): Promise<string> {
  const books = (await booksOf(databases)).get(orderId) ?? emptyBooks(orderId);
  const ledger = books.ledger.at(-1)?.type ?? 'nothing';
  const [ordered, reserved, paid] = [
    stateAfter(order, books.order).status,
    stateAfter(reservation, books.reservation).status,
    stateAfter(payment, books.payment).status,
  ];
  return `order ${ordered}, reservation ${reserved}, payment ${paid}, provider ${ledger}`;
}

/** Whether a reservation still holds the order's units there. */
export const isHeldIn = (where: string): boolean => where.includes('reservation made');

/** Where the books of one order disagree, though nothing is under way. */
export async function findingsOf(databases: Databases, orderId: string): Promise<Finding[]> {
  const books = (await booksOf(databases)).get(orderId);
  return books ? judgeOne(books) : [];
}

const judgeOne = (books: OrderBooks): Finding[] => judgeBooks(books, [], true);

/** Counted by the reservations, of which each order has its own: no two writers ever meet there. */
function oversoldIn(inventory: readonly RecordedEvent[]): number {
  const left = new Map<string, number>();
  for (const { type, data, stream } of inventory) {
    const sign = { StockReceived: 1, ReservationMade: -1, ReservationReleased: 1 }[type];
    if (sign === undefined) continue;
    const goods = data as { quantity: number; lines?: { sku: string; quantity: number }[] };
    for (const { sku, quantity } of goods.lines ?? [{ sku: idOf(stream), quantity: goods.quantity }])
      left.set(sku, (left.get(sku) ?? 0) + sign * quantity);
  }
  return [...left.values()].reduce((sum, units) => sum + Math.max(0, 0 - units), 0);
}

async function booksOf(databases: Databases): Promise<Map<string, OrderBooks>> {
  const orders = new Map<string, OrderBooks>();
  const of = (orderId: string) => {
    const books = orders.get(orderId) ?? emptyBooks(orderId);
    orders.set(orderId, books);
    return books;
  };
  const [ordered, inventory, paid, ledger] = await Promise.all([
    eventsIn(databases, 'order'),
    eventsIn(databases, 'inventory'),
    eventsIn(databases, 'payment'),
    ledgerOf(databases),
  ]);
  for (const event of [...ordered, ...inventory, ...paid]) {
    const category = event.stream.split('-', 1)[0]!;
    if (category === 'order' || category === 'reservation' || category === 'payment')
      (of(idOf(event.stream))[category] as RecordedEvent[]).push(event);
  }
  for (const entry of ledger) of(entry.orderId).ledger.push(entry);
  return orders;
}

/** As an event store would have recorded them. */
async function eventsIn(databases: Databases, schema: 'order' | 'inventory' | 'payment'): Promise<RecordedEvent[]> {
  const { rows } = await connected(databases[schema], (client) =>
    client.query<DomainEvent & { stream: string; revision: number; position: string; at: Date }>(
      `SELECT position, stream, revision, type, data, at FROM "${schema}".events ORDER BY position`,
    ),
  );
  const metadata = { schema: 1, correlationId: '', causationId: '' };
  return rows.map(({ position, at, ...event }) => {
    return { ...event, id: position, position: BigInt(position), metadata, recordedAt: at.toISOString() };
  });
}

async function ledgerOf(databases: Databases): Promise<LedgerEntry[]> {
  const { rows } = await connected(databases.provider, (client) =>
    client.query<Omit<LedgerEntry, 'currency'>>(
      `SELECT position::int AS position, order_id AS "orderId", type, held_minor AS "heldMinor",
         charged_minor AS "chargedMinor", at::text AS at FROM provider.ledger ORDER BY position`,
    ),
  );
  return rows.map((entry) => ({ ...entry, currency: 'EUR' }));
}
