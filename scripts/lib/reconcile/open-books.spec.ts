import { expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import { openEventStore } from '#service/adapters';
import { freshDatabase } from '#test/database';
import { perService, services } from '../../../apps/shop.js';
import { Door } from '../../../proof/away/door.js';
import { openBooks } from './open-books.js';

test('a ledger that falls silent is given up in time, and read again when it is back', async () => {
  const clock = new SystemClock();
  const urls = await Promise.all(services.map((service) => freshDatabase(service)));
  for (const url of urls) await (await openEventStore(url, clock)).close();
  const door = new Door(urls[0]!);
  await door.open();
  const databases = perService((service) => {
    const url = door.through(urls[services.indexOf(service)]!);
    return { databaseUrl: url, storeUrl: url };
  });
  const { books, close } = await openBooks(databases, clock, { answerMs: 500 });
  const read = () => books.ledger.entries({ limit: 10 });
  expect(await read()).toEqual([]);
  door.silence();
  await expect(read()).rejects.toThrow();
  await door.open();
  await expect.poll(() => read().catch(() => 'still away')).toEqual([]);
  await close();
  door.close();
});
