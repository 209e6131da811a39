/** libs/client on a shop with two instances of the order service. What it does by itself: libs/client/src/client.spec.ts. */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parse } from 'yaml';
import { LarderClient } from '#client';
import { services } from '../apps/shop.js';
import { roles } from '#service';
import { ADA } from '../proof/shop/open-shop.js';
import { openShop, type Shop } from './support/shop.js';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ instances: { order: 2 } });
  await shop.setPrices({ 'olive-oil': 1299 });
  await shop.stockUp({ 'olive-oil': 1_000 });
});
afterAll(() => shop?.close());

/** A client whose requests go to the two instances in turn, as behind a load balancer. */
function balanced(): LarderClient {
  let turn = 0;
  const urls = { order: shop.order[0]!, inventory: shop.inventory[0]!, payment: shop.payment[0]! };
  return new LarderClient(urls, {
    token: shop.issuer.token(ADA, roles),
    fetch: (request) => fetch(new Request(request.url.replace(urls.order, shop.order[turn++ % 2]!), request)),
  });
}

const request = (token = 'tok_approved') => ({
  customerId: randomUUID(),
  lines: [{ sku: 'olive-oil', quantity: 2 }],
  payment: { token },
});

test('the client reads its own writes from any instance, and never sees less than before', async () => {
  const client = balanced();
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const { orderId, customerId } = await client.placeOrder(request());
      expect((await client.order(orderId)).orderId).toBe(orderId);
      const seen = await client.history(orderId);
      const read = await client.orders({ customerId });
      if (seen.order.settled) expect(read.items).toEqual([seen.order]);
    }),
  );
});

test('the client waits until an order is final, and reads what the other services did with their types', async () => {
  const client = balanced();
  const order = await client.placeOrder(request(), { wait: 20 });
  expect(order).toMatchObject({ status: 'completed', settled: true, total: { amountMinor: 2598, currency: 'EUR' } });
  // The position is the order service's; what the other services show is not covered by it.
  await shop.caughtUp();
  expect(await client.reservation(order.orderId)).toMatchObject({
    status: 'shipped',
    lines: order.lines.map(({ sku, quantity }) => ({ sku, quantity })),
  });
  expect(await client.payment(order.orderId)).toMatchObject({ status: 'captured', capturedMinor: 2598 });
  expect(client.positions).toMatch(/^order:\d+, inventory:\d+, payment:\d+$/);
  await expect(client.cancelOrder(order.orderId)).rejects.toMatchObject({ code: 'order-confirmed' });
  await expect(client.payment(randomUUID())).rejects.toMatchObject({ status: 404, code: 'payment-not-found' });
});

test('the client sees the stock and the prices that it entered', async () => {
  const client = balanced();
  await client.setPrice('saffron', { amountMinor: 4_999, currency: 'EUR' });
  expect(await client.prices()).toContainEqual(expect.objectContaining({ sku: 'saffron' }));
  const key = { idempotencyKey: randomUUID() };
  await client.receive('saffron', 3, key);
  await client.receive('saffron', 3, key);
  const counted = { sku: 'saffron', available: 2, reserved: 0, shipped: 0, difference: -1 };
  expect(await client.recount('saffron', 2)).toEqual(counted);
  expect(await client.stockOf('saffron')).toEqual({ sku: 'saffron', available: 2, reserved: 0, shipped: 0 });
  expect((await client.stock()).map(({ sku }) => sku)).toEqual(['olive-oil', 'saffron']);
});

/** The lines of our documents that use the client. */
const examples = [
  'README.md',
  ...readdirSync('docs')
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
].flatMap((document) =>
  [...readFileSync(document, 'utf8').matchAll(/^```ts\n([^]*?)^```/gm)]
    .filter(([, code]) => code!.includes("from '#client'"))
    .map(([, code]) => [document, code!] as const),
);

test('the documents contain examples of the client', () => expect(examples.length).toBeGreaterThan(0));

test.each(examples)('%s: the examples of the client do what they claim', (_document, code) => {
  expect(code).toContain("'http://localhost:3001'");
  mkdirSync('.cache', { recursive: true });
  const folder = mkdtempSync(join('.cache', 'example-')); // #client is found from within the package alone.
  try {
    const file = join(folder, 'example.mjs');
    writeFileSync(file, code.replace('http://localhost:3001', shop.order[0]!));
    const { stdout, stderr } = spawnSync(process.execPath, [file], {
      encoding: 'utf8',
      timeout: 15_000,
      env: { ...process.env, LARDER_TOKEN: shop.issuer.token(randomUUID(), ['customer']) },
    });
    const [, printed] = /console\.log\(.*\); \/\/ (.*)$/m.exec(code)!;
    expect({ stdout, stderr }).toEqual({ stdout: `${printed}\n`, stderr: '' });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.each(services)('%s serves the OpenAPI document that the client was generated from', async (service) => {
  const served = await (await fetch(`${shop.urls[service][0]}/docs-json`, { headers: shop.anybody })).json();
  expect(served).toEqual(parse(readFileSync(`docs/openapi/${service}.yaml`, 'utf8')));
});

test('the gateway serves one document of all, made of theirs', async () => {
  const served = await (await fetch(`${await shop.addGateway()}/docs-json`, { headers: shop.anybody })).json();
  expect(served).toEqual(parse(readFileSync('docs/openapi/gateway.yaml', 'utf8')));
});
