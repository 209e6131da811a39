/** Two instances of each service share the work, and sell exactly what there is. */
import { afterAll, expect, test } from 'vitest';
import { expectInvariants } from './invariants.js';
import { openShop, type Shop } from './shop.js';

const ORDERS = 500;
const CLIENTS = 32;
const received = { coffee: 60, honey: 60, 'olive-oil': 60, sourdough: 60, tomatoes: 60 };
const skus = Object.keys(received);

let shop: Shop;
afterAll(() => shop?.close());

test(
  '500 orders over 5 SKUs with 300 units, from 32 clients, at two instances of each service',
  { timeout: 180_000 },
  async () => {
    shop = await openShop({ instances: { order: 2, inventory: 2, payment: 2 } });
    await shop.setPrices(Object.fromEntries(skus.map((sku) => [sku, 500])));
    await shop.stockUp(received);

    const orderIds: string[] = [];
    await Promise.all(
      Array.from({ length: CLIENTS }, async (_, client) => {
        for (let i = client; i < ORDERS; i += CLIENTS) {
          const lines = [{ sku: skus[i % skus.length]!, quantity: 1 }];
          orderIds.push(await shop.place({ lines, instance: i % 2 }));
        }
      }),
    );
    for (const orderId of orderIds) await shop.settled(orderId);
    const { completed } = await expectInvariants(shop, orderIds, received);
    expect(completed).toBe(300);
  },
);
