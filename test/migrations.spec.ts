import { services } from '../apps/shop.js';
import { expect, test } from 'vitest';
import { migrate } from '../scripts/migrate.js';
import { freshDatabase } from './support/database.js';

test.each(services)('the migrations of %s are applied once', async (service) => {
  const url = await freshDatabase();
  expect((await migrate(url, `prisma/${service}/migrations`)).length).toBeGreaterThan(0);
  expect(await migrate(url, `prisma/${service}/migrations`)).toEqual([]);
});
