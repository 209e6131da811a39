import type { Bench } from '../row.js';
import { PLENTY, SKUS } from '../shop.js';
import { checkingOutAt, type Engine, openTables, providerDatabase, startPrograms } from './engine.js';
import { createTables, ORDERS, STOCK, stockUp } from './tables.js';

/** One process and one database, in which DBOS keeps its own tables too. */
export async function openDbos(bench: Bench): Promise<Engine> {
  const shop = await bench.database();
  await createTables(shop, ORDERS, STOCK);
  await stockUp(shop, SKUS, PLENTY);
  return open(bench, ['shop'], { shop, provider: await providerDatabase(bench) });
}

/** Three applications over HTTP, each with a database of its own. */
export async function openDbosServices(bench: Bench): Promise<Engine> {
  const roles = ['order', 'inventory', 'payment'];
  const databases: Record<string, string> = { provider: await providerDatabase(bench) };
  for (const role of roles) databases[role] = await bench.database();
  await createTables(databases['order']!, ORDERS);
  await createTables(databases['inventory']!, STOCK);
  await stockUp(databases['inventory']!, SKUS, PLENTY);
  return open(bench, roles, databases);
}

/** The first role is the one that clients ask, and the stock is with it unless there is an inventory. */
async function open(
  bench: Bench,
  roles: readonly string[],
  databases: Readonly<Record<string, string>>,
): Promise<Engine> {
  const programs = await startPrograms(bench, 'dbos-program.ts', roles, databases);
  const tables = openTables(databases);
  const first = roles[0]!;
  return {
    checkOut: checkingOutAt(programs.urls[first]!),
    async books() {
      const [orders, shelves, ledger] = await Promise.all([
        tables.orders(first),
        tables.shelves(roles.includes('inventory') ? 'inventory' : first),
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
