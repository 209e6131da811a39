/** Checks that a database has the migrations that this build of a service needs. It names the remedy and changes nothing. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type pg from 'pg';
import { ServerRefusal } from '#runtime';
import { StartError } from '../config.js';

/** A migration may be under way, so the check is worth repeating. */
export class MissingMigration extends Error {
  override readonly name = 'MissingMigration';
}

export interface Migration {
  readonly name: string;
  readonly sql: string;
  /** As Prisma's own tool stores it. Migrations of different services may have the same name. */
  readonly checksum: string;
}

/**
 * The migrations that came with a service, oldest first: the folders in `prisma/<service>/migrations`, in `folder` or the
 * nearest one above it. This works in a checkout, in `dist` and in an image that has both.
 * @throws StartError when there are none
 */
export function migrationsOf(service: string, folder = import.meta.dirname): Migration[] {
  const migrations = join(folder, 'prisma', service, 'migrations');
  if (existsSync(migrations)) return migrationsIn(migrations);
  if (dirname(folder) === folder) {
    throw new StartError(`prisma/${service}/migrations is not installed: it belongs next to the folder dist.`, 78);
  }
  return migrationsOf(service, dirname(folder));
}

/** The migrations in a folder, oldest first. */
export function migrationsIn(folder: string): Migration[] {
  const entries = readdirSync(folder, { withFileTypes: true });
  const names = entries.flatMap((entry) => (entry.isDirectory() ? entry.name : [])).sort();
  return names.map((name) => {
    const sql = readFileSync(join(folder, name, 'migration.sql'), 'utf8');
    return { name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
  });
}

/**
 * Additional migrations do no harm: they belong to a newer version that is being rolled out.
 * @throws MissingMigration that names the first of the service's migrations that is not finished, and the remedy
 * @throws ServerRefusal when a migration has the name of one of the service's and is another
 */
export async function assertMigrated(pool: pg.Pool, service: string): Promise<void> {
  const finished = await finishedMigrations(pool);
  for (const { name, checksum } of migrationsOf(service)) {
    const found = finished.get(name);
    if (found === undefined) {
      throw new MissingMigration(`the database lacks the migration ${name}. Run \`npm run migrate\`.`);
    }
    if (found !== checksum) {
      throw new ServerRefusal(
        `the migration ${name} of this database is not the one of ${service}. Correct the URL if the database is another service's, or restore the file of the migration.`,
      );
    }
  }
}

/** The checksums by name, from the table that Prisma's own tool writes, and scripts/migrate.ts in the same form. */
async function finishedMigrations(pool: pg.Pool): Promise<ReadonlyMap<string, string>> {
  const { rows: tables } = await pool.query<{ there: boolean }>(
    `SELECT to_regclass('_prisma_migrations') IS NOT NULL AS there`,
  );
  if (!tables[0]?.there) return new Map();
  const { rows } = await pool.query<{ migration_name: string; checksum: string }>(
    'SELECT migration_name, checksum FROM _prisma_migrations WHERE finished_at IS NOT NULL AND rolled_back_at IS NULL',
  );
  return new Map(rows.map((row) => [row.migration_name, row.checksum]));
}
