/**
 * `npm run consistency`: orders are placed at one instance and immediately read at another, every second one with the
 * position that its write returned. None of those may be missing; how many of the others are shows that stale reads do
 * happen.
 *
 * `-- --doors 2`: customers who know of no positions order at one gateway and read at another, every second time with a
 * cookie jar, from two instances of each service and from the gateways' caches.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { perService } from '../apps/shop.js';
import { readCommandLine, wholeNumber } from '../scripts/lib/command-line.js';
import { number, type Output } from '../scripts/lib/progress-bar.js';
import { CookieJar } from './shop/cookie-jar.js';
import type { Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';
import { green, red } from '../scripts/lib/screen.js';

const CLIENTS = 16;
const SKU = 'olive-oil';
const PATIENCE_MS = 30_000;

/** The results of reads that came right after their writes. */
export interface Reads {
  /** How long each took, in milliseconds. */
  readonly ms: number[];
  /** How many did not show the write. */
  stale: number;
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await consistency(argv, process);
}

/** Returns the exit code: 0, 1 when a read with a position was stale, 2 for a wrong command line. */
export async function consistency(argv: readonly string[], out: Output): Promise<number> {
  const asked = readCommandLine(argv, SYNTAX, out, ({ values }) => ({
    pairs: wholeNumber(values.pairs, { what: 'a number of pairs', min: 1 }),
    doors: wholeNumber(values.doors, { what: 'a number of gateways', min: 0 }),
  }));
  if (asked === undefined) return 2;
  const { pairs, doors } = asked;
  const { stdout, stderr } = out;
  const instances = doors > 0 ? perService(() => 2) : { order: 2 };
  const whose = doors > 0 ? 'each service' : 'the order service';
  stderr.write(`Opening a separate shop, with 2 instances of ${whose} …\n`);
  const env = { order: { OPEN_ORDERS_PER_CUSTOMER: '1000000' } };
  return onTrial({ bus: 'postgres', instances, env }, async ({ shop }) => {
    if (doors > 0) {
      const gateways = await Promise.all(Array.from({ length: doors }, () => shop.addGateway()));
      const { withJar, bare, hits } = await readThroughGateways(shop, gateways, pairs);
      stdout.write(
        `${number(pairs)} orders with and ${number(pairs)} without a cookie jar, each read at the next gateway:\n`,
      );
      stdout.write(`with a cookie jar        ${describe(withJar)}, ${number(hits)} from a cache\n`);
      stdout.write(`without                  ${describe(bare)}\n`);
      const good = 'Every read with a cookie jar saw its write.';
      stdout.write(`${withJar.stale === 0 ? green(good) : red('A read with a cookie jar was STALE.')}\n`);
      return withJar.stale === 0 ? 0 : 1;
    }
    const { positioned, bare } = await writeThenRead(shop, pairs);
    stdout.write(
      `${number(pairs)} orders with and ${number(pairs)} without a position, each read immediately at the other instance:\n`,
    );
    stdout.write(`with Larder-Position     ${describe(positioned)}\n`);
    stdout.write(`without                  ${describe(bare)}\n`);
    const good = 'Every read that sent its position saw its write.';
    stdout.write(`${positioned.stale === 0 ? green(good) : red('A read that sent its position was STALE.')}\n`);
    return positioned.stale === 0 ? 0 : 1;
  });
}

/** `pairs` of a write and a read with its position, and between them as many without. */
export async function writeThenRead(shop: Shop, pairs: number): Promise<{ positioned: Reads; bare: Reads }> {
  await shop.setPrices({ [SKU]: 1_299 });
  await shop.stockUp({ [SKU]: 1_000_000 });
  const positioned: Reads = { ms: [], stale: 0 };
  const bare: Reads = { ms: [], stale: 0 };
  let next = 0;
  const client = async () => {
    for (let i = next++; i < 2 * pairs; i = next++) {
      const instance = Math.floor(i / 2) % 2;
      const { orderId, position } = await place(shop.order[instance]!, shop.anybody);
      const headers: Record<string, string> = i % 2 === 0 ? { 'larder-position': position } : {};
      const reads = i % 2 === 0 ? positioned : bare;
      const startMs = performance.now();
      const response = await fetch(`${shop.order[1 - instance]}/orders/${orderId}`, {
        headers: { ...headers, ...shop.anybody },
      });
      const text = await response.text();
      reads.ms.push(performance.now() - startMs);
      if (response.status === 404) reads.stale++;
      else if (!response.ok) throw new Error(`A read was answered with ${response.status}: ${text}`);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { positioned, bare };
}

/** What a read shows of an order, the latest last. It is shown as placed at once, and by the other services some time. */
const STEPS = {
  order: ['placed', 'stock-reserved', 'confirmed', 'completed'],
  reservation: ['made', 'shipped'],
  payment: ['requested', 'authorized', 'capturing', 'captured'],
};

/**
 * `pairs` of an order at one gateway and reads of it at the next and here, of the list, and of what the other services have of
 * it, by customers with a cookie jar, and between them as many by customers without. A read that goes back in time is stale,
 * too. `hits` are the reads with a jar that came from a cache.
 */
export async function readThroughGateways(
  shop: Shop,
  gateways: readonly string[],
  pairs: number,
): Promise<{ withJar: Reads; bare: Reads; hits: number }> {
  await shop.setPrices({ [SKU]: 1_299 });
  await shop.stockUp({ [SKU]: 1_000_000 });
  const withJar: Reads = { ms: [], stale: 0 };
  const bare: Reads = { ms: [], stale: 0 };
  let [next, hits] = [0, 0];
  const client = async () => {
    const jar = new CookieJar();
    const subject = randomUUID();
    const [caller, staff] = [shop.as(subject, 'customer'), shop.as(subject, 'clerk')];
    for (let i = next++; i < 2 * pairs; i = next++) {
      const reads = i % 2 === 0 ? withJar : bare;
      const send = async (gateway: number, path: string, init: RequestInit = {}) => {
        const headers = { ...caller, ...(reads === withJar && jar.headers), ...(init.headers as object) };
        // A service that has just started may tell the first of many requests to try again.
        for (const giveUpAt = performance.now() + PATIENCE_MS; ; await sleep(50)) {
          const response = await fetch(`${gateways[gateway % gateways.length]}${path}`, { ...init, headers });
          if (reads === withJar) jar.keep(response.headers.getSetCookie());
          if (response.status !== 503 || performance.now() > giveUpAt) return response;
        }
      };
      const { orderId } = await placeBy((init) => send(i, '/orders', init));
      const seen = { order: 0, reservation: -1, payment: -1 };
      let isStale = false;
      const look = async (
        gateway: number,
        path: string,
        of: keyof typeof STEPS,
        statusIn: (body: never) => string | undefined,
      ) => {
        const startMs = performance.now();
        // What the other services have of it customers do not see.
        const response = await send(gateway, path, of === 'order' ? {} : { headers: staff });
        const body = await response.text();
        reads.ms.push(performance.now() - startMs);
        if (!response.ok && response.status !== 404)
          throw new Error(`A read was answered with ${response.status}: ${body}`);
        const step = response.ok ? STEPS[of].indexOf(statusIn(JSON.parse(body) as never) ?? '') : -1;
        isStale ||= step < seen[of];
        seen[of] = step;
        if (reads === withJar && response.headers.get('larder-cache') === 'hit') hits++;
      };
      const single = ({ status }: OrderShown) => status;
      const listed = ({ items }: { items: (OrderShown & { orderId: string })[] }) =>
        items.find((each) => each.orderId === orderId)?.status;
      await look(i + 1, `/orders/${orderId}`, 'order', single);
      await look(i + 1, `/orders/${orderId}`, 'order', single);
      await look(i, '/orders?limit=5', 'order', listed);
      await look(i + 1, '/orders?limit=5', 'order', listed);
      for (const gateway of [i, i + 1, i]) {
        await look(gateway, `/reservations/${orderId}`, 'reservation', single);
        await look(gateway, `/payments/${orderId}`, 'payment', single);
      }
      if (isStale) reads.stale++;
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  return { withJar, bare, hits };
}

interface OrderShown {
  readonly status: string;
}

function place(url: string, caller: Readonly<Record<string, string>>): Promise<{ orderId: string; position: string }> {
  const customerId = randomUUID();
  return placeBy((init) => fetch(`${url}/orders`, { ...init, headers: { ...init.headers, ...caller } }), customerId);
}

/** Staff name a customer. */
async function placeBy(
  send: (init: { method: string; headers: Record<string, string>; body: string }) => Promise<Response>,
  customerId?: string,
): Promise<{ orderId: string; position: string }> {
  const response = await send({
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID() },
    body: JSON.stringify({ customerId, lines: [{ sku: SKU, quantity: 1 }], payment: { token: 'tok_approved' } }),
  });
  const position = response.headers.get('larder-position');
  if (response.status !== 202 || position === null) {
    throw new Error(`An order was answered with ${response.status}: ${await response.text()}`);
  }
  const { orderId } = (await response.json()) as { orderId: string };
  return { orderId, position };
}

function describe({ ms, stale }: Reads): string {
  const sorted = [...ms].sort((a, b) => a - b);
  const at = (share: number) => `${sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(1)} ms`;
  return `${number(stale).padStart(7)} stale   a read took ${at(0.5)} (p50), ${at(0.99)} (p99)`;
}

const SYNTAX = {
  usage:
    'npm run consistency [-- --pairs <number of write-then-read pairs; default: 10000>] ' +
    '[--doors <number of gateways that customers with a cookie jar go through; default: 0, straight to the service>].',
  options: { pairs: { type: 'string', default: '10000' }, doors: { type: 'string', default: '0' } },
} as const;
export const { usage } = SYNTAX;
