/** Every read model is rebuilt while orders come in: row for row the same, and no read fails meanwhile. */
import { perService, type Service, services } from '../apps/shop.js';
import { spawn } from 'node:child_process';
import pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import request from './support/http.js';
import { ADA } from '../proof/shop/open-shop.js';
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

test('an operator has a read model compared, rebuilt and rolled back over HTTP, and each is recorded', async () => {
  const order = () => request(shop.order[0]!, shop);
  const asking = (action: string, name = 'price-list') =>
    order().post(`/admin/projections/${name}/replays`).send({ action, reason: 'a test' });
  const ended = (path: string) =>
    shop.until('the replay has ended', async () => {
      const { body: found } = await order().get(path).expect(200);
      return { done: found.endedAt !== undefined, found };
    });
  const shown = async () => (await order().get('/admin/projections').expect(200)).body.items as { name: string }[];
  const ofPrices = async () => (await shown()).find(({ name }) => name === 'price-list');

  const client = new pg.Client({ connectionString: shop.databases.order });
  await client.connect();
  await client.query(`DROP TABLE price_list_before; UPDATE price_list SET amount_minor = 1`);
  await client.end();
  expect((await asking('rollback').expect(409)).body).toMatchObject({ code: 'no-previous-table' });
  expect((await asking('rebuild', 'stock-level').expect(404)).body).toMatchObject({ code: 'projection-not-found' });
  await asking('repair').expect(422);
  await order().post('/admin/projections/price-list/replays').send({ action: 'rebuild' }).expect(422);
  await order().get('/admin/projections/replays/00000000-0000-4000-8000-000000000000').expect(404);

  const { body: asked, headers } = await asking('compare').expect(202);
  const by = { projection: 'price-list', actor: ADA, reason: 'a test', correlationId: expect.any(String) };
  expect(asked).toMatchObject({ ...by, action: 'compare' });
  expect(headers['location']).toBe(`/admin/projections/replays/${asked.id}`);
  const compared = await ended(headers['location']!);
  const difference = { table: { amount_minor: 1 }, events: { amount_minor: 895 }, columns: ['amount_minor'] };
  expect(compared).toMatchObject({ ...by, status: 'done', result: { differing: 1, differences: [difference] } });

  // While one is open, another one is refused, and says whose that is: two at once, of which one comes second.
  const both = await Promise.all([asking('rebuild'), asking('rebuild')]);
  const first = both.find(({ status }) => status === 202)!;
  const second = both.find(({ status }) => status === 409)!;
  expect(second.body).toMatchObject({ code: 'replay-under-way', replay: { id: first.body.id, actor: ADA } });
  const rebuilt = await ended(`/admin/projections/replays/${first.body.id}`);
  expect(rebuilt).toMatchObject({ status: 'done', switchedAt: expect.any(String), result: { differing: 1 } });
  expect(await ofPrices()).toMatchObject({
    lag: 0,
    behindSeconds: 0,
    previous: { table: 'price_list_before' },
    replay: rebuilt,
  });
  const back = await ended((await asking('rollback').expect(202)).headers['location']!);
  expect(back).toMatchObject({ status: 'done', action: 'rollback' });

  const { body: listed } = await order().get('/admin/projections/replays?limit=2').expect(200);
  expect(listed.items).toEqual([back, rebuilt]);
  const { body: rest } = await order().get(`/admin/projections/replays?cursor=${listed.next}`).expect(200);
  expect(rest).toEqual({ items: [compared] });
  const lines = shop.logs('order').split('\n');
  expect(lines.filter((line) => line.includes('A person asked for a replay.') && line.includes(ADA))).toHaveLength(3);
});
