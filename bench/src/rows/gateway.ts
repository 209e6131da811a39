/** P21: what the gateway costs, and what its cache saves. */
import { randomUUID } from 'node:crypto';
import { alternately } from '../load.js';
import { ticks, TICKS_PER_SECOND } from '../processor.js';
import type { Row, Sample } from '../row.js';
import { httpLoad, longAtFirst, openBenchShop, orderBody } from '../shop.js';

const CLIENTS = 16;

export const row: Row = {
  id: 'P21',
  name: 'Through the gateway',
  how: `The order service and the gateway as they are run, a process each, and the same requests to both with the same token: \`GET /orders/{id}\` of one order, and \`POST /orders\`. Alone, one connection sends to both in turn, request by request, so that what disturbs the machine disturbs both. With ${CLIENTS} connections each has its turn, loaded by autocannon in the bench's process. The gateway that is compared keeps no answers (\`CACHE_TIME=0s\`); beside it runs one that does, and every request to that is a hit. \`processorMs\` is the processor time that a request takes of the service and the gateway together. Inventory and payment are closed.`,
  goals: [
    {
      name: 'what a read alone takes longer, p50',
      unit: 'ms',
      atMost: 1,
      value: ({ reads }) => reads!['larderMs']! - reads!['directMs']!,
    },
    {
      name: 'what an order alone takes longer, p50',
      unit: 'ms',
      atMost: 1,
      value: ({ orders }) => orders!['larderMs']! - orders!['directMs']!,
    },
    {
      name: `reads per second, ${CLIENTS} connections, of those without it`,
      unit: '%',
      atLeast: 60,
      value: ({ larder, direct }) => (100 * larder!['rate']!) / direct!['rate']!,
    },
    {
      name: `orders per second, ${CLIENTS} connections, of those without it`,
      unit: '%',
      atLeast: 60,
      value: ({ larderOrders, directOrders }) => (100 * larderOrders!['rate']!) / directOrders!['rate']!,
    },
    {
      name: `hits of its cache per second, ${CLIENTS} connections, of misses`,
      unit: '×',
      atLeast: 3,
      value: ({ hits, larder }) => hits!['rate']! / larder!['rate']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 1_000 : 3_000;
    const nextMs = longAtFirst(bench.quick ? 1_000 : 8_000, ms);
    const { shop, placeOrders, settled, profiled, close } = await openBenchShop(bench, { running: ['order'] });
    const gateway = await shop.addGateway({ CACHE_TIME: '0s' });
    const keeping = await shop.addGateway({ CACHE_TIME: '1h' });
    const direct = shop.order[0]!;

    const send = async (
      url: string,
      path: string,
      init: Omit<RequestInit, 'headers'> & { headers?: Record<string, string> } = {},
    ) => {
      const answer = await fetch(url + path, { ...init, headers: { ...init.headers, ...shop.anybody } });
      const { orderId } = (await answer.json()) as { orderId?: string };
      if (!answer.ok || orderId === undefined) throw new Error(`${url}${path} was answered with ${answer.status}.`);
      return orderId;
    };
    let orders = 0;
    const order = (url: string) => {
      const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID() };
      return send(url, '/orders', { method: 'POST', headers, body: orderBody(orders++) });
    };
    const path = `/orders/${await order(direct)}`;
    await settled();
    await send(keeping, path);

    /** One connection that sends to both in turn. */
    const alone = async (ask: (url: string) => Promise<unknown>): Promise<Sample> => {
      const both = { larder: () => ask(gateway), direct: () => ask(direct) };
      const { larder, direct: without } = await alternately(nextMs(), both);
      return { larderMs: larder!['p50Ms']!, directMs: without!['p50Ms']!, calls: larder!['calls']! };
    };
    /** With the processor time that a request takes of the service and of the gateway. */
    const counted = async (work: () => Promise<Sample>): Promise<Sample> => {
      const taken = () => [...shop.pids.values()].reduce((sum, pid) => sum + ticks(pid), 0);
      const before = taken();
      const sample = await work();
      return { ...sample, processorMs: ((taken() - before) * 1_000) / TICKS_PER_SECOND / sample['calls']! };
    };
    const read = (url: string) =>
      counted(() => httpLoad(url, CLIENTS, ms, (request) => ({ ...request, path, headers: { ...shop.anybody } })));
    const place = async (url: string) => {
      const sample = await counted(() => placeOrders(CLIENTS, ms, {}, url));
      return { ...sample, behindMs: await settled() };
    };
    return {
      contenders: {
        reads: () => alone((url) => send(url, path)),
        orders: () => alone(order),
        larder: () => read(gateway),
        direct: () => read(direct),
        hits: () => read(keeping),
        larderOrders: () => place(gateway),
        directOrders: () => place(direct),
      },
      profile: () => profiled(() => read(gateway)),
      close,
    };
  },
};
