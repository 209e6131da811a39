/**
 * Connections of services fall silent, as when a firewall forgets them: nothing arrives, and nobody says that they are
 * closed. The figures in docs/guarantees.md are what this prints with `SILENCE=all`, which takes ten minutes.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { perService, type Service, services } from '../apps/shop.js';
import { freshDatabases, openShop, type Shop } from '../proof/shop/open-shop.js';
import { call } from '../scripts/lib/api.js';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { createTopics } from '../scripts/topics.js';
import { expectInvariants } from './support/invariants.js';
import { KAFKA_STARTS_MS, kafkaBehindProxy, kafkaMissing } from './support/kafka.js';
import { refuseOldBuild } from './support/shop.js';
import { type Silence, SilentProxy, SILENCES } from './support/silent-proxy.js';

interface Row {
  readonly silent: readonly Service[];
  readonly how: Silence;
  /** How many instances each service has. The connections of the first fall silent. */
  readonly instances: 1 | 2;
}

const all = process.env['SILENCE'] === 'all';
const rows: Row[] = [
  { silent: ['order'], how: 'both', instances: 1 },
  { silent: ['inventory', 'payment'], how: 'both', instances: 1 },
];
if (all) {
  for (const how of SILENCES) rows.push({ silent: services, how, instances: 1 });
  for (const service of services) rows.push({ silent: [service], how: 'both', instances: 2 });
}

const lines = [{ sku: 'honey', quantity: 1 }];
const stock = { honey: 1_000 };
const server = inject('postgresUrl');
const orderIds: string[] = [];
let shop: Shop;

/** Opens a shop whose services reach their databases, and a bus on Postgres, through `proxies`. */
async function openBehind(proxies: Readonly<Record<Service, SilentProxy>>, busUrl?: string): Promise<void> {
  refuseOldBuild();
  const databases = await freshDatabases(server, busUrl);
  const env = {} as Record<Service, Record<string, string>>;
  for (const service of services) {
    const proxy = proxies[service];
    await proxy.open();
    const own = proxy.through(databases[service]);
    const bus = busUrl ?? proxy.through(databases.bus);
    env[service] = { DATABASE_URL: own, EVENT_STORE_URL: own, MESSAGE_BUS_URL: bus };
  }
  shop = await openShop({ databases, env });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp(stock);
  orderIds.length = 0;
}

/** Starts a second instance of each service that has none, which reaches everything directly. */
async function addInstances(): Promise<void> {
  const { databases } = shop;
  for (const service of services) {
    if (shop.urls[service].length > 1) continue;
    const own = databases[service];
    await shop.add(service, { DATABASE_URL: own, EVENT_STORE_URL: own, MESSAGE_BUS_URL: databases.bus });
  }
}

/** Resolves when the first instances of these services are all in this state. */
async function untilAll(those: readonly Service[], state: string): Promise<void> {
  const look = async (service: Service) => {
    const answer = await fetch(`${shop.urls[service][0]}/health/ready`);
    const found = (await answer.json()) as { status: string };
    return { done: found.status === state, found };
  };
  await Promise.all(those.map((service) => shop.until(`${service} is ${state}`, () => look(service))));
}

/**
 * Places orders, lets connections fall silent, and measures seconds from then: until the services that are to be red are,
 * until another order is taken, until all orders are final, and until all services are ready.
 */
async function measure(silence: () => number, { red, instances = 1 }: { red: readonly Service[]; instances?: number }) {
  await Promise.all(Array.from({ length: 5 }, async () => void orderIds.push(await shop.place({ lines }))));
  const beganMs = performance.now();
  const seconds = () => Math.round((performance.now() - beganMs) / 100) / 10;
  expect(silence()).toBeGreaterThan(0);
  await untilAll(red, 'not-ready');
  const redAfter = seconds();
  // A request that met the silence is sent again with its key, as a client does: to the next instance, if there is one.
  const key = { 'idempotency-key': randomUUID(), ...shop.anybody };
  const order = { customerId: randomUUID(), lines, payment: { token: 'tok_approved' } };
  let tries = 0;
  const send = () => call<{ orderId: string }>('POST', `${shop.order[tries++ % instances]}/orders`, order, key);
  orderIds.push((await shop.until('an order is taken', async () => ({ done: true, found: await send() }))).orderId);
  const taken = seconds();
  for (const orderId of orderIds) await shop.settled(orderId);
  const final = seconds();
  await untilAll(services, 'ready');
  const ready = seconds();
  const told = `red after ${redAfter} s, an order taken after ${taken} s, all final after ${final} s, ready after ${ready} s`;
  return { taken, final, told };
}

describe('connections to Postgres', () => {
  const proxies = perService(() => new SilentProxy(server));
  beforeAll(() => openBehind(proxies));
  afterAll(async () => {
    await shop?.close();
    for (const proxy of Object.values(proxies)) proxy.close();
  });

  // While each service has one instance.
  if (all) {
    test.each(services)(
      'when those of one name of %s fall silent, orders are taken again within 15 seconds, and every order becomes final',
      { timeout: 600_000 },
      async (service) => {
        for (const name of proxies[service].applications()) {
          const { taken, final, told } = await measure(() => proxies[service].silence({ of: name }), { red: [] });
          console.log(`${service}, ${name.replaceAll('\0', '')}: ${told}.`);
          expect(taken).toBeLessThan(15);
          expect(final).toBeLessThan(20);
        }
        await expectInvariants(shop, orderIds, stock);
      },
    );
  }

  test.each(rows)(
    'when those of $silent fall silent ($how, 1 of $instances), orders are taken again within 15 seconds, and every order becomes final',
    { timeout: 120_000 },
    async ({ silent, how, instances }) => {
      if (instances === 2) await addInstances();
      const silence = () => Math.min(...silent.map((service) => proxies[service].silence({ how })));
      const { taken, told } = await measure(silence, { red: silent, instances });
      console.log(`${silent.join(', ')} (${how}, 1 of ${instances}): ${told}.`);
      expect(taken).toBeLessThan(15);
      await expectInvariants(shop, orderIds, stock);
    },
  );
});

if (all) {
  describe.skipIf(kafkaMissing)('connections to the broker', () => {
    const proxies = perService(() => new SilentProxy(server));
    let proxy: SilentProxy;
    let broker: KafkaBroker;
    beforeAll(async () => {
      ({ broker, proxy } = await kafkaBehindProxy());
      await createTopics(broker.url);
      await openBehind(proxies, proxy.through(broker.url));
    }, KAFKA_STARTS_MS);
    afterAll(async () => {
      await shop?.close();
      await broker?.stop();
      for (const each of [proxy, ...Object.values(proxies)]) each?.close();
    });

    test.each(SILENCES)(
      'when those of all services fall silent (%s), orders are taken all the time, and every order becomes final',
      { timeout: 120_000 },
      async (how) => {
        const { taken, told } = await measure(() => proxy.silence({ how }), { red: [] });
        console.log(`the broker (${how}): ${told}.`);
        expect(taken).toBeLessThan(2);
        await expectInvariants(shop, orderIds, stock);
      },
    );
  });
}
