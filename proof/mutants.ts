/**
 * `npm run simulate:mutants` plants one bug after the other (proof/simulation/mutants.ts) into a copy of the build, and runs
 * seeds of the simulation on it until a rule is broken. A mutant that survives is a hole in the simulation.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { buildWith } from './edited-build.js';
import type { Ran } from './simulation/worker.js';
import { type Mutant, mutants } from './simulation/mutants.js';
import { readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import type { Output } from '../scripts/lib/progress-bar.js';
import { bold, dim, green, red } from '../scripts/lib/screen.js';

const SYNTAX = {
  usage:
    'npm run simulate:mutants -- --seeds N (the most worlds for each bug; default: 2000), --first S (the first seed; ' +
    'default: 1), --only <the beginning of a name>, --list.',
  options: {
    seeds: { type: 'string', default: '2000' },
    first: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    list: { type: 'boolean', default: false },
  },
} as const;
export const { usage } = SYNTAX;

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await hunt(argv, process);
}

interface Hunted {
  readonly mutant: Mutant;
  /** The number of worlds that it took, and the rule that was broken; undefined when the bug survived all of them. */
  readonly found?: { readonly worlds: number; readonly seed: number; readonly rule: string };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/** Returns the exit code: 0 when every bug was found, 1 when one survived, 2 for a wrong command line. */
export async function hunt(argv: readonly string[], out: Output): Promise<number> {
  const wanted = parseWanted(argv, out);
  if (!wanted) return 2;
  if (wanted.list) {
    wanted.mutants.forEach(({ name }) => out.stdout.write(`${name}\n`));
    return 0;
  }
  const clean = () => folders.forEach(remove);
  const interrupt = () => process.exit(130);
  for (const signal of SIGNALS) process.once(signal, interrupt);
  process.once('exit', clean);
  const waiting = [...wanted.mutants];
  const hunted: Hunted[] = [];
  const hunter = async () => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const each = await huntOne(mutant, wanted.first, wanted.seeds);
      hunted.push(each);
      const verdict = each.found
        ? green(`found in world ${each.found.worlds}: ${each.found.rule}`) + dim(` (--seed ${each.found.seed})`)
        : red(`SURVIVED ${wanted.seeds} worlds`);
      out.stdout.write(`${mutant.name}\n  ${verdict}\n`);
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), waiting.length) }, hunter));

  for (const signal of SIGNALS) process.off(signal, interrupt);
  process.off('exit', clean);

  const worlds = hunted.flatMap(({ found }) => found?.worlds ?? []).sort((a, b) => a - b);
  const survivors = hunted.length - worlds.length;
  const median = worlds[Math.floor((worlds.length - 1) / 2)] ?? '–';
  out.stdout.write(
    `\n${bold(`${hunted.length} bugs, ${worlds.length} found`)}, in ${median} worlds at the median and ${worlds.at(-1) ?? '–'} at worst` +
      `${survivors > 0 ? red(`; ${survivors} survived`) : ''}.\n`,
  );
  return survivors > 0 ? 1 : 0;
}

/** Runs worlds on a build with the bug in it, one after the other, until a rule is broken. */
export async function huntOne(mutant: Mutant, first: number, seeds: number): Promise<Hunted> {
  const folder = mkdtempSync(join(tmpdir(), 'larder-mutant-'));
  folders.add(folder);
  try {
    buildWith(mutant, folder);
    // Without the flags of this process: under vitest they lead to sources, which the copy does not have.
    const worker = new Worker(join(folder, 'dist/proof/simulation/worker.js'), { execArgv: [] });
    try {
      for (let seed = first; seed < first + seeds; seed++) {
        const { violations } = await runWorldOn(worker, seed);
        if (violations[0]) return { mutant, found: { worlds: seed - first + 1, seed, rule: violations[0].rule } };
      }
      return { mutant };
    } finally {
      await worker.terminate();
    }
  } finally {
    remove(folder);
  }
}

/** The copies of the build that are in use: they are removed when this process is ended early. */
const folders = new Set<string>();

function remove(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  folders.delete(folder);
}

/** Runs a world. A bug may throw where nothing catches it: the error is then the violation. */
function runWorldOn(worker: Worker, seed: number): Promise<Pick<Ran, 'violations'>> {
  return new Promise((done) => {
    const failed = (error: Error) => done({ violations: [{ rule: 'error-in-code', text: String(error), orders: [] }] });
    worker.once('error', failed);
    worker.once('message', (ran: Ran) => {
      worker.off('error', failed);
      done(ran);
    });
    worker.postMessage({ seed }, []);
  });
}

function parseWanted(argv: readonly string[], out: Output) {
  return readCommandLine(argv, SYNTAX, out, ({ values }) => {
    const chosen = mutants.filter(({ name }) => name.startsWith(values.only));
    if (chosen.length === 0) throw new UsageError(`No bug has a name that begins with "${values.only}".`);
    const seeds = wholeNumber(values.seeds, { min: 1 });
    return { seeds, first: wholeNumber(values.first), list: values.list, mutants: chosen };
  });
}
