/**
 * `npm run lab -- one-database`: what a lab shows, told step by step: the scene of two customers for each way, the wrong
 * ones first, then the same load for all, then every kill, and the lab's own tables.
 */
import { randomSeed, readCommandLine, UsageError, wholeNumber } from '../scripts/lib/command-line.js';
import type { Output } from '../scripts/lib/progress-bar.js';
import { bold, dim, green, red } from '../scripts/lib/screen.js';
import { labs } from './catalogue.js';
import { investigate, measureRound, surprises } from './frame/measure.js';
import { play, scriptsOf } from './frame/scene.js';
import { withServers } from './frame/servers.js';
import type { Lab } from './frame/way.js';

const SYNTAX = {
  usage: 'npm run lab -- <name> [--slow] [--seed <number>], or npm run lab -- --list.',
  allowPositionals: true,
  options: {
    list: { type: 'boolean', default: false },
    slow: { type: 'boolean', default: false },
    seed: { type: 'string' },
  },
} as const;
export const { usage } = SYNTAX;

/** How long `--slow` rests before each step. */
const PAUSE_MS = 700;
const ORDERS = 100;
const TIMES = 20;

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await lab(argv, process);
}

/** Returns the exit code: 0, 1 when the lab does not show its point, 2 for a wrong command line. */
export async function lab(argv: readonly string[], out: Output): Promise<number> {
  const wanted = parseWanted(argv, out);
  if (!wanted) return 2;
  if (wanted.list) {
    for (const { name, title, ways } of labs)
      out.stdout.write(`${name.padEnd(18)} ${title}: ${ways.map((way) => way.name).join(', ')}\n`);
    return 0;
  }
  return show(wanted.lab, wanted, out);
}

async function show(lab: Lab, { slow, seed }: { slow: boolean; seed: number }, { stdout }: Output): Promise<number> {
  const say = (line = '') => stdout.write(`${line}\n`);
  return withServers(lab, async (databases) => {
    say(bold('Anna and Ben want the last jar of honey.'));
    for (const script of scriptsOf(lab, lab.ways)) {
      say(`\n${script.way.wrong ? red(script.title) : bold(script.title)}`);
      const { ends } = await play(lab, script, databases, say, slow ? PAUSE_MS : 0);
      for (const [who, end] of Object.entries(ends)) say(`           ${who.padEnd(5)} ${end}`);
    }

    say(`\n${bold(`${ORDERS} orders, eight customers at once`)} ${dim(`(--seed ${seed})`)}`);
    const measured = await measureRound(lab, databases, ORDERS, seed);
    for (const [i, { perSecond, verdict }] of measured.entries()) {
      const count =
        verdict.broken === 0 ? green('0 broken') : red(`${verdict.broken} broken, ${verdict.oversold} oversold`);
      say(`${lab.ways[i]!.name.padEnd(20)} ${`${Math.round(perSecond)}`.padStart(5)} orders/s  ${count}`);
    }

    const { ways, tables } = await investigate(lab, databases, TIMES);
    for (const { name, kills } of ways) {
      say(`\n${bold(name)}, killed`);
      for (const { step, moment, left, end, othersWait, wrong } of kills) {
        const verdict = wrong.length === 0 ? green('ok') : red(wrong.map(({ message }) => message).join(' '));
        say(`${`${moment} ${step}`.padEnd(32)} ${dim(left)}${othersWait ? red(' others wait') : ''}`);
        say(`${''.padEnd(32)} ${end}  ${verdict}`);
      }
    }
    for (const { title, head, rows } of tables) {
      say(`\n${bold(title)}`);
      const wide = head.map((each, i) => Math.max(each.length, ...rows.map((row) => row[i]!.length)));
      for (const row of [head, ...rows]) say(row.map((cell, i) => cell.padEnd(wide[i]!)).join('  '));
    }
    const odd = surprises(ways.map((way, i) => ({ ...way, rounds: [measured[i]!] })));
    odd.forEach((each) => say(red(each)));
    return odd.length === 0 ? 0 : 1;
  });
}

function parseWanted(argv: readonly string[], out: Output) {
  return readCommandLine(argv, SYNTAX, out, ({ values: { list, slow, seed }, positionals: [name, ...more] }) => {
    const names = labs.map((each) => each.name).join(', ');
    const lab = labs.find((each) => each.name === name) ?? labs[0]!;
    if (!list && name === undefined) throw new UsageError(`Which lab? There is: ${names}.`);
    if (name !== undefined && lab.name !== name) throw new UsageError(`There is no lab "${name}". There is: ${names}.`);
    if (more.length > 0) throw new UsageError('One lab at a time.');
    return { list, lab, slow, seed: seed === undefined ? randomSeed() : wholeNumber(seed) };
  });
}
