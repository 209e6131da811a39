/** What the caller learns of errors that real drivers throw. */
import { PrismaPg } from '@prisma/adapter-pg';
import { expect, test } from 'vitest';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import { freshDatabase } from '#test/database';
import { NewerEvent } from '#event-store';
import { postgresPool } from '#runtime/postgres';
import { problemOf } from './problem.js';

const failure = (promise: Promise<unknown>) => promise.then(() => undefined).catch((error: unknown) => error);

test('a mistake in our own SQL is not an outage, and reveals nothing to the caller', async () => {
  const url = await freshDatabase('order');
  const pool = postgresPool(url);
  const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
  for (const error of [
    await failure(pool.query('SELECT nothing FROM order_summary')),
    await failure(prisma.$queryRaw`SELECT nothing FROM order_summary`),
  ]) {
    expect(error).toBeInstanceOf(Error);
    expect(problemOf(error)).toMatchObject({
      status: 500,
      code: 'internal-error',
      message: 'Something went wrong here.',
    });
  }
  await pool.end();
});

test('what only a newer release can read is to be tried again: another instance may be one', () => {
  expect(problemOf(new NewerEvent('OrderPlaced at order-1 is newer.'))).toMatchObject({
    status: 503,
    code: 'unavailable',
    message: expect.stringContaining('newer release'),
    headers: { 'retry-after': '1' },
  });
});
