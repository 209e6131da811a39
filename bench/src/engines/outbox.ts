import type { Bench } from '../row.js';
import { PLENTY, SKUS } from '../shop.js';
import { type Engine, openOnTables, providerDatabase } from './engine.js';
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
  return openOnTables(bench, 'outbox-program.ts', ['order', 'inventory', 'payment'], databases);
}
