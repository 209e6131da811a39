/** The goods of a new shop, entered as any client would: through the API. */
import { callPatiently, type Headers } from './api.js';
import { urlOf } from './addresses.js';

const groceries = [
  { sku: 'olive-oil', amountMinor: 1299, quantity: 500 },
  { sku: 'sourdough', amountMinor: 480, quantity: 500 },
  { sku: 'coffee', amountMinor: 1450, quantity: 500 },
  { sku: 'tomatoes', amountMinor: 320, quantity: 500 },
  { sku: 'honey', amountMinor: 895, quantity: 500 },
];

/**
 * Sets prices and receives stock if there are none, with the header of a clerk, and returns what it did, in words. Interrupted half-way it does no
 * harm: setting a price again, or receiving stock under the same key again, changes nothing.
 */
export async function fillShelves(clerk: Headers): Promise<string> {
  const order = urlOf('order');
  const inventory = urlOf('inventory');
  const [{ items: prices }, { items: stock }] = await Promise.all([
    callPatiently<{ items: unknown[] }>('GET', `${order}/prices`, undefined, clerk),
    callPatiently<{ items: unknown[] }>('GET', `${inventory}/stock`, undefined, clerk),
  ]);
  if (prices.length > 0 && stock.length > 0) return 'already on the shelves';
  await Promise.all(
    groceries.flatMap(({ sku, amountMinor, quantity }) => [
      callPatiently('PUT', `${order}/prices/${sku}`, { amountMinor, currency: 'EUR' }, clerk),
      callPatiently(
        'POST',
        `${inventory}/stock/${sku}/receipts`,
        { quantity },
        { 'idempotency-key': `opening-stock-of-${sku}`, ...clerk },
      ),
    ]),
  );
  return groceries.map(({ sku }) => sku).join(', ');
}
