/** Larder's side of the rows about stock: what the inventory service decides on, on a database with its tables. */
import { fileURLToPath } from 'node:url';
import { upcasters } from '../../apps/inventory/src/upcasters.js';
import { PostgresEventStore, PostgresSnapshots } from '../../libs/event-store/src/postgres/index.js';
import { Transactor, withUpcasters } from '../../libs/event-store/src/index.js';
import { postgresPool } from '../../libs/runtime/src/postgres/index.js';
import { silentLog, SystemClock, SystemIds, SystemRandom } from '../../libs/runtime/src/index.js';
import { migrate } from '../../scripts/migrate.js';

const MIGRATIONS = fileURLToPath(new URL('../../prisma/inventory/migrations', import.meta.url));

export async function openInventory(url: string) {
  await migrate(url, MIGRATIONS);
  const clock = new SystemClock();
  const pool = postgresPool(url);
  const ports = {
    clock,
    ids: new SystemIds(),
    random: new SystemRandom(),
    log: silentLog,
    store: await PostgresEventStore.open({ url, clock }),
    snapshots: new PostgresSnapshots(pool),
  };
  return {
    ports,
    pool,
    /** One that has nothing in its cache yet, set up as the service sets up its own (apps/inventory/src/service.ts). */
    transactor: () =>
      new Transactor({ ...ports, store: withUpcasters(ports.store, upcasters) }, { upcasters, snapshots: ['stock'] }),
    async close() {
      await ports.store.close();
      await pool.end();
    },
  };
}
