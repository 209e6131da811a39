/**
 * What is wrong with a shop that has come to rest. What its books must say of stock, money and rows is stated by reconcile
 * (scripts/lib/reconcile); added here is what no book knows: which orders were accepted, and which goods were brought.
 */
import { orderSummary, type OrderSummaryRow } from '../../apps/order/src/read-models/order-summary.js';
import type { StockEvent } from '../../apps/inventory/src/domain/stock.js';
import { perService, services } from '../../apps/shop.js';
import { SystemClock } from '#runtime';
import { call } from '../../scripts/lib/api.js';
import type { Books } from '../../scripts/lib/reconcile/books.js';
import { openBooks } from '../../scripts/lib/reconcile/open-books.js';
import type { Finding } from '../../scripts/lib/reconcile/finding.js';
import { reconcile } from '../../scripts/lib/reconcile/reconcile.js';
import type { Shop } from './open-shop.js';

/** What was done to a shop. */
export interface Deeds {
  /** The orders that were accepted. */
  readonly orderIds: Iterable<string>;
  /** The units that were brought, by SKU. */
  readonly received: Readonly<Record<string, number>>;
}

export interface Inspection {
  /** How many of the orders ended in each way. */
  readonly ends: { readonly completed: number; readonly rejected: number; readonly cancelled: number };
  /** What is wrong, in words, with the ids; empty when all is well. */
  readonly wrong: readonly string[];
}

/**
 * Looks at these orders and SKUs, and leaves alone what others did to the same shop. `alone`: nobody else did anything,
 * and whatever is wrong anywhere is wrong here.
 */
export async function inspect(shop: Shop, deeds: Deeds, { alone = false } = {}): Promise<Inspection> {
  await shop.caughtUp();
  const ours = new Set(deeds.orderIds);
  const isOurs = ({ orderId, sku }: Finding) =>
    (orderId === undefined && sku === undefined) || ours.has(orderId!) || Object.hasOwn(deeds.received, sku ?? '');
  const wrong = await listDeadLetters(shop);
  return withBooks(shop, async (books) => {
    for (const finding of await findDisagreements(books)) if (alone || isOurs(finding)) wrong.push(finding.message);

    const ends = { completed: 0, rejected: 0, cancelled: 0 };
    const missing = new Set(ours);
    for await (const { order_id: orderId, status } of readOrders(books)) {
      const isKnown = missing.delete(orderId);
      if (isKnown && status in ends) ends[status as keyof typeof ends]++;
      if (!isKnown && alone) wrong.push(`order ${orderId} exists, and nobody placed it`);
    }
    for (const orderId of missing) wrong.push(`order ${orderId} was accepted, and does not exist`);

    for (const [sku, units] of Object.entries(deeds.received)) {
      const came = await sumReceived(books, sku);
      if (came !== units) wrong.push(`${sku}: ${units} units were brought, and ${came} came in`);
    }
    return { ends, wrong };
  });
}

/** Opens the books of a shop for as long as the work takes. */
export async function withBooks<T>({ databases }: Shop, work: (books: Books) => Promise<T>): Promise<T> {
  const urls = perService((service) => ({ databaseUrl: databases[service], storeUrl: databases[service] }));
  const { books, close } = await openBooks(urls, new SystemClock());
  try {
    return await work(books);
  } finally {
    await close();
  }
}

/** What `npm run reconcile` would find in these books, and also whatever has no end. */
export async function findDisagreements(books: Books): Promise<Finding[]> {
  const findings: Finding[] = [];
  for await (const finding of reconcile(books, { clock: new SystemClock(), atRest: true })) findings.push(finding);
  return findings;
}

/** A message that waits for a person is in no book. */
async function listDeadLetters(shop: Shop): Promise<string[]> {
  const wrong: string[] = [];
  for (const service of services) {
    const url = `${shop.urls[service][0]}/admin/dead-letters`;
    const { items } = await call<{ items: unknown[] }>('GET', url, undefined, shop.anybody);
    if (items.length > 0) wrong.push(`${service} has ${items.length} dead letters: ${JSON.stringify(items[0])}`);
  }
  return wrong;
}

/** All orders of the shop: reconcile has compared these rows with the streams. */
async function* readOrders({ order: { tables, keys } }: Books): AsyncIterable<OrderSummaryRow> {
  for await (const orderIds of keys(orderSummary)) {
    const rows = await tables.load(
      orderSummary,
      orderIds.map((order_id) => ({ order_id })),
    );
    yield* rows;
  }
}

async function sumReceived({ inventory }: Books, sku: string): Promise<number> {
  let units = 0;
  for await (const event of inventory.store.read(`stock-${sku}`)) {
    const { type, data } = event as unknown as StockEvent;
    if (type === 'StockReceived') units += data.quantity;
  }
  return units;
}
