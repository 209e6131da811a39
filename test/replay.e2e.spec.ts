/** Every read model is rebuilt while orders come in: row for row the same, and no read fails meanwhile. */
import { perService, type Service, services } from '../apps/shop.js';
import { spawn } from 'node:child_process';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import request from './support/http.js';
import { openShop, type Shop } from './support/shop.js';

let shop: Shop;
afterAll(() => shop?.close());

const readModels = [
  'order-summary',
  'price-list',
  'order-todo',
  'stock-level',
  'reservation-summary',
  'stock-hold',
  'payment-summary',
  'payment-todo',
  'money-hold',
];

function replay(name: string): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, ['scripts/run.mjs', 'replay', name], {
    env: { ...process.env, ...shop.replayEnv },
  });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })));
}

test('a rebuild under load equals the live table, and no read fails', { timeout: 180_000 }, async () => {
  // Only locks may hold up a read here: a busy machine must not make it take longer than a request may.
  shop = await openShop({ env: perService(() => ({ REQUEST_TIMEOUT: '10s' })) });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 10_000 });

  let open = true;
  const orderIds: string[] = [await shop.place({ lines: [{ sku: 'honey', quantity: 1 }] })];
  await shop.settled(orderIds[0]!);
  const customers = Array.from({ length: 2 }, async () => {
    while (open) orderIds.push(await shop.place({ lines: [{ sku: 'honey', quantity: 1 }] }));
  });
  const reads: number[] = [];
  const readers = services.map(async (service) => {
    const paths: Partial<Record<Service, string>> = {
      order: '/orders?limit=5',
      inventory: '/stock/honey',
      payment: `/payments/${orderIds[0]}`,
    };
    const path = paths[service] ?? '/admin/projections';
    while (open) reads.push((await request(shop.urls[service][0]!, shop).get(path)).status);
  });
  try {
    const { code, output } = await replay('--all');
    for (const name of readModels) {
      expect(output).toMatch(new RegExp(`${name}: .*; 0 rows differ from the previous table`));
    }
    expect(code).toBe(0);
  } finally {
    open = false;
    await Promise.all([...customers, ...readers]);
  }
  expect(new Set(reads)).toEqual(new Set([200]));
  expect(reads.length).toBeGreaterThan(50);
  expect(orderIds.length).toBeGreaterThan(20);
  // The switched tables are kept up like those before them.
  for (const orderId of orderIds.slice(-3)) await shop.settled(orderId);
});

test('a service reports a table that was built by other code, stays ready, and no longer reports it after a replay', async () => {
  const client = new pg.Client({ connectionString: shop.databases.order });
  await client.connect();
  await client.query(`UPDATE checkpoints SET built_by = 'other' WHERE name = 'projection:price-list'`);
  await client.end();
  await shop.restart('order');
  const staleness = async () => {
    const { body: health } = await request(shop.order[0]!, shop).get('/health/ready').expect(200);
    const { body: admin } = await request(shop.order[0]!, shop).get('/admin/projections').expect(200);
    const shown = Object.entries<{ stale?: string }>(health.checks).flatMap(([name, { stale }]) =>
      stale ? [[name, stale]] : [],
    );
    const items = (admin.items as { name: string; stale?: string }[]).flatMap(({ name, stale }) =>
      stale ? [[name, stale]] : [],
    );
    return { status: health.status, health: shown, admin: items };
  };
  expect(await staleness()).toEqual({
    status: 'ready',
    health: [['projection:price-list', 'code']],
    admin: [['price-list', 'code']],
  });
  const warning = "price_list was built by other code than today's: `npm run replay -- price-list` rebuilds it.";
  await shop.until('the log says it', async () => ({ done: shop.logs('order').includes(warning), found: '' }));
  expect(shop.logs('order').split(' rebuilds it.').length).toBe(2);

  expect(await replay('price-list')).toMatchObject({ code: 0 });
  await shop.until('health has looked again', async () => {
    const found = await staleness();
    return { done: found.health.length === 0 && found.admin.length === 0, found };
  });
});
