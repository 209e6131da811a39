/** `npm run labs`: every lab, its ways in turn for several rounds; labs/results.json, the pictures and docs/patterns.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { format, resolveConfig } from 'prettier';
import { readCommandLine, wholeNumber } from '../scripts/lib/command-line.js';
import { green, red, Screen } from '../scripts/lib/screen.js';
import { labs } from './catalogue.js';
import { MARK, patterns, type Results } from './frame/document.js';
import { investigate, type LabResult, measureRound, surprises } from './frame/measure.js';
import { draw } from './frame/picture.js';
import { play, scriptsOf } from './frame/scene.js';
import { withServers } from './frame/servers.js';
import type { Databases, Lab } from './frame/way.js';

const RESULTS = 'labs/results.json';
const DOCUMENT = 'docs/patterns.md';
const TIMES = 20;

const SYNTAX = {
  usage: 'npm run labs [-- --rounds <5 or more>] [--orders <number>] [--seed <number>].',
  options: {
    rounds: { type: 'string', default: '5' },
    orders: { type: 'string', default: '200' },
    seed: { type: 'string', default: '1' },
  },
} as const;
export const { usage } = SYNTAX;

export async function main(argv: readonly string[]): Promise<void> {
  const effort = readCommandLine(argv, SYNTAX, process, ({ values }) => ({
    rounds: wholeNumber(values.rounds, { what: 'a number of rounds, at least 5', min: 5 }),
    orders: wholeNumber(values.orders, { what: 'a number of orders, at least 100', min: 100 }),
    seed: wholeNumber(values.seed),
  }));
  if (!effort) process.exit(2);
  const { rounds, orders, seed } = effort;
  const screen = new Screen();
  const found = new Map<Lab, LabResult>();
  for (let round = 1; round <= rounds; round++) {
    for (const lab of labs) {
      await screen.step(`${lab.name}, round ${round}`, (done) =>
        withServers(lab, async (databases) => {
          const result = found.get(lab) ?? { name: lab.name, ...(await investigate(lab, databases, TIMES)) };
          const measured = await measureRound(lab, databases, orders, seed + round);
          const ways = result.ways.map((way, i) => ({ ...way, rounds: [...way.rounds, measured[i]!] }));
          found.set(lab, { ...result, ways });
          if (round === rounds) await picture(lab, databases);
          done(lab.name, `round ${round} of ${rounds}`);
        }),
      );
    }
  }
  screen.end();
  const odd = [...found.values()].flatMap(({ ways }) => surprises(ways));
  odd.forEach((each) => console.error(red(each)));
  if (odd.length > 0) process.exit(1); // A table that does not show its point is none.
  const machine = `${availableParallelism()} cores, ${process.platform}, Node ${process.versions.node}`;
  const results: Results = { machine, rounds, orders, seed, labs: [...found.values()] };
  // Each finding is a sentence about one order: their number is enough.
  await write(
    RESULTS,
    JSON.stringify(results, (key, value: unknown) => (key === 'findings' ? undefined : value)),
  );
  const [head] = readFileSync(DOCUMENT, 'utf8').split(MARK);
  await write(DOCUMENT, `${head}${patterns(results, labs)}`);
  console.log(green(`${RESULTS}, ${DOCUMENT} and the pictures are written.`));
}

/** As `npm run check` wants it. */
async function write(file: string, text: string): Promise<void> {
  writeFileSync(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}

async function picture(lab: Lab, databases: Databases): Promise<void> {
  const panels = [];
  const shown = lab.ways.filter(({ name }) => lab.pictured.includes(name));
  for (const script of scriptsOf(lab, shown))
    panels.push({ title: script.title, scene: await play(lab, script, databases, () => {}) });
  writeFileSync(`labs/${lab.name}/picture.svg`, draw(panels));
}
