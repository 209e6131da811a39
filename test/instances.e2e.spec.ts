/** Two instances of each service share the work, and sell exactly what there is. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const ORDERS = 500;
const CLIENTS = 32;
const received = { coffee: 60, honey: 60, 'olive-oil': 60, sourdough: 60, tomatoes: 60 };
const skus = Object.keys(received);

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ instances: { order: 2, inventory: 2, payment: 2 } });
  await shop.setPrices({ ...Object.fromEntries(skus.map((sku) => [sku, 500])), tea: 300 });
  await shop.stockUp({ ...received, tea: 10 });
});
afterAll(() => shop?.close());

test(
  'two instances of each service sell exactly the 300 units in stock to 500 orders from 32 clients',
  { timeout: 180_000 },
  async () => {
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

test('an order that is sent to two instances at once is placed once', async () => {
  const customerId = randomUUID();
  const send = (body: object, instance = 0) =>
    request(shop.order[instance]!, shop)
      .post('/orders')
      .set('Idempotency-Key', 'one')
      .send({ customerId, ...body });
  const body = { lines: [{ sku: 'tea', quantity: 1 }], payment: { token: 'tok_approved' } };
  const [first, second] = await Promise.all([send(body, 0), send(body, 1)]);
  expect([first.status, second.status]).toEqual([202, 202]);
  expect(second.body).toEqual(first.body);
  await shop.settled(first.body.orderId);
  const later = await send(body);
  expect([later.status, later.body]).toEqual([202, first.body]);
  const other = await send({ ...body, lines: [{ sku: 'tea', quantity: 2 }] });
  expect([other.status, other.body.code]).toEqual([422, 'idempotency-key-reused']);
});
