/** What an operator sees: documents, health, metrics, and a dead letter from its first failure to a person's decision. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { orderEvents } from '#contracts';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import request from './support/http.js';
import { openShop, type Shop } from './support/shop.js';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
});
afterAll(() => shop?.close());

const admin = [
  '/admin/activity',
  '/admin/flow',
  '/admin/projections',
  '/admin/projections/replays',
  '/admin/projections/replays/{id}',
  '/admin/projections/{name}/replays',
  '/admin/dead-letters',
  '/admin/dead-letters/kinds',
  '/admin/dead-letters/retry',
  '/admin/dead-letters/skip',
  '/admin/dead-letters/{id}/retry',
  '/admin/dead-letters/{id}/skip',
  '/admin/dead-letters/decisions',
  '/admin/attention',
  '/admin/past-attention',
  '/admin/attention/{orderId}',
  '/admin/stories/{orderId}',
];

test.for([
  [
    'order',
    [
      '/orders',
      '/orders/{orderId}',
      '/orders/{orderId}/history',
      '/orders/{orderId}/cancel',
      '/customers/{customerId}/personal-data',
      '/prices/{sku}',
      '/prices',
    ],
  ],
  [
    'inventory',
    ['/stock/{sku}/receipts', '/stock/{sku}/recounts', '/stock', '/stock/{sku}', '/reservations/{orderId}'],
  ],
  ['payment', ['/payments/{orderId}', '/webhooks/payments', '/simulator/ledger']],
] as const)('%s documents every path, with the schemas that check it', async ([service, paths]) => {
  const url = shop.urls[service][0]!;
  const { body } = await request(url, shop).get('/docs-json').expect(200);
  expect(Object.keys(body.paths).sort()).toEqual([...paths, ...admin].sort());
  for (const operations of Object.values<Record<string, { summary?: string }>>(body.paths)) {
    for (const { summary } of Object.values(operations)) expect(summary).toBeTruthy();
  }
  const { text } = await request(url, shop).get('/docs').expect(200);
  expect(text).toContain('swagger-ui');
  await request(url, shop).get('/docs/swagger-ui-bundle.js').expect(200);
  expect((await request(url, shop).get('/metrics').expect(200)).text).toContain('larder_projection_lag');
  expect((await request(url, shop).get('/health/ready').expect(200)).body.checks).toMatchObject({
    store: { status: 'up' },
    bus: { status: 'up' },
    database: { status: 'up' },
  });
});

test('a message that breaks its contract becomes a dead letter: its key waits for a decision, other keys continue', async () => {
  const bus = await PostgresMessageBus.open({ url: shop.databases.bus, clock: new SystemClock() });
  const [broken, sound] = [randomUUID(), randomUUID()];
  const message = (key: string, type: string, data: object) => ({
    id: randomUUID(),
    type,
    source: orderEvents.source,
    time: new Date().toISOString(),
    key,
    data,
    correlationId: key,
  });
  await bus.publish(orderEvents.name, [
    message(broken, 'OrderPlaced', { orderId: broken, lines: 'many' }),
    message(broken, 'OrderCancelled', { orderId: broken, reason: 'customer' }),
    message(sound, 'OrderWrapped', { orderId: sound }), // A type of tomorrow: left alone.
    message(sound, 'OrderCancelled', { orderId: sound, reason: 'customer' }),
  ]);
  await bus.close();
  const inventory = () => request(shop.inventory[0]!, shop);
  const statusOf = async (orderId: string) => (await inventory().get(`/reservations/${orderId}`)).body.status;

  const letter = await shop.until('the message is a dead letter', async () => {
    const { body } = await inventory().get('/admin/dead-letters').expect(200);
    const found = body.items.find(({ key }: { key: string }) => key === broken);
    return { done: found !== undefined, found };
  });
  expect(letter).toMatchObject({ consumer: 'inventory', message: { type: 'OrderPlaced' } });
  expect(letter.error).toContain('lines');
  expect((await inventory().get('/metrics')).text).toMatch(/^larder_dead_letters\{service="inventory"\} 1$/m);
  await shop.until('the other key continues', async () => ({
    done: (await statusOf(sound)) === 'blocked',
    found: sound,
  }));
  expect(await statusOf(broken)).toBe(404);

  const decide = (action: string, body: object, id = letter.id) =>
    inventory().post(`/admin/dead-letters/${id}/${action}`).send(body);
  const pointless = await decide('skip', {});
  expect([pointless.status, pointless.body.errors[0].pointer]).toEqual([422, '/reason']);
  expect((await decide('skip', { reason: 'a test' }, '999999')).status).toBe(404);
  await decide('skip', { reason: 'a test' }).expect(200);
  // What waited behind it is handled now.
  await shop.until('the line continues', async () => ({ done: (await statusOf(broken)) === 'blocked', found: broken }));
  expect((await inventory().get('/admin/dead-letters')).body).toEqual({ items: [] });
});
