/**
 * Every connection of a service falls silent at once, as when a firewall forgets them: nothing arrives, and nobody says
 * that they are closed. The figures in docs/guarantees.md are what this prints.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { perService, type Service, services } from '../apps/shop.js';
import { freshDatabases, openShop, type Shop } from '../proof/shop/open-shop.js';
import { call } from '../scripts/lib/api.js';
import { expectInvariants } from './support/invariants.js';
import { refuseOldBuild } from './support/shop.js';
import { SilentProxy } from './support/silent-proxy.js';

const lines = [{ sku: 'honey', quantity: 1 }];

const server = inject('postgresUrl');
const proxies = perService(() => new SilentProxy(server));
const orderIds: string[] = [];
let shop: Shop;
beforeAll(async () => {
  refuseOldBuild();
  const databases = await freshDatabases(server);
  const env = {} as Record<Service, Record<string, string>>;
  for (const service of services) {
    const proxy = proxies[service];
    await proxy.open();
    const own = proxy.through(databases[service]);
    env[service] = { DATABASE_URL: own, EVENT_STORE_URL: own, MESSAGE_BUS_URL: proxy.through(databases.bus) };
  }
  shop = await openShop({ databases, env });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 1_000 });
});
afterAll(async () => {
  await shop?.close();
  for (const proxy of Object.values(proxies)) proxy.close();
});

test.each<{ silent: readonly Service[] }>([{ silent: ['order'] }, { silent: ['inventory', 'payment'] }])(
  'when all connections of $silent fall silent, orders are taken again within 15 seconds, and every order becomes final',
  { timeout: 120_000 },
  async ({ silent }) => {
    await Promise.all(Array.from({ length: 5 }, async () => void orderIds.push(await shop.place({ lines }))));
    const beganMs = performance.now();
    const seconds = () => Math.round((performance.now() - beganMs) / 100) / 10;
    const health = async (service: Service) => {
      const answer = await fetch(`${shop.urls[service][0]}/health/ready`);
      return ((await answer.json()) as { status: string }).status;
    };
    const untilAll = (status: string) =>
      Promise.all(
        silent.map((service) =>
          shop.until(`${service} is ${status}`, async () => {
            const found = await health(service);
            return { done: found === status, found };
          }),
        ),
      );

    for (const service of silent) expect(proxies[service].silence()).toBeGreaterThan(0);
    await untilAll('not-ready');
    const red = seconds();
    // A request that met the silence is sent again with its key, as a client does.
    const key = { 'idempotency-key': randomUUID() };
    const order = { customerId: randomUUID(), lines, payment: { token: 'tok_approved' } };
    const send = () => call<{ orderId: string }>('POST', `${shop.order[0]}/orders`, order, key);
    orderIds.push((await shop.until('an order is taken', async () => ({ done: true, found: await send() }))).orderId);
    const taken = seconds();
    for (const orderId of orderIds) await shop.settled(orderId);
    const final = seconds();
    await untilAll('ready');
    console.log(
      `${silent.join(' and ')}: red after ${red} s, orders taken after ${taken} s, all final after ${final} s.`,
    );
    expect(taken).toBeLessThan(15);
    await expectInvariants(shop, orderIds, { honey: 1_000 });
  },
);
