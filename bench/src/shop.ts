/**
 * The shop for the rows that measure whole services: compiled, as processes of their own, over HTTP, on databases of the
 * run's Postgres. `npm run bench` builds them before it starts.
 */
import { fork, type ForkOptions } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type autocannonType from 'autocannon';
import pg from 'pg';
import { migrate } from '../../scripts/migrate.js';
import { type Databases, openShop } from '../../proof/shop/open-shop.js';
import { perService, type Service, services } from '../../apps/shop.js';
import { ticks } from './processor.js';
import { profile, type Profile, type Share } from './profile.js';
import type { Bench, Sample } from './row.js';

// Its types are those of a CommonJS module, which `import` does not see through.
const autocannon = createRequire(import.meta.url)('autocannon') as typeof autocannonType;

/** What is in stock, and ordered in turn. */
export const SKUS = ['olive-oil', 'sourdough', 'coffee', 'tomatoes', 'honey'];
export const PRICE = { amountMinor: 1299, currency: 'EUR' };
export const QUANTITY = 2;
export const TOKEN = 'tok_approved';

/** The headers of an order that is answered when it is final. */
export const FINAL = { prefer: 'wait=30' };

/** Units of each SKU in stock: more than are ordered in a run. */
export const PLENTY = 1_000_000;
/** The name of the connections that only look at the shop. */
export const WATCHING = 'bench';

/** Builds and Kafka's jars are found from the root of the checkout. */
export function atTheRoot(): void {
  process.chdir(fileURLToPath(new URL('../..', import.meta.url)));
}

/** The body of the `n`-th order: one line, of each SKU in turn. */
export function orderBody(n: number): string {
  return JSON.stringify({
    customerId: randomUUID(),
    lines: [{ sku: SKUS[n % SKUS.length], quantity: QUANTITY }],
    payment: { token: TOKEN },
  });
}

export type BenchShop = Awaited<ReturnType<typeof openBenchShop>>;

export interface BenchShopOptions {
  /** Default: all services. */
  readonly running?: readonly Service[];
  /** Where the messages and the events are; default: in Postgres. */
  readonly busUrl?: string;
  readonly eventsUrl?: string;
  /** Variables of the order service. */
  readonly env?: Record<string, string>;
}

/** Opens a shop with one instance of each service that is to run, and fills its shelves. */
export async function openBenchShop(
  bench: Bench,
  { running = services, busUrl, eventsUrl, env = {} }: BenchShopOptions = {},
) {
  atTheRoot();
  const databases: Record<string, string> = {
    bus: busUrl ?? (await bench.database()),
    customer_keys: await bench.database(),
  };
  for (const name of services) databases[name] = await bench.database();
  for (const name of services) await migrate(databases[name]!, `prisma/${name}/migrations`);
  const instances = Object.fromEntries(services.map((service) => [service, running.includes(service) ? 1 : 0]));
  bench.signal.throwIfAborted(); // Who is interrupted from here on closes it.
  const shop = await openShop({
    databases: databases as Databases,
    instances,
    env: eventsUrl ? perService(() => ({ EVENT_STORE_URL: eventsUrl })) : { order: env },
    onOpening: (opening) => bench.signal.addEventListener('abort', () => void opening.close({ abandoned: true })),
  });
  await shop.setPrices(Object.fromEntries(SKUS.map((sku) => [sku, PRICE.amountMinor])));
  if (running.includes('inventory')) await shop.stockUp(Object.fromEntries(SKUS.map((sku) => [sku, PLENTY])));

  /** `clients` connections place orders of one line for `ms` milliseconds, with these headers, by default at the service itself. */
  function placeOrders(
    clients: number,
    ms: number,
    headers: Record<string, string> = {},
    url = shop.order[0]!,
  ): Promise<Sample> {
    let n = 0;
    const setupRequest = (request: autocannonType.Request): autocannonType.Request => ({
      ...request,
      method: 'POST',
      path: '/orders',
      headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID(), ...shop.anybody, ...headers },
      body: orderBody(n++),
    });
    return httpLoad(url, clients, ms, setupRequest);
  }

  const checkOut = checkingOutAt(shop.order[0]!, { headers: { ...FINAL, ...shop.anybody } });

  /**
   * Waits until relays and read models have caught up with the events, and nothing moves; where the events are elsewhere,
   * until the read models say that they have. Returns how many milliseconds that took.
   */
  async function settled(): Promise<number> {
    const begin = performance.now();
    if (eventsUrl) {
      await shop.caughtUp();
      return performance.now() - begin;
    }
    const clients = running.map(
      (service) => new pg.Client({ connectionString: shop.databases[service], application_name: WATCHING }),
    );
    await Promise.all(clients.map((client) => client.connect()));
    try {
      for (let before = ''; ; await sleep(50)) {
        const found = await Promise.all(
          clients.map((client) => client.query<{ head: string; behind: number }>(BEHIND)),
        );
        const rows = found.flatMap((result) => result.rows);
        const now = JSON.stringify(rows);
        if (now === before && rows.every(({ behind }) => behind === 0)) return performance.now() - begin;
        before = now;
      }
    } finally {
      await Promise.all(clients.map((client) => client.end()));
    }
  }

  /** Where the time goes while `work` is done: by process, and on the server. */
  async function profiled(work: () => Promise<unknown>): Promise<Profile> {
    const backends = new pg.Client({ connectionString: bench.serverUrl });
    await backends.connect();
    const { rows } = await backends.query<{ pid: number }>('SELECT pid FROM pg_stat_activity');
    await backends.end();
    const groups = new Map<string, readonly number[]>([
      ...[...shop.pids].map(([name, pid]) => [`the service ${name.replace(/ 1$/, '')}`, [pid]] as const),
      ['Postgres', rows.map(({ pid }) => pid)],
      ['the clients', [process.pid]],
    ]);
    const before = ticksOf(groups);
    const { Postgres: server } = await profile(bench.serverUrl, work);
    return { Processors: sharesOf(before, ticksOf(groups)), Postgres: server ?? [] };
  }

  return { shop, placeOrders, checkOut, settled, profiled, close: () => shop.close() };
}

/**
 * What places an order of one line at `url`, and waits until it is completed. An order is named by its Idempotency-Key, or by
 * the path that `pathOf` makes of its id.
 */
export function checkingOutAt(
  url: string,
  { headers, pathOf }: { headers?: Record<string, string>; pathOf?: (orderId: string) => string } = {},
): () => Promise<void> {
  let checkouts = 0;
  return async () => {
    const orderId = randomUUID();
    const key = pathOf ? {} : { 'idempotency-key': orderId };
    const body = orderBody(checkouts++);
    const answer = await fetch(`${url}${pathOf?.(orderId) ?? '/orders'}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...key, ...headers },
      body,
    });
    const { status } = (await answer.json()) as { status?: string };
    if (status !== 'completed') throw new Error(`${url} answered ${answer.status}, and the order is ${status}.`);
  };
}

/** Cast, because others may have changed what the driver makes of a bigint. */
const BEHIND = `
  SELECT head::text, (SELECT count(*)::int FROM checkpoints WHERE position < head) AS behind
  FROM (SELECT coalesce(max(position), 0) AS head FROM event_store.events) AS events`;

/**
 * `clients` connections send requests for `ms` milliseconds, each as soon as its last one is answered. By autocannon,
 * whose latencies are whole milliseconds.
 * @throws Error unless all are answered with 2xx
 */
export async function httpLoad(
  url: string,
  clients: number,
  ms: number,
  setupRequest?: (request: autocannonType.Request) => autocannonType.Request,
): Promise<Sample> {
  const requests = setupRequest ? { requests: [{ setupRequest }] } : {};
  const result = await autocannon({ url, connections: clients, duration: ms / 1_000, timeout: 60, ...requests });
  const failed = result.errors + result.non2xx;
  if (failed > 0) throw new Error(`${failed} of ${result.requests.total} requests to ${url} failed.`);
  const { p50, p99 } = result.latency;
  return { rate: result['2xx'] / result.duration, p50Ms: p50, p99Ms: p99, calls: result['2xx'] };
}

/**
 * `clients` connections send `amount` requests, each as soon as its last one is answered, and returns how many were answered
 * with 2xx. What is refused is no failure.
 * @throws Error when a request gets no answer
 */
export async function httpFlood(
  url: string,
  clients: number,
  amount: number,
  setupRequest: (request: autocannonType.Request) => autocannonType.Request,
): Promise<number> {
  const result = await autocannon({ url, connections: clients, amount, timeout: 60, requests: [{ setupRequest }] });
  if (result.errors > 0) throw new Error(`${result.errors} of ${amount} requests to ${url} failed.`);
  return result['2xx'];
}

/** An application of Nest on Fastify with one controller and nothing else (empty.mjs), as a process of its own. */
export function openEmptyApplication() {
  return openProgram('empty.mjs', { execArgv: [] });
}

/** A stand-in for KurrentDB (kurrentdb/server.ts), as a process of its own, which is as slow as a real one. */
export function openKurrentDb() {
  return openProgram('kurrentdb/server.ts', { cwd: fileURLToPath(new URL('..', import.meta.url)) });
}

/** A program in this folder that sends its URL when it is ready, and ends with the channel to us. */
async function openProgram(file: string, options: ForkOptions) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), options);
  const ended = once(child, 'exit');
  const [url] = (await Promise.race([once(child, 'message'), ended])) as [string | number | null];
  if (typeof url !== 'string') throw new Error(`${file} ended before it was ready.`);
  return {
    url,
    pid: child.pid!,
    async close() {
      child.disconnect();
      await ended;
    },
  };
}

/** The first time `firstMs`, and `ms` from then on: the first run of a contender warms it up, and takes longer. */
export function longAtFirst(firstMs: number, ms: number): () => number {
  let next = firstMs;
  return () => {
    const now = next;
    next = ms;
    return now;
  };
}

/** Processor time of groups of processes, in clock ticks; none where there is no /proc. */
function ticksOf(groups: ReadonlyMap<string, readonly number[]>): Map<string, number> {
  const sum = (pids: readonly number[]) => pids.map(ticks).reduce((a, b) => a + b, 0);
  return new Map(existsSync('/proc/self/stat') ? [...groups].map(([name, pids]) => [name, sum(pids)]) : []);
}

/** What each took between two looks, of all that they took together. */
function sharesOf(before: ReadonlyMap<string, number>, after: ReadonlyMap<string, number>): Share[] {
  const took = [...after].map(([what, ticks]) => ({ what, ticks: Math.max(0, ticks - (before.get(what) ?? 0)) }));
  const all = took.reduce((sum, { ticks }) => sum + ticks, 0);
  return took
    .map(({ what, ticks }) => ({ what, percent: Math.round((ticks * 1_000) / all) / 10 }))
    .toSorted((a, b) => b.percent - a.percent);
}
