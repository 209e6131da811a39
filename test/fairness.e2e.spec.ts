/** One customer's slow orders beside another's checkout. `--disable-console-intercept` shows the times. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { call } from '../scripts/lib/api.js';
import { openShop, type OrderView, type Shop } from './support/shop.js';

const SLOW_ORDERS = 400;
const lines = [{ sku: 'honey', quantity: 1 }];

/** How long a checkout of another customer takes each time, in milliseconds. */
async function checkOut(shop: Shop): Promise<number> {
  const began = performance.now();
  const headers = { 'idempotency-key': randomUUID(), prefer: 'wait=30', ...shop.anybody };
  const order = { customerId: randomUUID(), lines, payment: { token: 'tok_approved' } };
  const { status } = await call<OrderView>('POST', `${shop.order[0]}/orders`, order, headers);
  expect(status).toBe('completed');
  return Math.round(performance.now() - began);
}

async function several(shop: Shop, times: number): Promise<number[]> {
  const took = [];
  for (let n = 0; n < times; n++) took.push(await checkOut(shop));
  return took;
}

test('figures', { timeout: 600_000 }, async () => {
  await using shop = await openShop({ env: { order: {} } });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 10_000 });
  await several(shop, 10);
  const alone = await several(shop, 5);
  for (let round = 0; round < 3; round++) {
    const accounts = Array.from({ length: round === 2 ? 20 : 1 }, () => randomUUID());
    const slow = (n: number) => ({ lines, token: 'tok_slow', customerId: accounts[n % accounts.length]! });
    const began = performance.now();
    const orderIds = await Promise.all(Array.from({ length: SLOW_ORDERS }, (_, n) => shop.place(slow(n))));
    const placed = Math.round(performance.now() - began);
    const beside = await several(shop, 6);
    for (const orderId of orderIds) await shop.settled(orderId, 150_000);
    console.log({ alone, placed, beside, all: Math.round(performance.now() - began) });
  }
});
