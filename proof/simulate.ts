/**
 * `npm run simulate -- --seeds 1000` runs 1000 simulated worlds, and reports what happened in them. A seed that breaks a
 * rule is shrunk and printed as a story; `--seed 4711` runs that one again, `--only 3,7,12` with only these items of its
 * plan, and `--stories <folder>` keeps the story of each order for the console.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { SystemClock } from '#runtime';
import { add, emptyCoverage, report } from './simulation/coverage.js';
import { describe, duration, type Item } from './simulation/plan.js';
import { shrink } from './simulation/shrink.js';
import { inWords, orderOf, timeline, timeOf } from './simulation/story.js';
import type { Ran } from './simulation/worker.js';
import { type Compositions, runWorld, type World } from './simulation/world.js';
import { readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import { count, number, type Output, progressBar } from '../scripts/lib/progress-bar.js';

const SYNTAX = {
  usage:
    'npm run simulate -- --seeds N (how many worlds; default: 200), --first S (the first seed; default: 1), --orders N ' +
    '(orders in each; default: 24), --workers N (threads; default: one per core), --quiet (no coverage); or --seed N ' +
    '(one world, as a story) with --only 3,7,12 (only these items of its plan) and --stories <folder> (a file for each ' +
    'order, which the console opens).',
  options: {
    seeds: { type: 'string', default: '200' },
    first: { type: 'string', default: '1' },
    orders: { type: 'string', default: '24' },
    workers: { type: 'string', default: `${availableParallelism()}` },
    seed: { type: 'string' },
    only: { type: 'string' },
    stories: { type: 'string' },
    quiet: { type: 'boolean', default: false },
  },
} as const;
export const { usage } = SYNTAX;

interface Wanted {
  readonly seeds: number;
  readonly first: number;
  readonly orders: number;
  readonly workers: number;
  readonly quiet: boolean;
  readonly seed?: number;
  readonly only?: readonly number[];
  /** The folder that stories are written to. */
  readonly stories?: string;
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await simulate(argv, process);
}

/**
 * Returns the exit code: 0 when every rule held, 1 when not, 2 for a wrong command line.
 * `compositions` replaces services.
 */
export async function simulate(
  argv: readonly string[],
  out: Output,
  compositions?: Partial<Compositions>,
): Promise<number> {
  const wanted = parseWanted(argv, out);
  if (!wanted) return 2;
  const { orders, seed, only } = wanted;
  const run = (seed: number, only?: readonly number[], story = false) =>
    runWorld(seed, { orders, story, ...(only && { only }), ...(compositions && { compositions }) });
  if (seed !== undefined) return printOne(await run(seed, only, true), wanted, run, out);

  const failed = await runMany(wanted, run, out);
  return failed === undefined ? 0 : printOne(await run(failed, undefined, true), wanted, run, out);
}

type Run = (seed: number, only?: readonly number[], story?: boolean) => Promise<World>;

function parseWanted(argv: readonly string[], out: Output): Wanted | undefined {
  const from = (min: number) => ({ min, max: 0xffff_ffff });
  return readCommandLine(argv, SYNTAX, out, ({ values }) => {
    const { seeds, first, orders, workers, seed, only, stories, quiet } = values;
    if (only !== undefined && seed === undefined)
      throw new UsageError('--only takes items of one world: give its --seed.');
    if (stories !== undefined && seed === undefined)
      throw new UsageError('--stories takes the orders of one world: give its --seed.');
    return {
      seeds: wholeNumber(seeds, from(1)),
      first: wholeNumber(first, from(0)),
      orders: wholeNumber(orders, from(1)),
      workers: wholeNumber(workers, from(1)),
      quiet,
      ...(seed !== undefined && { seed: wholeNumber(seed, from(0)) }),
      ...(stories !== undefined && { stories }),
      ...(only !== undefined && { only: only.split(',').map((n) => wholeNumber(n, from(0))) }),
    };
  });
}

/** Runs the worlds, and reports what happened in them. Returns the lowest seed that broke a rule. */
async function runMany(wanted: Wanted, run: Run, out: Output): Promise<number | undefined> {
  const { seeds, first, workers, orders, quiet } = wanted;
  const clock = new SystemClock();
  const startedMs = clock.monotonicMs();
  const bar = progressBar(clock, out.stderr, 'world');
  const sum = { worlds: 0, orders: 0, coverage: emptyCoverage() };
  const failed: number[] = [];
  const ran = ({ seed, violations, coverage, orders }: Ran) => {
    sum.worlds++;
    sum.orders += orders;
    add(sum.coverage, coverage);
    if (violations.length > 0) failed.push(seed);
    bar.show({ share: sum.worlds / seeds, done: sum.worlds });
  };
  // Seeds are given out in order and none after a failure, so the lowest that fails is always among those that ran.
  let next = first;
  const nextSeed = () => (next < first + seeds && failed.length === 0 ? next++ : undefined);
  try {
    if (workers === 1) for (let seed = nextSeed(); seed !== undefined; seed = nextSeed()) ran(await run(seed));
    else await inThreads(Math.min(workers, seeds), orders, nextSeed, ran);
  } finally {
    bar.end();
  }
  const minutes = (clock.monotonicMs() - startedMs) / 60_000;
  if (!quiet && failed.length === 0) out.stdout.write(report(sum.coverage));
  out.stdout.write(
    `${count(sum.worlds, 'world')} with ${count(sum.orders, 'order')}, seeds ${first} to ${next - 1}: ` +
      `${failed.length === 0 ? 'every rule held' : `seed ${Math.min(...failed)} breaks a rule`}. ` +
      `${number(Math.round(sum.worlds / minutes))} worlds a minute.\n`,
  );
  return failed.length === 0 ? undefined : Math.min(...failed);
}

/** Runs the worlds in threads, each of which is given one seed after the other. */
async function inThreads(
  threads: number,
  orders: number,
  nextSeed: () => number | undefined,
  ran: (ran: Ran) => void,
): Promise<void> {
  const workers = Array.from({ length: threads }, () => new Worker(new URL('./simulation/worker.js', import.meta.url)));
  try {
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve, reject) => {
            const give = () => {
              const seed = nextSeed();
              if (seed === undefined) resolve();
              else worker.postMessage({ seed, orders }, []);
            };
            worker.on('message', (result: Ran) => {
              ran(result);
              give();
            });
            worker.on('error', reject);
            give();
          }),
      ),
    );
  } finally {
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Prints the story of one world; one that breaks a rule is shrunk first, unless the items were chosen. */
async function printOne(world: World, wanted: Wanted, run: Run, out: Output): Promise<number> {
  const say = (...lines: string[]) => out.stdout.write(lines.map((line) => `${line}\n`).join(''));
  const { seed, violations } = world;
  const orders = wanted.orders === 24 ? '' : ` --orders ${wanted.orders}`;
  if (violations.length === 0) {
    if (!wanted.quiet) say(...timeline(world.story, new Set()));
    say(`Seed ${seed}: every rule held, for ${world.orders} orders. Trace ${world.trace}, ${world.steps} steps.`);
    await writeStories(world, wanted, say);
    return 0;
  }
  say(
    `Seed ${seed} breaks ${violations[0]!.rule}:`,
    ...violations.slice(0, 10).map(({ text }) => `  ${inWords(text)}`),
    '',
  );
  let small = world;
  if (!wanted.only) {
    const { only, tried } = await shrink(world, (only) => run(seed, only));
    small = await run(seed, only, true);
    say(`It needs ${only.length} of the ${world.plan.items.length} things that happen (${tried} worlds were tried):`);
  } else say('What happens:');
  say(...small.plan.items.map(planned));
  say(`An order that is not confirmed ${duration(small.plan.deadlineMs)} after it was placed is called off.`, '');
  say(
    `Then ${small.violations[0]!.rule}:`,
    ...small.violations.slice(0, 10).map(({ text }) => `  ${inWords(text)}`),
    '',
  );
  say(...timeline(small.story, new Set(small.violations.flatMap(({ orders }) => orders))), '');
  say(`All of it again:  npm run simulate -- --seed ${seed}${orders}`);
  say(
    `The small one:    npm run simulate -- --seed ${seed}${orders} --only ${small.plan.items.map(({ n }) => n).join(',') || '0'}`,
  );
  await writeStories(small, wanted, say);
  return 1;
}

/** A file for each order, which the console's page *Open a story* opens. */
async function writeStories(world: World, { stories: folder }: Wanted, say: (line: string) => void): Promise<void> {
  if (folder === undefined) return;
  mkdirSync(folder, { recursive: true });
  const stories = await world.stories();
  for (const story of stories) {
    writeFileSync(join(folder, `order-${orderOf(story.orderId)}.story.json`), JSON.stringify(story, null, 2));
  }
  say(`The stories of ${count(stories.length, 'order')} are in ${folder}: the console opens them (/console/story).`);
}

function planned(item: Item): string {
  return `${String(item.n).padStart(5)}  ${timeOf(item.atMs)}  ${describe(item)}`;
}
