/**
 * Applies a service's Prisma migrations with `pg` alone, and leaves the same rows in `_prisma_migrations` as
 * `prisma migrate deploy`: the two can be used in turn, and this one needs no engine binary.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { ServerRefusal } from '#runtime';
import { assertHoldsEveryText, PostgresConnection } from '#runtime/postgres';
import { readVariables } from '#service';
import { services } from '../apps/shop.js';
// By its path: `npm start` migrates, and needs none of the adapters.
import { type Migration, migrationsIn } from '../libs/service/src/adapters/migrations.js';
import { Advice } from './lib/advice.js';
import { ownDatabase } from './lib/own-database.js';

export const usage =
  'npm run migrate. The databases are those of ORDER_DATABASE_URL, INVENTORY_DATABASE_URL and PAYMENT_DATABASE_URL.';

/**
 * `npm run migrate`: migrates the databases of all services, at `ORDER_DATABASE_URL` and so on. With
 * `POSTGRES_SUPERUSER_URL` it creates them first, each with the role that its URL names: see lib/own-database.ts.
 */
export async function main(): Promise<void> {
  const env = readVariables(['POSTGRES_SUPERUSER_URL', ...WITHOUT_MIGRATIONS]);
  const { POSTGRES_SUPERUSER_URL: superuserUrl } = env;
  const databases = services.map((service) => {
    const variable = `${service.toUpperCase()}_DATABASE_URL`;
    const url = readVariables([variable])[variable];
    if (!url)
      throw new Advice(`${variable} is not set. Set it to the URL of the ${service} service's own Postgres database.`);
    return { service, variable, url };
  });
  if (superuserUrl) {
    const others = WITHOUT_MIGRATIONS.flatMap((variable) => {
      const url = env[variable];
      return isPostgres(url) ? [{ variable, url }] : [];
    });
    for (const { variable, url } of [...databases, ...others])
      await naming(`POSTGRES_SUPERUSER_URL, for ${variable}`, ownDatabase(superuserUrl, url));
  }
  for (const { service, variable, url } of databases) {
    const applied = await naming(variable, migrate(url, `prisma/${service}/migrations`));
    console.log(`${service}: ${applied.length > 0 ? `applied ${applied.join(', ')}` : 'up to date'}`);
  }
}

/** The databases whose tables are made by whoever uses them. */
const WITHOUT_MIGRATIONS = ['MESSAGE_BUS_URL', 'CUSTOMER_KEYS_URL'] as const;

function isPostgres(url: string | undefined): url is string {
  return url !== undefined && /^postgres(ql)?:/.test(url);
}

/** Names the variable in the error. */
function naming<T>(variable: string, work: Promise<T>): Promise<T> {
  return work.catch((error: Error & { code?: string }) => {
    // Errors of Postgres and of the network have a code; others are ours, or bugs.
    if (error instanceof ServerRefusal || error instanceof Advice) throw new Advice(`${variable}: ${error.message}`);
    throw error.code
      ? new Advice(`${variable}: ${error.message || error.code}. Correct the URL, or fix the server.`)
      : error;
  });
}

/** The advisory lock that Prisma's schema engine takes while it migrates. */
const PRISMA_LOCK = 72707369;

const MIGRATIONS_TABLE = `CREATE TABLE IF NOT EXISTS _prisma_migrations (
    id                      VARCHAR(36) PRIMARY KEY NOT NULL,
    checksum                VARCHAR(64) NOT NULL,
    finished_at             TIMESTAMPTZ,
    migration_name          VARCHAR(255) NOT NULL,
    logs                    TEXT,
    rolled_back_at          TIMESTAMPTZ,
    started_at              TIMESTAMPTZ NOT NULL DEFAULT now(),
    applied_steps_count     INTEGER NOT NULL DEFAULT 0
)`;

interface Applied {
  migration_name: string;
  checksum: string;
  finished_at: Date | null;
  rolled_back_at: Date | null;
}

/**
 * Brings the database at `url` up to date with `folder` (`prisma/order/migrations`). Returns the names that it applied.
 * @throws when an earlier migration failed half-way, or an applied one has been edited since
 */
export async function migrate(url: string, folder: string): Promise<string[]> {
  const client = new PostgresConnection({ connectionString: url });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock($1)', [PRISMA_LOCK]);
    await client.query(MIGRATIONS_TABLE);
    const { rows } = await client.query<Applied>('SELECT * FROM _prisma_migrations WHERE rolled_back_at IS NULL');
    if (rows.length === 0) await assertHoldsEveryText(client);
    const failed = rows.find((row) => row.finished_at === null);
    if (failed)
      throw new Error(`The migration ${failed.migration_name} failed earlier: see its row in _prisma_migrations.`);
    const done = new Map(rows.map((row) => [row.migration_name, row.checksum]));

    const applied: string[] = [];
    for (const migration of migrationsIn(folder)) {
      const { name, checksum } = migration;
      if (done.has(name)) {
        if (done.get(name) !== checksum)
          throw new Advice(
            `The migration ${name} is not the one that was applied: the database is another service's, or the file was edited since. Correct the URL, or restore the file.`,
          );
        continue;
      }
      await apply(client, migration);
      applied.push(name);
    }
    return applied;
  } finally {
    await client.end();
  }
}

async function apply(client: pg.Client, { name, sql, checksum }: Migration): Promise<void> {
  const id = randomUUID();
  await client.query('INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ($1, $2, $3)', [
    id,
    checksum,
    name,
  ]);
  try {
    await client.query(sql); // Several statements in one simple query are one transaction.
  } catch (error) {
    await client.query('UPDATE _prisma_migrations SET logs = $2 WHERE id = $1', [id, String(error)]);
    throw error;
  }
  await client.query('UPDATE _prisma_migrations SET finished_at = now(), applied_steps_count = 1 WHERE id = $1', [id]);
}
