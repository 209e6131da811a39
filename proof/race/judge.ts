/**
 * What became of a race, from three sources that do not know each other: the stock as inventory's events tell it, the
 * money as the provider's ledger tells it, and the orders as the order service shows them.
 */
import { PostgresEventStore } from '#event-store/postgres';
import { idOf, type RecordedEvent } from '#event-store';
import { SystemClock } from '#runtime';
import { allOrders, ledgerOf } from '../shop/invariants.js';
import type { Shop } from '../shop/open-shop.js';
import type { Driven } from './drive.js';

export interface Verdict {
  readonly reservations: { made: number; refused: number; released: number; shipped: number };
  readonly orders: { completed: number; rejected: number; cancelled: number };
  readonly captures: number;
  /** The least that was ever available of any SKU, in units. */
  readonly leastAvailable: number;
  /** What is wrong, in words, with the ids; empty when all is well. */
  readonly wrong: string[];
}

/** Checks a shop that has come to rest. */
export async function judge(shop: Shop, { orderIds, received }: Driven): Promise<Verdict> {
  const wrong: string[] = [];
  const { shipped, reservations, leastAvailable } = await readStock(shop, received, wrong);
  const { money, captures } = await readLedger(shop, wrong);
  const orders = { completed: 0, rejected: 0, cancelled: 0 };
  const known = new Set<string>();
  for await (const { orderId, status, settled, lines, total } of allOrders(shop.order[0]!)) {
    known.add(orderId);
    if (!settled || !(status in orders)) wrong.push(`order ${orderId} has no end: it is ${status}`);
    else orders[status as keyof typeof orders]++;
    const isCompleted = status === 'completed';
    const owed = isCompleted ? total.amountMinor : 0;
    const { held = 0, net = 0 } = money.get(orderId) ?? {};
    if (held !== 0 || net !== owed) {
      wrong.push(`order ${orderId} is ${status} and owes ${owed}, but the provider holds ${held} and has taken ${net}`);
    }
    const sent = shipped.get(orderId) ?? '';
    const due = isCompleted ? unitsOf(lines) : '';
    if (sent !== due) wrong.push(`order ${orderId} is ${status}: "${due}" should be shipped, and "${sent}" was`);
    money.delete(orderId);
    shipped.delete(orderId);
  }
  for (const orderId of orderIds) if (!known.has(orderId)) wrong.push(`order ${orderId} was accepted and is not there`);
  for (const orderId of known)
    if (!orderIds.has(orderId)) wrong.push(`order ${orderId} is there, and nobody placed it`);
  for (const orderId of money.keys()) wrong.push(`the ledger has entries of ${orderId}, which is no order`);
  for (const orderId of shipped.keys()) wrong.push(`stock was shipped to ${orderId}, which is no order`);
  return { reservations, orders, captures, leastAvailable, wrong };
}

/** Follows every unit through inventory's events, in the order in which they were written. */
async function readStock(shop: Shop, received: Readonly<Record<string, number>>, wrong: string[]) {
  const shelves = new Map<string, { available: number; reserved: number; shipped: number; received: number }>();
  /** What each order holds, and what it got, as units by SKU. */
  const [holds, shipped] = [new Map<string, string[]>(), new Map<string, string[]>()];
  const reservations = { made: 0, refused: 0, released: 0, shipped: 0 };
  let leastAvailable = Infinity;

  function move(orderId: string, sku: string, quantity: number, to: 'reserved' | 'released' | 'shipped'): void {
    const [unit, held] = [`${quantity} ${sku}`, holds.get(orderId) ?? []];
    if (to === 'reserved') {
      if (held.includes(unit)) wrong.push(`order ${orderId} reserved ${unit} twice`);
      holds.set(orderId, [...held, unit]);
      return;
    }
    if (!held.includes(unit)) wrong.push(`${unit} of order ${orderId} was ${to}, which it does not hold`);
    const left = held.filter((each) => each !== unit);
    if (left.length > 0) holds.set(orderId, left);
    else holds.delete(orderId);
    if (to === 'shipped') shipped.set(orderId, [...(shipped.get(orderId) ?? []), unit]);
  }

  for await (const event of eventsOf(shop.databases.inventory, ['stock', 'reservation'])) {
    const { type, stream, data } = event as RecordedEvent & { data: { quantity: number; orderId: string } };
    if (type === 'ReservationMade') reservations.made++;
    if (type === 'ReservationRejected') reservations.refused++;
    if (type === 'ReservationReleased') reservations.released++;
    if (type === 'ReservationShipped') reservations.shipped++;
    if (!stream.startsWith('stock-')) continue;
    const sku = idOf(stream);
    const shelf = shelves.get(sku) ?? { available: 0, reserved: 0, shipped: 0, received: 0 };
    shelves.set(sku, shelf);
    const { quantity, orderId } = data;
    if (type === 'StockReceived') {
      shelf.received += quantity;
      shelf.available += quantity;
      continue;
    }
    if (type === 'StockReserved') {
      shelf.available -= quantity;
      shelf.reserved += quantity;
      move(orderId, sku, quantity, 'reserved');
    } else if (type === 'StockReleased') {
      shelf.available += quantity;
      shelf.reserved -= quantity;
      move(orderId, sku, quantity, 'released');
    } else if (type === 'StockShipped') {
      shelf.reserved -= quantity;
      shelf.shipped += quantity;
      move(orderId, sku, quantity, 'shipped');
    }
    leastAvailable = Math.min(leastAvailable, shelf.available);
    if (shelf.available < 0) wrong.push(`${sku} was oversold at position ${event.position}: ${shelf.available} left`);
    if (shelf.reserved < 0) wrong.push(`${sku} at position ${event.position}: ${shelf.reserved} units are reserved`);
  }

  for (const [sku, shelf] of shelves) {
    const { available, reserved, shipped: gone } = shelf;
    if (shelf.received !== received[sku]) {
      wrong.push(`${sku}: ${received[sku]} units were brought, and ${shelf.received} came in`);
    }
    if (reserved !== 0) wrong.push(`${sku}: ${reserved} units are still reserved`);
    if (available + gone !== shelf.received) {
      wrong.push(`${sku}: ${shelf.received} came in, but ${available} are there and ${gone} were shipped`);
    }
  }
  for (const [orderId, units] of holds) wrong.push(`order ${orderId} still holds ${units.join(', ')}`);
  const sent = new Map([...shipped].map(([orderId, units]) => [orderId, units.sort().join(', ')]));
  return { shipped: sent, reservations, leastAvailable };
}

/** Each order's money by the provider's ledger, in minor units. */
async function readLedger(shop: Shop, wrong: string[]) {
  const money = new Map<string, { held: number; net: number; captures: number }>();
  let captures = 0;
  for await (const { orderId, type, heldMinor, chargedMinor } of ledgerOf(shop.payment[0]!)) {
    const book = money.get(orderId) ?? { held: 0, net: 0, captures: 0 };
    money.set(orderId, book);
    book.held += heldMinor;
    book.net += chargedMinor;
    if (type !== 'captured') continue;
    captures++;
    if (++book.captures > 1) wrong.push(`order ${orderId} was charged ${book.captures} times`);
  }
  return { money, captures };
}

/** All events of these categories that there are now. */
async function* eventsOf(url: string, categories: readonly string[]): AsyncIterable<RecordedEvent> {
  const store = await PostgresEventStore.open({ url, clock: new SystemClock() });
  const enough = new AbortController();
  try {
    const head = await store.head();
    for await (const { events, position } of store.subscribe({ categories, after: 0n, signal: enough.signal })) {
      yield* events;
      if (position >= head) break;
    }
  } finally {
    enough.abort();
    await store.close();
  }
}

const unitsOf = (lines: readonly { readonly sku: string; readonly quantity: number }[]) =>
  lines
    .map(({ sku, quantity }) => `${quantity} ${sku}`)
    .sort()
    .join(', ');
