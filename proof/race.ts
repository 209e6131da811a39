/**
 * `npm run race`: many customers fight over a few SKUs at several instances of each service, and change their minds at
 * the worst moment: reservations, cancellations and captures race each other. Then every unit and every cent is counted.
 */
import { perService } from '../apps/shop.js';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { SystemClock } from '#runtime';
import { PostgresConnection } from '#runtime/postgres';
import { SeededRandom } from '#runtime/testing';
import { randomSeed, readCommandLine, wholeNumber } from '../scripts/lib/command-line.js';
import { number, type Output, progressBar } from '../scripts/lib/progress-bar.js';
import type { Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';
import { drive, type Driven, SKUS } from './race/drive.js';
import { judge, type Verdict } from './race/judge.js';
import { dim, green, red } from '../scripts/lib/screen.js';

export interface RaceOptions {
  readonly orders: number;
  readonly instances: number;
  readonly seed: number;
}

/** How many of the findings are printed. */
const MAX_COMPLAINTS = 20;

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await race(argv, process);
}

/** Returns the exit code: 0, 1 when something is wrong, 2 for a wrong command line. */
export async function race(argv: readonly string[], out: Output): Promise<number> {
  const options = parseOptions(argv, out);
  if (!options) return 2;
  const { instances } = options;
  out.stderr.write(`Opening a separate shop, with ${instances} instances of each service …\n`);
  const shops = { bus: 'postgres', instances: perService(() => instances) } as const;
  return onTrial(shops, async ({ shop }) => ((await raceIn(shop, options, out)).verdict.wrong.length === 0 ? 0 : 1));
}

/** Runs the race in a new shop and writes the figures. */
export async function raceIn(
  shop: Shop,
  options: RaceOptions,
  out: Output,
): Promise<{ readonly driven: Driven; readonly verdict: Verdict }> {
  const { orders, seed } = options;
  await shop.setPrices(Object.fromEntries(SKUS.map((sku, i) => [sku, 500 + 100 * i])));
  const driven: Driven = {
    orderIds: new Set(),
    received: {},
    cancellations: { accepted: 0, tooLate: 0 },
    repeated: 0,
  };
  const startedMs = performance.now();
  const ended = new AbortController();
  const memory = watch(shop, orders, driven, out, ended.signal);
  try {
    await drive(shop, { orders, random: new SeededRandom(seed) }, driven);
    await awaitRest(shop, driven);
  } finally {
    ended.abort();
  }
  const seconds = (performance.now() - startedMs) / 1_000;
  const verdict = await judge(shop, driven);
  report({ options, seconds, driven, verdict, memory: await memory }, out);
  return { driven, verdict };
}

/** Waits until every order is settled, or none was for a minute: the verdict then names those that are not. */
async function awaitRest(shop: Shop, driven: Driven): Promise<void> {
  const client = new PostgresConnection({ connectionString: shop.databases.order });
  await client.connect();
  try {
    let settled = -1;
    let sinceMs = performance.now();
    while (settled < driven.orderIds.size && performance.now() - sinceMs < 60_000) {
      const { rows } = await client.query('SELECT count(*)::int AS settled FROM order_summary WHERE settled');
      if (rows[0].settled > settled) {
        settled = rows[0].settled;
        sinceMs = performance.now();
      }
      await sleep(100);
    }
    await shop.caughtUp();
  } finally {
    await client.end();
  }
}

/** Shows the progress of the race, and returns the memory of the instances (MB, by name) at each tenth of it. */
async function watch(
  shop: Shop,
  orders: number,
  { orderIds }: Driven,
  { stderr }: Output,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>[]> {
  const bar = progressBar(new SystemClock(), stderr, 'order');
  const memory: ReadonlyMap<string, number>[] = [];
  while (!signal.aborted) {
    await sleep(250, undefined, { signal }).catch(() => {});
    const share = orderIds.size / orders;
    while (memory.length < Math.floor(share * 10)) memory.push(memoryOf(shop));
    bar.show({ share, done: orderIds.size });
  }
  bar.end();
  return memory;
}

/** The resident memory of each instance, in MB. */
function memoryOf(shop: Shop): Map<string, number> {
  const pids = [...shop.pids];
  const kilobytes = execFileSync('ps', ['-o', 'pid=,rss=', '-p', pids.map(([, pid]) => pid).join()], {
    encoding: 'utf8',
  });
  const byPid = new Map(
    kilobytes
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number) as [number, number]),
  );
  return new Map(pids.map(([name, pid]) => [name, Math.round((byPid.get(pid) ?? 0) / 1_024)]));
}

function report(
  {
    options: { orders, instances, seed },
    seconds,
    driven,
    verdict,
    memory,
  }: {
    options: RaceOptions;
    seconds: number;
    driven: Driven;
    verdict: Verdict;
    memory: readonly ReadonlyMap<string, number>[];
  },
  { stdout }: Output,
): void {
  const { reservations, captures, leastAvailable, wrong } = verdict;
  const { accepted, tooLate } = driven.cancellations;
  const tried = reservations.made + reservations.refused;
  const raced = tried + accepted + tooLate + captures;
  const units = Object.values(driven.received).reduce((sum, each) => sum + each, 0);
  const line = (what: string, count: number, rest: string) =>
    stdout.write(`${what.padEnd(14)}${number(count).padStart(9)}   ${rest}\n`);
  stdout.write(
    `${number(orders)} orders for ${SKUS.length} SKUs at ${instances} instances of each service, ` +
      `${Math.round(seconds)} s, ${number(Math.round(orders / seconds))} orders/s (seed ${seed})\n\n`,
  );
  line(
    'reservations',
    tried,
    `${number(reservations.made)} made, ${number(reservations.refused)} refused, ${number(reservations.released)} given back, ${number(reservations.shipped)} shipped`,
  );
  line('cancellations', accepted + tooLate, `${number(accepted)} accepted, ${number(tooLate)} too late`);
  line('captures', captures, `by the provider's ledger`);
  line('together', raced, `${number(Math.round(raced / seconds))}/s`);
  const ends = Object.entries(verdict.orders).map(([status, count]) => `${number(count)} ${status}`);
  line('orders', driven.orderIds.size, ends.join(', '));
  line('units', units, `received; never fewer than ${leastAvailable} of a SKU available`);
  if (driven.repeated > 0) line('repeated', driven.repeated, 'requests, because a service was busy');
  const early = memory[1];
  const late = memory.at(-1);
  if (early && late && early !== late) {
    const grown = [...late].map(([name, mb]) => `${name}: ${number(early.get(name) ?? 0)} → ${number(mb)}`);
    stdout.write(`${dim(`memory (MB), after a fifth and at the end: ${grown.join(', ')}`)}\n`);
  }
  for (const what of wrong.slice(0, MAX_COMPLAINTS)) stdout.write(`${red(what)}\n`);
  const good = 'Nothing was oversold, nothing was charged twice, nothing was lost.';
  stdout.write(`\n${wrong.length === 0 ? green(good) : red(`${number(wrong.length)} things are WRONG.`)}\n`);
}

const SYNTAX = {
  usage: 'npm run race -- [--orders <number>] [--instances <1 to 5>] [--seed <number>].',
  options: {
    orders: { type: 'string', default: '100000' },
    instances: { type: 'string', default: '2' },
    seed: { type: 'string', default: `${randomSeed()}` },
  },
} as const;
export const { usage } = SYNTAX;

function parseOptions(argv: readonly string[], out: Output): RaceOptions | undefined {
  return readCommandLine(argv, SYNTAX, out, ({ values }) => ({
    orders: wholeNumber(values.orders, { what: 'a number of orders', min: 1 }),
    instances: wholeNumber(values.instances, { what: 'a number of instances', min: 1, max: 5 }),
    seed: wholeNumber(values.seed),
  }));
}
