/** The same load for every way: the same orders by the same seed, from the same number of customers at once. */
import { SeededRandom } from '#runtime/testing';
import { v5 as uuid } from 'uuid';
import { openBooks, receive } from './books.js';
import { unlessBroken } from './in-parts.js';
import { memoryOfAll } from './memory.js';
import { judgeAll, type Verdict, whereabouts } from './judge.js';
import { Watch } from './watch.js';
import type { Databases, Wanted, Way } from './way.js';

const NAMESPACE = '8b0c4a52-6b5d-4f0e-9b1a-3a1f2c7d9e10';
const SKUS = ['honey', 'olive-oil', 'sea-salt'] as const;
const CUSTOMERS = 8;

export interface Measured {
  readonly perSecond: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** How long units were held for orders that were not decided. */
  readonly heldMs: { readonly median: number; readonly worst: number };
  /** What all processes of the lab take together at the end, where the system says. */
  readonly memoryMb?: number | undefined;
  readonly verdict: Verdict;
}

export const orderIdOf = (nth: number, customer: string) => uuid(`${nth}-${customer}`, NAMESPACE);

/** Places `count` orders, by eight customers at once, of whom the last ones find the shelves empty. */
export async function load(way: Way, databases: Databases, count: number, seed: number): Promise<Measured> {
  await openBooks(databases);
  const orders = ordersOf(count, seed);
  await receive(databases, Object.fromEntries(SKUS.map((sku) => [sku, Math.floor(count * 0.75)])));
  const watch = new Watch();
  const checkout = way.open(databases, watch);
  const tookMs: number[] = [];
  const waiting = [...orders];
  const startedMs = performance.now();
  let tookS = 0;
  let memoryMb: number | undefined;
  const customer = async () => {
    for (let wanted = waiting.shift(); wanted; wanted = waiting.shift()) {
      const placedMs = performance.now();
      await checkout.place(wanted).catch(unlessBroken);
      tookMs.push(performance.now() - placedMs);
    }
  };
  try {
    await Promise.all(Array.from({ length: CUSTOMERS }, customer));
    tookS = (performance.now() - startedMs) / 1_000;
    memoryMb = memoryOfAll();
  } finally {
    await checkout.close();
  }
  const held = watch.holds.map(({ fromMs, toMs }) => toMs - fromMs);
  return {
    perSecond: count / tookS,
    p50Ms: quantile(tookMs, 0.5),
    p99Ms: quantile(tookMs, 0.99),
    heldMs: { median: quantile(held, 0.5), worst: quantile(held, 1) },
    memoryMb,
    verdict: await judgeAll(databases),
  };
}

/** Where a bystander may find one order between its beginning and its end. */
export async function seenBetween(way: Way, databases: Databases): Promise<string[]> {
  await openBooks(databases);
  await receive(databases, { honey: 1 });
  const orderId = orderIdOf(0, 'anna');
  const seen = new Set<string>();
  const before = await whereabouts(databases, orderId);
  const watch = new Watch(async (moment) => {
    if (moment === 'after') seen.add(await whereabouts(databases, orderId));
  });
  const checkout = way.open(databases, watch);
  await checkout.place({ orderId, customer: 'anna', lines: [{ sku: 'honey', quantity: 1 }], token: 'approved' });
  await checkout.close();
  const end = await whereabouts(databases, orderId);
  return [...seen].filter((each) => each !== before && each !== end);
}

/** One to three lines; one in ten has a card that is declined. */
function ordersOf(count: number, seed: number): Wanted[] {
  const random = new SeededRandom(seed);
  return Array.from({ length: count }, (_, i) => {
    const wanted = SKUS.filter(() => random.next() < 0.5);
    const skus = wanted.length > 0 ? wanted : [SKUS[0]];
    return {
      orderId: orderIdOf(i, `customer-${seed}`),
      customer: `customer-${i}`,
      lines: skus.map((sku) => ({ sku, quantity: 1 + Math.floor(random.next() * 2) })),
      token: random.next() < 0.1 ? 'declined' : 'approved',
    };
  });
}

export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
