/** What must be true of a shop after anything that can happen to it, as anybody can check it over HTTP. */
import { isDeepStrictEqual } from 'node:util';
import pLimit from 'p-limit';
import { call } from '../../scripts/lib/api.js';
import { services } from '../../apps/shop.js';
import type { Shop } from './open-shop.js';

/** How many orders are asked for at the same time. */
const AT_ONCE = 8;

export interface OrderBody {
  readonly orderId: string;
  readonly status: string;
  readonly settled: boolean;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  readonly total: { readonly amountMinor: number };
}

interface StockBody {
  readonly available: number;
  readonly reserved: number;
  readonly shipped: number;
}

interface LedgerEntry {
  readonly orderId: string;
  readonly type: string;
  readonly heldMinor: number;
  readonly chargedMinor: number;
}

export interface Findings {
  readonly orders: number;
  readonly completed: number;
  /** What is wrong, in words, with the ids; empty when all is well. */
  readonly wrong: readonly string[];
}

/**
 * Checks orders, stock and the provider's books against each other, in a shop that has come to rest. `received` is what
 * came in by SKU, of SKUs that only these orders asked for.
 */
export async function inspect(
  shop: Shop,
  orderIds: readonly string[],
  received: Readonly<Record<string, number>>,
): Promise<Findings> {
  const [order, inventory, payment] = [shop.order[0]!, shop.inventory[0]!, shop.payment[0]!];
  const wrong: string[] = [];
  await shop.caughtUp();

  for (const service of services) {
    const { items } = await call<{ items: unknown[] }>('GET', `${shop.urls[service][0]}/admin/dead-letters`);
    if (items.length > 0) wrong.push(`${service} has ${items.length} dead letters: ${JSON.stringify(items[0])}`);
  }

  const limit = pLimit(AT_ONCE);
  const look = async (orderId: string) => {
    const found = await call<OrderBody>('GET', `${order}/orders/${orderId}`);
    const history = await call<{ order: unknown }>('GET', `${order}/orders/${orderId}/history`);
    if (!found.settled || !['completed', 'rejected', 'cancelled'].includes(found.status)) {
      wrong.push(`order ${orderId} has no end: it is ${found.status}, settled: ${found.settled}`);
    }
    if (!isDeepStrictEqual(found, history.order)) {
      const [row, fold] = [found, history.order].map((view) => JSON.stringify(view));
      wrong.push(`order ${orderId} is ${row} in the read model, and ${fold} by its events`);
    }
    return found;
  };
  const orders = await Promise.all(orderIds.map((orderId) => limit(look, orderId)));
  const completed = orders.filter(({ status }) => status === 'completed');

  for (const [sku, units] of Object.entries(received)) {
    const shipped = completed.flatMap(({ lines }) => lines).filter((line) => line.sku === sku);
    const sold = shipped.reduce((sum, { quantity }) => sum + quantity, 0);
    const stock = await call<StockBody>('GET', `${inventory}/stock/${sku}`);
    if (stock.available !== units - sold || stock.reserved !== 0 || stock.shipped !== sold || stock.available < 0) {
      const { available, reserved, shipped } = stock;
      wrong.push(
        `${sku}: ${units} came in and ${sold} were sold, but ${available} are available, ${reserved} reserved, ${shipped} shipped`,
      );
    }
  }

  const books = new Map<string, { held: number; net: number; captures: number }>();
  for await (const { orderId, type, heldMinor, chargedMinor } of ledgerOf(payment)) {
    const book = books.get(orderId) ?? { held: 0, net: 0, captures: 0 };
    book.held += heldMinor;
    book.net += chargedMinor;
    book.captures += type === 'captured' ? 1 : 0;
    books.set(orderId, book);
  }
  for (const { orderId, status, total } of orders) {
    const { held, net, captures } = books.get(orderId) ?? { held: 0, net: 0, captures: 0 };
    const owed = status === 'completed' ? total.amountMinor : 0;
    if (held !== 0 || net !== owed) {
      wrong.push(`order ${orderId} is ${status} and owes ${owed}, but the provider holds ${held} and has taken ${net}`);
    }
    if (captures > 1) wrong.push(`order ${orderId} was captured ${captures} times`);
  }
  return { orders: orders.length, completed: completed.length, wrong };
}

/** The simulated provider's books, from the first page to the last. */
export async function* ledgerOf(payment: string): AsyncIterable<LedgerEntry> {
  for (let next: number | undefined = 0; next !== undefined;) {
    const page: { entries: LedgerEntry[]; next?: number } = await call(
      'GET',
      `${payment}/simulator/ledger?limit=1000&after=${next}`,
    );
    yield* page.entries;
    next = page.next;
  }
}

/** All orders there are, as the read model has them, newest first. */
export async function* allOrders(order: string): AsyncIterable<OrderBody> {
  for (let after: string | undefined = ''; after !== undefined;) {
    const page: { items: OrderBody[]; next?: string } = await call('GET', `${order}/orders?limit=200${after}`);
    yield* page.items;
    after = page.next === undefined ? undefined : `&cursor=${encodeURIComponent(page.next)}`;
  }
}
