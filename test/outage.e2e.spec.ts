/** Postgres goes away under an open shop, and comes back. The server and its roles are as `npm start` makes them. */
import { services } from '../apps/shop.js';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { freePort, type PostgresServer, startPostgres } from '../scripts/lib/embedded-postgres.js';
import { type Databases, openShop, type Shop } from '../proof/shop/open-shop.js';
import { migrate } from '../scripts/migrate.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { refuseOldBuild } from './support/shop.js';

const folder = mkdtempSync(join(tmpdir(), 'larder-outage-'));
let postgres: PostgresServer | undefined;
let shop: Shop | undefined;
afterAll(async () => {
  await shop?.close();
  await postgres?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test(
  'while Postgres is down, requests get 503 within two seconds; everything resumes by itself when it is back',
  { timeout: 120_000 },
  async () => {
    const server = { folder: join(folder, 'postgres'), port: await freePort(), log: join(folder, 'postgres.log') };
    postgres = await startPostgres(server);
    const { url, createDatabase } = postgres;
    const names = [...services, 'bus', 'customer_keys'] as const;
    await Promise.all(names.map((name) => createDatabase(name)));
    await Promise.all(services.map((service) => migrate(url(service), `prisma/${service}/migrations`)));
    refuseOldBuild();
    const databases = Object.fromEntries(names.map((name) => [name, url(name)])) as Databases;
    const open = (shop = await openShop({ databases }));
    await open.setPrices({ honey: 895 });
    await open.stockUp({ honey: 100 });
    const line = { sku: 'honey', quantity: 1 };
    // On their way when it happens: one that was just placed, and one that waits for the provider.
    const orderIds = [await open.place({ lines: [line], token: 'tok_slow' }), await open.place({ lines: [line] })];

    await postgres.stop();
    const asked = [
      () => request(open.order[0]!, open).get(`/orders/${orderIds[0]}`),
      () => request(open.inventory[0]!, open).get('/stock'),
      () =>
        request(open.order[0]!, open)
          .post('/orders')
          .set('Idempotency-Key', 'in-the-outage')
          .send({
            customerId: '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e',
            lines: [line],
            payment: { token: 'tok_approved' },
          }),
    ];
    for (const ask of asked) {
      const startedMs = Date.now();
      const response = await ask();
      expect([response.status, response.body.code]).toEqual([503, 'unavailable']);
      expect(response.headers['retry-after']).toBe('1');
      expect(Date.now() - startedMs).toBeLessThan(2_500);
    }
    for (const service of services) {
      await open.until(`${service} is red`, async () => {
        const { status, body } = await request(open.urls[service][0]!, open).get('/health/ready');
        return { done: status === 503, found: body };
      });
      await request(open.urls[service][0]!, open).get('/health/live').expect(200);
    }

    postgres = await startPostgres(server);
    for (const service of services) {
      await open.until(`${service} is green`, async () => {
        const { status, body } = await request(open.urls[service][0]!, open).get('/health/ready');
        return { done: status === 200, found: body };
      });
    }
    orderIds.push(await open.place({ lines: [line] }), (await asked[2]!().expect(202)).body.orderId);
    for (const orderId of orderIds) await open.settled(orderId);
    const { completed } = await expectInvariants(open, orderIds, { honey: 100 });
    expect(completed).toBe(4);
  },
);
