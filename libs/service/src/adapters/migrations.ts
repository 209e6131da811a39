/** Whether a database has the tables that this build of a service was made for. It says what to do; it changes nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { StartError } from '../config.js';

/** Somebody may be migrating at this moment, so it is worth another look. */
export class MissingMigration extends Error {
  override readonly name = 'MissingMigration';
}

/**
 * The names of the migrations that came with a service, oldest first: the folders in `prisma/<service>/migrations`, in
 * `folder` or the nearest one above it. So it is the same in a checkout, in `dist` and in an image that has both.
 * @throws StartError when there are none
 */
export function migrationsOf(service: string, folder = import.meta.dirname): string[] {
  const migrations = join(folder, 'prisma', service, 'migrations');
  if (existsSync(migrations)) {
    const entries = readdirSync(migrations, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  }
  if (dirname(folder) === folder) {
    throw new StartError(`prisma/${service}/migrations is not installed: it belongs beside the folder dist.`, 78);
  }
  return migrationsOf(service, dirname(folder));
}

/**
 * Further migrations do no harm: they are those of a newer version that is being rolled out.
 * @throws MissingMigration that names the first of `migrations` that is not finished, and the remedy
 */
export async function assertMigrated(pool: pg.Pool, migrations: readonly string[]): Promise<void> {
  const finished = await finishedMigrations(pool);
  const missing = migrations.find((name) => !finished.has(name));
  if (missing) throw new MissingMigration(`the database lacks the migration ${missing}. Run \`npm run migrate\`.`);
}

/** From the table that Prisma's own tool keeps, and scripts/migrate.ts after its manner. */
async function finishedMigrations(pool: pg.Pool): Promise<ReadonlySet<string>> {
  const { rows: tables } = await pool.query<{ there: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`,
  );
  if (!tables[0]?.there) return new Set();
  const { rows } = await pool.query<{ migration_name: string }>(
    'SELECT migration_name FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
  );
  return new Set(rows.map((row) => row.migration_name));
}
