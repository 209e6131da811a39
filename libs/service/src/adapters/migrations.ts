/** Checks that a database has the migrations that this build of a service needs. It names the remedy and changes nothing. */
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { StartError } from '../config.js';

/** A migration may be under way, so the check is worth repeating. */
export class MissingMigration extends Error {
  override readonly name = 'MissingMigration';
}

/**
 * The names of the migrations that came with a service, oldest first: the folders in `prisma/<service>/migrations`, in
 * `folder` or the nearest one above it. This works in a checkout, in `dist` and in an image that has both.
 * @throws StartError when there are none
 */
export function migrationsOf(service: string, folder = import.meta.dirname): string[] {
  const migrations = join(folder, 'prisma', service, 'migrations');
  if (existsSync(migrations)) {
    const entries = readdirSync(migrations, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  }
  if (dirname(folder) === folder) {
    throw new StartError(`prisma/${service}/migrations is not installed: it belongs next to the folder dist.`, 78);
  }
  return migrationsOf(service, dirname(folder));
}

/**
 * Additional migrations do no harm: they belong to a newer version that is being rolled out.
 * @throws MissingMigration that names the first of `migrations` that is not finished, and the remedy
 */
export async function assertMigrated(pool: pg.Pool, migrations: readonly string[]): Promise<void> {
  const finished = await finishedMigrations(pool);
  const missing = migrations.find((name) => !finished.has(name));
  if (missing) throw new MissingMigration(`the database lacks the migration ${missing}. Run \`npm run migrate\`.`);
}

/** From the table that Prisma's own tool writes, and scripts/migrate.ts in the same form. */
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
