/** The end of a proof: `npm run reconcile` over the whole shop, which must find no disagreement. */
import { SystemClock } from '#runtime';
import { openBooks } from '../../scripts/lib/reconcile/books.js';
import { reconcile } from '../../scripts/lib/reconcile/reconcile.js';
import { type Service, services } from '../../apps/shop.js';
import type { Shop } from './open-shop.js';

/** What disagrees in the books of a shop, in words. */
export async function disagreements({ databases }: Shop): Promise<string[]> {
  const clock = new SystemClock();
  const urls = services.map((service) => {
    const url = databases[service];
    return [service, { databaseUrl: url, storeUrl: url }] as const;
  });
  const { books, close } = await openBooks(Object.fromEntries(urls) as Record<Service, (typeof urls)[0][1]>, clock);
  try {
    const found: string[] = [];
    for await (const { message } of reconcile(books, { clock })) found.push(message);
    return found;
  } finally {
    await close();
  }
}
