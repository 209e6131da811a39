import type { Bench } from '../row.js';
import { openBenchShop } from '../shop.js';
import { type Engine, openTables } from './engine.js';

/** The three services as they are run. */
export async function openLarder(bench: Bench) {
  const shop = await openBenchShop(bench);
  const { databases } = shop.shop;
  const tables = openTables(databases);
  const engine: Engine = {
    checkOut: shop.checkOut,
    settled: shop.settled, // The read models, which the books are.
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
