import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { migrate } from '../scripts/migrate.js';
import type { Service } from '../scripts/shop.js';

/** Creates a database on the test run's Postgres, or on another, empty or with a service's tables, and returns its URL. It goes with the server. */
export async function freshDatabase(service?: Service, server = inject('postgresUrl')): Promise<string> {
  const url = new URL(server);
  const client = new pg.Client({ connectionString: url.href });
  await client.connect();
  url.pathname = `/t_${randomUUID().replaceAll('-', '')}`;
  await client.query(`CREATE DATABASE "${url.pathname.slice(1)}"`);
  await client.end();
  if (service) await migrate(url.href, `prisma/${service}/migrations`);
  return url.href;
}
