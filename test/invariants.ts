/** What must be true of a shop after anything that can happen to it, as anybody can check it over HTTP. */
import request from 'supertest';
import { expect } from 'vitest';
import type { Shop } from './shop.js';

interface OrderBody {
  orderId: string;
  status: string;
  settled: boolean;
  lines: { sku: string; quantity: number }[];
  total: { amountMinor: number };
}

interface LedgerEntry {
  position: number;
  orderId: string;
  type: string;
  heldMinor: number;
  chargedMinor: number;
}

/** Checks the orders, the stock and the provider's books against each other. `received` is what came in, by SKU. */
export async function expectInvariants(shop: Shop, orderIds: readonly string[], received: Record<string, number>) {
  const [order, inventory, payment] = [shop.order[0]!, shop.inventory[0]!, shop.payment[0]!];
  await shop.caughtUp();
  const orders: OrderBody[] = [];
  for (const orderId of orderIds) {
    const { body } = await request(order).get(`/orders/${orderId}`).expect(200);
    expect(body, 'every order reaches exactly one final state').toMatchObject({ settled: true });
    expect(['completed', 'rejected', 'cancelled']).toContain(body.status);
    const { body: history } = await request(order).get(`/orders/${orderId}/history`).expect(200);
    expect(body, 'the read model is what a fold of the stream gives').toEqual(history.order);
    orders.push(body);
  }
  const completed = orders.filter(({ status }) => status === 'completed');

  for (const [sku, units] of Object.entries(received)) {
    const shipped = completed.flatMap(({ lines }) => lines).filter((line) => line.sku === sku);
    const sold = shipped.reduce((sum, { quantity }) => sum + quantity, 0);
    const { body: stock } = await request(inventory).get(`/stock/${sku}`).expect(200);
    expect(stock, 'no stock is lost, held or sold twice').toEqual({
      sku,
      available: units - sold,
      reserved: 0,
      shipped: sold,
    });
    expect(stock.available).toBeGreaterThanOrEqual(0);
  }

  const books = new Map<string, { held: number; net: number; captures: number }>();
  for (const { orderId, type, heldMinor, chargedMinor } of await ledgerOf(payment)) {
    const book = books.get(orderId) ?? { held: 0, net: 0, captures: 0 };
    book.held += heldMinor;
    book.net += chargedMinor;
    book.captures += type === 'captured' ? 1 : 0;
    books.set(orderId, book);
  }
  for (const { orderId, status, total } of orders) {
    const { held, net, captures } = books.get(orderId) ?? { held: 0, net: 0, captures: 0 };
    const owed = status === 'completed' ? total.amountMinor : 0;
    expect({ orderId, held, net }, 'the provider took what completed orders owe').toEqual({
      orderId,
      held: 0,
      net: owed,
    });
    expect(captures, 'an order is captured once at most').toBeLessThanOrEqual(1);
  }
  return { completed: completed.length, orders: orders.length };
}

/** The simulated provider's books, from the first page to the last. */
async function ledgerOf(payment: string): Promise<LedgerEntry[]> {
  const entries: LedgerEntry[] = [];
  for (let next: number | undefined = 0; next !== undefined;) {
    const response: request.Response = await request(payment).get(`/simulator/ledger?limit=1000&after=${next}`);
    entries.push(...response.body.entries);
    next = response.body.next;
  }
  return entries;
}
