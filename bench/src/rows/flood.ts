/** P20: one caller floods the order service, and what another one notices of it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { baseConfig } from '../../../libs/service/src/index.js';
import { summary } from '../load.js';
import type { Row, Sample } from '../row.js';
import { type BenchShop, httpFlood, openBenchShop, orderBody } from '../shop.js';

const FLOOD = 10_000;
const CLIENTS = 16;
/** Less than the default limit allows one caller. */
const PER_SECOND = 15;
const ALONE_MS = 10_000;

export const row: Row = {
  id: 'P20',
  name: `${FLOOD.toLocaleString('en')} orders of one caller beside another's`,
  how: `One caller sends ${FLOOD.toLocaleString('en')} orders over ${CLIENTS} connections, each as soon as the last one is answered. Another sends ${PER_SECOND} a second meanwhile, whether the earlier ones are answered or not; a latency counts from when its request was due. **Larder**: the order service as in P8, with the limits that it has by itself; of the flood it takes what they allow, and answers the rest with 429. The other caller is refused nothing, or the row fails. **Without limits**: the same with limits that nobody reaches. **Alone**: the other caller, without a flood.`,
  goals: [
    {
      name: "p99 of the other caller's orders, of that without limits",
      unit: '%',
      atMost: 100,
      value: ({ larder, unlimited }) => (100 * larder!['p99Ms']!) / unlimited!['p99Ms']!,
    },
  ],
  async open(bench) {
    const requests = bench.quick ? FLOOD / 10 : FLOOD;
    const defaults = baseConfig.shape.RATE_LIMIT_PER_CALLER;
    const { requests: limit, perMs } = defaults.parse(undefined);
    // Their orders stay open, because order is alone: it is the rate that is limited here.
    const env = { OPEN_ORDERS_PER_CUSTOMER: `${10 * FLOOD}` };
    const limited = { ...env, RATE_LIMIT_PER_CALLER: `${limit}/${perMs / 1_000}s` };
    const shop = await openBenchShop(bench, { running: ['order'], env: limited });
    const open = await openBenchShop(bench, { running: ['order'], env });
    return {
      contenders: {
        larder: () => beside(shop, flood(shop, requests)),
        unlimited: () => beside(open, flood(open, requests)),
        alone: () => beside(shop, sleep(bench.quick ? ALONE_MS / 10 : ALONE_MS, 0)),
      },
      async close() {
        await shop.close();
        await open.close();
      },
    };
  },
};

/** The request of a customer who has sent nothing yet, for the `n`-th order. */
function orderingAs(shop: BenchShop): (n: number) => { method: 'POST'; headers: Record<string, string>; body: string } {
  const caller = shop.shop.as(randomUUID(), 'customer');
  return (n) => {
    const { customerId: _, ...body } = JSON.parse(orderBody(n)) as Record<string, unknown>;
    const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID(), ...caller };
    return { method: 'POST', headers, body: JSON.stringify(body) };
  };
}

/** Sends it as one caller, and returns how many were taken. */
function flood(shop: BenchShop, requests: number): Promise<number> {
  const order = orderingAs(shop);
  let n = 0;
  return httpFlood(shop.shop.order[0]!, CLIENTS, requests, (request) => ({
    ...request,
    path: '/orders',
    ...order(n++),
  }));
}

/** What another caller sees until it is over. @throws Error when an order of theirs is not taken */
async function beside(shop: BenchShop, flooding: Promise<number>): Promise<Sample> {
  const order = orderingAs(shop);
  const latencies: number[] = [];
  const pending: Promise<void>[] = [];
  let isOver = false;
  const begin = performance.now();
  const over = flooding.finally(() => (isOver = true));
  for (let n = 0; !isOver || n === 0; n++) {
    const due = begin + (n * 1_000) / PER_SECOND;
    await sleep(due - performance.now());
    pending.push(
      fetch(`${shop.shop.order[0]}/orders`, order(n)).then(async ({ status, body }) => {
        await body?.cancel();
        if (status !== 202) throw new Error(`An order of the other caller was answered with ${status}.`);
        latencies.push(performance.now() - due);
      }),
    );
  }
  const taken = await over;
  await Promise.all(pending);
  return { ...summary(latencies), taken };
}
