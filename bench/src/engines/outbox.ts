import type { Bench } from '../row.js';
import { PLENTY, SKUS } from '../shop.js';
import { checkingOutAt, type Engine, openTables, providerDatabase, startPrograms } from './engine.js';
import { createTables, ORDERS, STOCK, stockUp } from './tables.js';

const MESSAGES = `
  CREATE TABLE outbox (
    seq         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id          uuid NOT NULL DEFAULT gen_random_uuid(),
    destination text NOT NULL,
    type        text NOT NULL,
    data        json NOT NULL
  );
  CREATE TABLE inbox (
    id          uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
  )`;

const PAYMENTS = `
  CREATE TABLE payments (
    order_id         uuid PRIMARY KEY,
    authorization_id text,
    capture_id       text
  )`;

/** Three services, each with a database, an outbox and an inbox of its own. */
export async function openOutbox(bench: Bench): Promise<Engine> {
  const databases = {
    order: await bench.database(),
    inventory: await bench.database(),
    payment: await bench.database(),
    provider: await providerDatabase(bench),
  };
  await createTables(databases.order, ORDERS, MESSAGES);
  await createTables(databases.inventory, STOCK, MESSAGES);
  await createTables(databases.payment, PAYMENTS, MESSAGES);
  await stockUp(databases.inventory, SKUS, PLENTY);
  const programs = await startPrograms(bench, 'outbox-program.ts', ['order', 'inventory', 'payment'], databases);
  const tables = openTables(databases);
  return {
    checkOut: checkingOutAt(programs.urls['order']!),
    async books() {
      const [orders, shelves, ledger] = await Promise.all([
        tables.orders('order'),
        tables.shelves('inventory'),
        tables.ledger('provider'),
      ]);
      return { orders, shelves, ledger };
    },
    pids: programs.pids,
    databases: Object.values(databases),
    async close() {
      await programs.close();
      await tables.close();
    },
  };
}
