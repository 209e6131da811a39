/**
 * `npm run consistency`: orders are placed at one instance and immediately read at another, every second one with the
 * position that its write returned. None of those may be missing; how many of the others are shows that stale reads do
 * happen.
 */
import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { readCommandLine, wholeNumber } from '../scripts/lib/command-line.js';
import { number, type Output } from '../scripts/lib/progress-bar.js';
import type { Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';
import { green, red } from '../scripts/lib/screen.js';

const CLIENTS = 16;
const SKU = 'olive-oil';

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
  const pairs = readCommandLine(argv, SYNTAX, out, ({ values }) =>
    wholeNumber(values.pairs, { what: 'a number of pairs', min: 1 }),
  );
  if (pairs === undefined) return 2;
  const { stdout, stderr } = out;
  stderr.write('Opening a separate shop, with 2 instances of the order service …\n');
  return onTrial({ bus: 'postgres', instances: { order: 2 } }, async ({ shop }) => {
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

async function place(
  url: string,
  caller: Readonly<Record<string, string>>,
): Promise<{ orderId: string; position: string }> {
  const response = await fetch(`${url}/orders`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'idempotency-key': randomUUID(), ...caller },
    body: JSON.stringify({
      customerId: randomUUID(),
      lines: [{ sku: SKU, quantity: 1 }],
      payment: { token: 'tok_approved' },
    }),
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
  usage: 'npm run consistency [-- --pairs <number of write-then-read pairs; default: 10000>].',
  options: { pairs: { type: 'string', default: '10000' } },
} as const;
export const { usage } = SYNTAX;
