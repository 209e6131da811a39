import type { Bench } from '../row.js';
import { PLENTY, SKUS } from '../shop.js';
import { type Engine, openOnTables, providerDatabase } from './engine.js';
import { createTables, ORDERS, STOCK, stockUp } from './tables.js';

/** One process and one database, in which DBOS keeps its own tables too. */
export async function openDbos(bench: Bench): Promise<Engine> {
  const shop = await bench.database();
  await createTables(shop, ORDERS, STOCK);
  await stockUp(shop, SKUS, PLENTY);
  return openOnTables(bench, 'dbos-program.ts', ['shop'], { shop, provider: await providerDatabase(bench) });
}

/** Three applications over HTTP, each with a database of its own. */
export async function openDbosServices(bench: Bench): Promise<Engine> {
  const roles = ['order', 'inventory', 'payment'];
  const databases: Record<string, string> = { provider: await providerDatabase(bench) };
  for (const role of roles) databases[role] = await bench.database();
  await createTables(databases['order']!, ORDERS);
  await createTables(databases['inventory']!, STOCK);
  await stockUp(databases['inventory']!, SKUS, PLENTY);
  return openOnTables(bench, 'dbos-program.ts', roles, databases);
}
