/**
 * `npm run erasure:proof`: people with unusual names order in a shop of its own, in every way that an order can end, and are
 * erased; the bytes of every file, table, topic, log and answer are searched for their names, before and after that, and
 * after read models were built again and backups restored. With `--plant`, a leak is planted, and has to be found.
 */
import { SeededRandom } from '#runtime/testing';
import { randomSeed, readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import type { Output } from '../scripts/lib/progress-bar.js';
import { dim, green, red } from '../scripts/lib/screen.js';
import { type Leak, leaks } from './erasure/leaks.js';
import { prove } from './erasure/prove.js';
import { type Bus, buses, onTrial } from './shop/trial.js';

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await erasure(argv, process);
}

/** Returns the exit code: 0, 1 when something is found that must not be there or is missing, 2 for a wrong command line. */
export async function erasure(argv: readonly string[], out: Output): Promise<number> {
  const flags = parseFlags(argv, out);
  if (!flags) return 2;
  const { bus, leak, seed } = flags;
  out.stderr.write(`Opening a separate shop, with messages on ${bus === 'kafka' ? 'Kafka' : 'Postgres'} …\n`);
  return onTrial({ bus }, async ({ shop, folder }) => {
    const startedMs = performance.now();
    const at = { shop, folders: [folder, shop.folder] };
    const { wrong } = await prove(at, { random: new SeededRandom(seed), leak }, out);
    const held = wrong.length === 0;
    const verdict = held ? green('Who was erased is nowhere any more.') : red('A name is where it must not be.');
    const seconds = Math.round((performance.now() - startedMs) / 1_000);
    out.stdout.write(`\n${verdict} ${dim(`(${seconds} s, seed ${seed})`)}\n`);
    return held ? 0 : 1;
  });
}

const names = leaks.map(({ name }) => name);
const SYNTAX = {
  usage: `npm run erasure:proof -- [--bus ${buses.join('|')}] [--plant <a leak: ${names.join(', ')}>] [--seed <number>].`,
  options: {
    bus: { type: 'string', default: buses[0] },
    plant: { type: 'string' },
    seed: { type: 'string' },
  },
} as const;
export const { usage } = SYNTAX;

interface Flags {
  readonly bus: Bus;
  readonly leak: Leak | undefined;
  readonly seed: number;
}

function parseFlags(argv: readonly string[], out: Output): Flags | undefined {
  return readCommandLine(argv, SYNTAX, out, ({ values }) => {
    const bus = buses.find((each) => each === values.bus);
    if (!bus) throw new UsageError(`There is no bus "${values.bus}".`);
    const leak = leaks.find(({ name }) => name === values.plant);
    if (values.plant !== undefined && !leak) throw new UsageError(`There is no leak "${values.plant}".`);
    return { bus, leak, seed: values.seed === undefined ? randomSeed() : wholeNumber(values.seed) };
  });
}
