/**
 * `npm run crash`: the services of a real shop are killed with SIGKILL at every durable step they have, before and after
 * it, under load, and so are the servers that they need; after each crash nothing may be lost. A row of its table is a
 * step of a service.
 */
import { mkdirSync } from 'node:fs';
import { SeededRandom } from '#runtime/testing';
import { ORDER_DEADLINE } from './crash/customers.js';
import { type Crash, type Crashable, type Outcome, type Row, rowsFor, run, VICTIM } from './crash/matrix.js';
import { StoryKeeper } from './crash/stories.js';
import { randomSeed, readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import { number, type Output } from '../scripts/lib/progress-bar.js';
import { findDisagreements, withBooks } from './shop/inspect.js';
import { type Bus, buses, onTrial } from './shop/trial.js';
import { bold, dim, green, red } from '../scripts/lib/screen.js';

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await crash(argv, process);
}

interface Flags {
  readonly bus: Bus;
  readonly rows: readonly Row[];
  readonly list: boolean;
  readonly seed: number;
  /** The folder of the stories. */
  readonly stories?: string;
}

/** Returns the exit code: 0, 1 when a row fails, 2 for a wrong command line. */
export async function crash(argv: readonly string[], out: Output): Promise<number> {
  const flags = parseFlags(argv, out);
  if (!flags) return 2;
  const { bus, rows, list, seed, stories } = flags;
  if (list) {
    rows.forEach((row) => out.stdout.write(`${nameOf(row)}\n`));
    return 0;
  }
  if (stories !== undefined) mkdirSync(stories, { recursive: true });
  out.stderr.write(`Opening a separate shop, with messages on ${bus === 'kafka' ? 'Kafka' : 'Postgres'} …\n`);
  const options = { bus, program: VICTIM, env: { order: { ORDER_DEADLINE } } };
  return onTrial(options, async (trial) => {
    const keeper = stories === undefined ? undefined : await StoryKeeper.open(trial.shop, stories);
    const held = await matrix(trial, rows, seed, out, (...crash) => keeper?.keep(...crash));
    if (keeper)
      out.stdout.write(`${keeper.kept} stories are in ${stories}: the console opens them (/console/story).\n`);
    const found = await withBooks(trial.shop, findDisagreements);
    if (found.length === 0) out.stdout.write(`reconcile: ${green('all books agree')}\n`);
    found.slice(0, MAX_COMPLAINTS).forEach(({ message }) => out.stdout.write(`reconcile: ${red(message)}\n`));
    return held && found.length === 0 ? 0 : 1;
  });
}

/** Runs the rows one after the other, writes the table row by row, and returns whether all of them passed. `onCrash` is given each crash when its orders are final. */
export async function matrix(
  target: Crashable,
  rows: readonly Row[],
  seed: number,
  out: Output,
  onCrash?: (row: Row, crash: Crash, outcome: Outcome) => Promise<void> | undefined,
): Promise<boolean> {
  const startedMs = performance.now();
  const random = new SeededRandom(seed);
  const wide = Math.max(...rows.map(({ step }) => step.length));
  const total = { crashes: 0, orders: 0, failed: 0 };
  const cells = (victim: string, step: string, before: string, after: string, orders: string) =>
    [victim.padEnd(9), step.padEnd(wide), before.padStart(9), after.padStart(9), orders.padStart(6)].join('  ');
  out.stdout.write(`${bold(cells('victim', 'step', 'before', 'after', 'orders'))}  ${bold('verdict')}\n`);

  let shelf = 0;
  for (const [i, row] of rows.entries()) {
    const outcomes: Outcome[] = [];
    for (const each of row.crashes) {
      progress(out, `${i + 1} of ${rows.length}: ${nameOf(row)}, ${each.when}`);
      const outcome = await run(target, { often: row.often, crash: each }, random, `${++shelf}`);
      outcomes.push(outcome);
      await onCrash?.(row, each, outcome);
    }
    progress(out, '');
    const orders = outcomes.reduce((sum, outcome) => sum + outcome.orderIds.length, 0);
    const wrong = outcomes.flatMap((outcome) => outcome.wrong.map((what) => `${outcome.when}: ${what}`));
    // A server has no before and after: it is killed wherever it is.
    const before = msOf(outcomes.find(({ when }) => when === 'before'));
    const after = msOf(outcomes.find(({ when }) => when !== 'before'));
    const verdict = wrong.length === 0 ? green('ok') : red('FAILED');
    out.stdout.write(`${cells(row.victim, row.step, before, after, number(orders))}  ${verdict}\n`);
    wrong.slice(0, MAX_COMPLAINTS).forEach((what) => out.stdout.write(`  ${red(what)}\n`));
    total.crashes += outcomes.length;
    total.orders += orders;
    total.failed += wrong.length > 0 ? 1 : 0;
  }
  const took = `${Math.round((performance.now() - startedMs) / 1_000)} s, seed ${seed}`;
  const verdict = total.failed === 0 ? green('nothing was lost') : red(`${total.failed} rows FAILED`);
  out.stdout.write(
    `\n${rows.length} rows, ${total.crashes} crashes, ${number(total.orders)} orders: ${verdict} ${dim(`(${took})`)}\n`,
  );
  return total.failed === 0;
}

/** How many of the findings of a row are printed. */
const MAX_COMPLAINTS = 5;

/** As `--list` prints it. */
const nameOf = ({ victim, step }: Row) => `${victim} ${step}`;

/** Those of the crashes whose names begin with one of these: `payment append PaymentCaptured before` is one. */
export function pick(rows: readonly Row[], beginnings: readonly string[]): Row[] {
  return rows.flatMap((row) => {
    const crashes = row.crashes.filter(({ when }) =>
      beginnings.some((beginning) => `${nameOf(row)} ${when}`.startsWith(beginning)),
    );
    return crashes.length > 0 ? [{ ...row, crashes }] : [];
  });
}

function msOf(outcome: Outcome | undefined): string {
  if (outcome === undefined) return '';
  return outcome.finalMs === undefined ? '–' : `${number(Math.round(outcome.finalMs))} ms`;
}

function progress({ stderr }: Output, text: string): void {
  if (stderr.isTTY) stderr.write(`\r\x1b[K${dim(text)}`);
}

const SYNTAX = {
  usage: `npm run crash -- [--bus ${buses.join('|')}] [--only <the beginning of rows, such as "order" or "payment append">] [--seed <number>] [--stories <folder>, for a file for each crash, which the console opens] [--list].`,
  options: {
    bus: { type: 'string', default: buses[0] },
    only: { type: 'string', multiple: true, default: [''] as string[] },
    seed: { type: 'string' },
    stories: { type: 'string' },
    list: { type: 'boolean', default: false },
  },
} as const;
export const { usage } = SYNTAX;

function parseFlags(argv: readonly string[], out: Output): Flags | undefined {
  return readCommandLine(argv, SYNTAX, out, ({ values }) => {
    const bus = buses.find((each) => each === values.bus);
    if (!bus) throw new UsageError(`There is no bus "${values.bus}".`);
    const seed = values.seed === undefined ? randomSeed() : wholeNumber(values.seed);
    const all = rowsFor(bus);
    const rows = pick(all, values.only);
    if (rows.length === 0) {
      const victims = [...new Set(all.map(({ victim }) => victim))].join(', ');
      const reason = `No row begins with "${values.only.join('", "')}".`;
      throw new UsageError(`${reason} There are rows of ${victims}; --list prints all of them.`);
    }
    const { list, stories } = values;
    return { bus, rows, list, seed, ...(stories !== undefined && { stories }) };
  });
}
