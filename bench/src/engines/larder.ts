import type { Bench } from '../row.js';
import { FINAL, openBenchShop } from '../shop.js';
import { type Engine, openTables } from './engine.js';

/** The three services as they are run. */
export async function openLarder(bench: Bench) {
  const shop = await openBenchShop(bench);
  const { databases } = shop.shop;
  const tables = openTables(databases);
  const engine: Engine = {
    place: (clients, ms) => shop.placeOrders(clients, ms, FINAL),
    async orders() {
      await shop.settled(); // What it looks at is a read model.
      const counts = 'SELECT count(*)::int AS all, count(*) FILTER (WHERE NOT settled)::int AS open FROM order_summary';
      return (await tables.rows<{ all: number; open: number }>('order', counts))[0]!;
    },
    async books() {
      const [orders, shelves, ledger] = await Promise.all([
        tables.rows<{ orderId: string; status: string; sku: string; quantity: number }>(
          'order',
          `SELECT order_id AS "orderId", status, lines -> 0 ->> 'sku' AS sku, (lines -> 0 ->> 'quantity')::int AS quantity
           FROM order_summary`,
        ),
        tables.rows<{ sku: string; available: number; reserved: number }>(
          'inventory',
          'SELECT sku, available::int, reserved::int FROM stock_level',
        ),
        tables.ledger('payment'),
      ]);
      return { orders, shelves, ledger };
    },
    pids: [...shop.shop.pids.values()],
    databases: Object.values(databases),
    async close() {
      await tables.close();
      await shop.close();
    },
  };
  return { ...engine, profiled: shop.profiled };
}
