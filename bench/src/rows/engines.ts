/** P15: the whole checkout, next to engines that one would pick instead. */
import { openDbos, openDbosServices } from '../engines/dbos.js';
import { type Engine, measured } from '../engines/engine.js';
import { openLarder } from '../engines/larder.js';
import { openOutbox } from '../engines/outbox.js';
import { openRestate, openRestateOnPostgres } from '../engines/restate.js';
import { load } from '../load.js';
import { openPool } from '../pool.js';
import type { Row, Samples } from '../row.js';
import { longAtFirst, SKUS } from '../shop.js';

const IN_FLIGHT = [1, 16, 64] as const;
const PEERS = {
  dbos: openDbos,
  dbosServices: openDbosServices,
  restate: openRestate,
  restateOnPostgres: openRestateOnPostgres,
  outbox: openOutbox,
};

export const row: Row = {
  id: 'P15',
  name: 'The same checkout beside engines that one would pick instead, 1, 16 and 64 in flight',
  how: `Orders of one line, of ${SKUS.length} SKUs in turn: each is placed, its stock reserved, its payment authorized at the provider, then it is confirmed, shipped and captured at the same time, and completed; every one of these facts is on the disk before the next step begins. It is asked for over HTTP by one customer, by 16 and by 64, each of whom is answered when the order is completed, and orders again; those that are under way when the time is over are waited for. The provider is Larder's simulated one on all sides, with its books in Postgres. After every round each side is judged: units gone from stock are units sold, what the provider has taken is what completed orders cost, and no order is without both. **Larder**: the three services as they are run, with their read models, messages and webhooks. **DBOS** (\`dbos\`): one process with Fastify; the order is a workflow of DBOS Transact, named by its Idempotency-Key, whose seven steps are single SQL statements that may be repeated, which takes fewer round trips than its data sources' transactions; the last two before the end go on together (\`Promise.allSettled\`); its tables are in the database of the shop, and its pool and that of the steps have 20 connections each. **DBOS, three services** (\`dbosServices\`): order, inventory and payment are applications of their own, each with a database; steps of the order's workflow call the others by \`fetch\`, which run a workflow for each request, named by the order. **Restate** (\`restate\`): one node with the defaults of its server, whose log waits for the disk (\`rocksdb-disable-wal-fsync\` is false), and three services; the order is a workflow, the stock of a SKU a virtual object, and clients ask Restate's ingress. **Restate, stock in Postgres** (\`restateOnPostgres\`): the same with a table for the stock. **Outbox** (\`outbox\`): three services by hand with Fastify and \`pg\`, 16 connections each, a database each, an outbox that is looked into every 100 ms, messages posted in batches of up to 100 to the other services, and an inbox with a row for each. All sides are open while one is measured, and what each does at rest, such as looking into its outbox, goes on beside all of them. For each checkout, \`cpuMs\` is the processor time of a side's processes and of its connections on the server, and \`transactions\` are those of the server that wrote something.`,
  goals: [
    {
      name: 'checkouts per second, of the best of them, 64 in flight',
      unit: '×',
      atLeast: 2,
      value: (samples) => samples['larder64']!['rate']! / Math.max(...ofPeers(samples, 64, 'rate')),
    },
    {
      name: 'the same, 16 in flight',
      unit: '×',
      atLeast: 1.5,
      value: (samples) => samples['larder16']!['rate']! / Math.max(...ofPeers(samples, 16, 'rate')),
    },
    {
      name: "p50 of a checkout alone, of the best one's",
      unit: '×',
      atMost: 0.6,
      value: (samples) => samples['larder1']!['p50Ms']! / Math.min(...ofPeers(samples, 1, 'p50Ms')),
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 1_000 : 4_000;
    const server = openPool(bench.serverUrl, 1);
    const larder = await openLarder(bench);
    const engines: Record<string, Engine> = { larder };
    const close = async () => {
      for (const engine of Object.values(engines)) await engine.close();
      await server.end();
    };
    try {
      for (const [name, open] of Object.entries(PEERS)) engines[name] = await open(bench);
    } catch (error) {
      await close();
      throw error;
    }
    const works = Object.entries(engines).flatMap(([name, engine]) => {
      const duration = longAtFirst(bench.quick ? 1_000 : 10_000, ms);
      return IN_FLIGHT.map((n) => [`${name}${n}`, () => measured(engine, server, n, duration())] as const);
    });
    return {
      contenders: Object.fromEntries(works),
      profile: () => larder.profiled(() => load(64, ms, larder.checkOut)),
      close,
    };
  },
};

/** What the peers measured with so many in flight. */
function ofPeers(samples: Samples, inFlight: (typeof IN_FLIGHT)[number], what: string): number[] {
  return Object.keys(PEERS).map((name) => samples[`${name}${inFlight}`]![what]!);
}
