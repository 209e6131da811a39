import { inject } from 'vitest';
import { freshDatabase as fresh } from '../../proof/shop/open-shop.js';
import type { Service } from '../../apps/shop.js';

/** Creates a database on the test run's Postgres, or on another, empty or with a service's tables, and returns its URL. It goes with the server. */
export function freshDatabase(service?: Service, server = inject('postgresUrl')): Promise<string> {
  return fresh(server, service);
}
