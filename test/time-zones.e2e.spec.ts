/** A shop on machines in New York, on databases whose sessions would be in New York and Kolkata, keeps its times in UTC. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { services } from '../apps/shop.js';
import { freshDatabases, openShop, type Shop } from '../proof/shop/open-shop.js';
import request from './support/http.js';
import { refuseOldBuild } from './support/shop.js';

const ZONES = { order: 'America/New_York', inventory: 'Asia/Kolkata', payment: 'Asia/Kolkata', bus: 'Asia/Kolkata' };

let shop: Shop;
beforeAll(async () => {
  refuseOldBuild();
  const databases = await freshDatabases(inject('postgresUrl'));
  for (const [name, zone] of Object.entries(ZONES) as [keyof typeof ZONES, string][]) {
    const url = databases[name];
    await sql(url, `ALTER DATABASE "${new URL(url).pathname.slice(1)}" SET timezone = '${zone}'`);
  }
  const env = Object.fromEntries(services.map((service) => [service, { TZ: 'America/New_York' }]));
  shop = await openShop({ databases, env });
  await shop.setPrices({ coffee: 799 });
  await shop.stockUp({ coffee: 100 });
});
afterAll(() => shop?.close());

async function sql(url: string, text: string, values: unknown[] = []): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(text, values).finally(() => client.end());
}

async function get(url: string | undefined, path: string, query: object = {}) {
  return (await request(url!, shop).get(path).query(query).expect(200)).body;
}

async function place(customerId: string): Promise<{ orderId: string; placedAt: string }> {
  const order = { customerId, lines: [{ sku: 'coffee', quantity: 1 }], payment: { token: 'tok_approved' } };
  const { body } = await request(shop.order[0]!, shop)
    .post('/orders')
    .set('Idempotency-Key', randomUUID())
    .send(order)
    .expect(202);
  return body;
}

const isRecent = (time: string) => expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(120_000);

test('an order was placed at one instant, wherever it is shown; and its history has it as placed at that instant', async () => {
  const customerId = randomUUID();
  for (let n = 0; n < 20; n++) {
    const { orderId, placedAt } = await place(customerId);
    isRecent(placedAt);
    const asPlaced = await get(shop.order[0], `/orders/${orderId}/history`, { asOf: placedAt });
    expect(asPlaced.order).toMatchObject({ status: 'placed', placedAt });
    expect(await shop.settled(orderId)).toMatchObject({ status: 'completed', placedAt });
    const [newest] = (await get(shop.order[0], '/orders', { customerId, limit: 1 })).items;
    expect(newest).toMatchObject({ orderId, placedAt });
    const history = await get(shop.order[0], `/orders/${orderId}/history`);
    expect(history.order.placedAt).toBe(placedAt);
    history.events.forEach(({ at }: { at: string }) => isRecent(at));
    isRecent((await get(shop.payment[0], `/payments/${orderId}`)).updatedAt);
    isRecent((await get(shop.inventory[0], `/reservations/${orderId}`)).updatedAt);
  }
  isRecent((await get(shop.order[0], '/prices')).items[0].since);
});

test('pages across the hour that comes twice in New York neither skip nor repeat an order', async () => {
  const customerId = randomUUID();
  const items = await Promise.all(Array.from({ length: 13 }, () => place(customerId)));
  for (const { orderId } of items) await shop.settled(orderId); // Or a later event would write its row as it was.
  // From 00:45 in summer time to 02:15 in winter time: 01:30 is there as 05:30Z and as 06:30Z.
  const first = Date.parse('2026-11-01T04:45:00.000Z');
  const placedAt = items.map((_, i) => new Date(first + i * 7.5 * 60_000).toISOString());
  for (const [i, { orderId }] of items.entries()) {
    await sql(shop.databases.order, 'UPDATE order_summary SET placed_at = $2 WHERE order_id = $1', [
      orderId,
      placedAt[i],
    ]);
  }
  for (const limit of [1, 3, 7]) {
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await get(shop.order[0], '/orders', { customerId, limit, ...(cursor && { cursor }) });
      seen.push(...page.items.map((item: { placedAt: string }) => item.placedAt));
      cursor = page.next;
    } while (cursor !== undefined && seen.length < 100);
    expect(seen).toEqual(placedAt.toReversed());
  }
});
