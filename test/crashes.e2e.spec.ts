/** Each service is killed in turn amid 200 checkouts, and started again: nothing is lost, nothing is taken twice. */
import { services } from '../apps/shop.js';
import { afterAll, expect, test } from 'vitest';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const CHECKOUTS = 200;
/** Mostly paid, some declined, and more asked for than there is. */
const tokens = ['tok_approved', 'tok_approved', 'tok_capture_fails_twice', 'tok_declined', 'tok_approved'];

let shop: Shop;
afterAll(() => shop?.close());

test('kill -9 of each service amid 200 checkouts', { timeout: 180_000 }, async () => {
  shop = await openShop();
  const received = { 'olive-oil': 120, honey: 1000 };
  await shop.setPrices({ 'olive-oil': 1299, honey: 895 });
  await shop.stockUp(received);

  const orderIds: string[] = [];
  let stop = false;
  const customers = Array.from({ length: 8 }, async (_, customer) => {
    for (let i = customer; i < CHECKOUTS && !stop; i += 8) {
      const lines = [
        { sku: 'olive-oil', quantity: 1 },
        { sku: 'honey', quantity: 2 },
      ];
      // The same request again until it is answered: the customer does not know whether the first one arrived.
      orderIds.push(await shop.place({ token: tokens[i % tokens.length]!, lines }));
    }
  });
  try {
    for (const [i, service] of services.entries()) {
      await shop.until(`${(i + 1) * 40} orders are placed`, async () => ({
        done: orderIds.length >= (i + 1) * 40,
        found: orderIds.length,
      }));
      shop.kill(service);
      await shop.restart(service);
    }
    await Promise.all(customers);
  } finally {
    stop = true;
  }
  expect(new Set(orderIds).size).toBe(CHECKOUTS);
  for (const orderId of orderIds) await shop.settled(orderId);
  await expectInvariants(shop, orderIds, received);
});
