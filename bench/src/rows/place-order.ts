/** P8: an order that is accepted is durable. What that costs, next to the commit alone. */
import { randomUUID } from 'node:crypto';
import { load } from '../load.js';
import { openBareEvents } from '../peers.js';
import type { Row } from '../row.js';
import { cause } from '../samples.js';
import { httpLoad, longAtFirst, openBenchShop, openEmptyApplication, PRICE, QUANTITY, SKUS, TOKEN } from '../shop.js';

const CLIENTS = 16;

export const row: Row = {
  id: 'P8',
  name: `Durable POST /orders, ${CLIENTS} connections`,
  how: `Every request places a new order of one line and is answered when its event is durable. **Larder**: the order service as it is run, one process, over HTTP/1.1 with keep-alive, loaded by autocannon in the bench's process; its read models and its relay work at the same time, and what they had not done when the round ended stands as \`behindMs\`. Inventory and payment are closed: the row is about acceptance. **Bare commits**: \`pg\` with ${CLIENTS} connections and a prepared \`INSERT\` of the same event into a table with the columns and the two indexes of an event store, each in a transaction of its own: no HTTP, no checks, no read models, no messages. **HTTP alone**, for comparison: what an empty application of Nest on Fastify answers to the same connections.`,
  goals: [
    {
      name: 'orders accepted per second, of bare commits per second',
      unit: '%',
      atLeast: 45,
      value: ({ larder, bare }) => (100 * larder!['rate']!) / bare!['rate']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 1_000 : 3_000;
    const larderMs = longAtFirst(bench.quick ? 1_000 : 10_000, ms);
    const shop = await openBenchShop(bench, { running: ['order'] });
    const bare = await openBareEvents(await bench.database(), CLIENTS);
    const empty = await openEmptyApplication();
    const larder = async () => {
      const sample = await shop.placeOrders(CLIENTS, larderMs());
      return { ...sample, behindMs: await shop.settled() };
    };
    return {
      contenders: {
        larder,
        bare: () => load(CLIENTS, ms, () => bare.insert(`order-${randomUUID()}`, placed())),
        http: () => httpLoad(empty.url, CLIENTS, ms),
      },
      profile: () => shop.profiled(() => shop.placeOrders(CLIENTS, ms)),
      async close() {
        await shop.close();
        await bare.close();
        await empty.close();
      },
    };
  },
};

/** The event that the order service writes for the same order. */
function placed() {
  const now = new Date().toISOString();
  const data = {
    customerId: randomUUID(),
    lines: [{ sku: SKUS[0], quantity: QUANTITY, unitPrice: PRICE }],
    total: { ...PRICE, amountMinor: PRICE.amountMinor * QUANTITY },
    paymentToken: TOKEN,
    tokenDigest: TOKEN,
    placedAt: now,
    deadlineAt: now,
  };
  return { id: randomUUID(), type: 'OrderPlaced', data, metadata: { ...cause(), schema: 2 } };
}
