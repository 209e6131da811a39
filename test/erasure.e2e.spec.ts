/** `npm run erasure:proof` in a shop on a Postgres of its own; then leaks of every kind are planted there, and found. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SeededRandom } from '#runtime/testing';
import { erasure } from '../proof/erasure.js';
import { leaks } from '../proof/erasure/leaks.js';
import { newPerson } from '../proof/erasure/people.js';
import { lookAround, type Outcome, prove, type Searched } from '../proof/erasure/prove.js';
import { Search } from '../proof/erasure/search.js';
import { Trial } from '../proof/shop/trial.js';
import { refuseOldBuild } from './support/shop.js';

/** A machine that does other things takes minutes. */
const PATIENCE_MS = 600_000;

/** An output that is kept. */
function kept() {
  const output: string[] = [];
  const write = (text: string) => output.push(text);
  return { output: () => output.join(''), stdout: { write }, stderr: { write } };
}

const seed = Math.floor(Math.random() * 1e9);
const random = new SeededRandom(seed);
const out = kept();
let trial: Trial;
let at: Searched;
let outcome: Outcome;
beforeAll(async () => {
  refuseOldBuild();
  trial = new Trial({ bus: 'postgres' });
  await trial.open();
  at = { shop: trial.shop, folders: [trial.folder, trial.shop.folder] };
  outcome = await prove(at, { random }, out);
}, PATIENCE_MS);
afterAll(() => trial?.close());

test('who is erased is nowhere any more, also after rebuilds and with the backups of yesterday', () => {
  expect(outcome.wrong, `seed ${seed}\n${out.output()}`).toEqual([]);
  const clean = out.output().matchAll(/^(.+): [\d,]+ MB in .+: nothing in the clear; (\d+ of \d+) recipients/gm);
  expect([...clean].map(([, title, opened]) => [title, opened])).toEqual([
    ['The shop as it is', '10 of 10'],
    ['After the erasure', '2 of 11'],
    ['With all read models built again', '2 of 11'],
    ["With yesterday's key store", '1 of 11'],
    ["With yesterday's events and read models", '1 of 10'],
  ]);
});

test('a leak is found where it is planted, of whatever kind', { timeout: PATIENCE_MS }, async () => {
  const { customers, kept: staying } = outcome.people;
  const report = kept();
  // A stranger is told of an order that is there, so it is theirs who stay.
  const victims = leaks.map(({ name }) => (name === 'stranger' ? staying[0]! : newPerson(`of ${name}`, random)));
  for (const [i, leak] of leaks.entries()) await leak.plant(at, victims[i]!);
  const everybody = [...customers, ...victims].flatMap(({ secrets }) => secrets);
  const people = { ...outcome.people, search: new Search(new Set(everybody)) };
  const wrong = await lookAround(at, people, 'With leaks', report.stdout);

  const missed = leaks.filter(({ name, place }, i) => {
    const words = victims[i]!.secrets.map(({ text }) => `"${text}"`);
    // What brings keys back shows those who were erased.
    const about = name === 'key' ? wrong : wrong.filter((line) => words.some((word) => line.includes(word)));
    return !about.some((line) => line.includes(place));
  });
  expect(missed, wrong.join('\n')).toEqual([]);
  expect(report.output()).toMatch(/^With leaks: [\d,]+ MB in .+: [\d,]+ LEAKS\n {2}the \w+ of the customer .+, "/);
});

test.each([
  [['--plant', 'seeds'], 'There is no leak "seeds". Usage: npm run erasure:proof -- [--bus'],
  [['--bus', 'pigeons'], 'There is no bus "pigeons".'],
  [['--seed', 'x'], '"x" is not a whole number.'],
])('%j: one line that names what is wrong, and exit code 2', async (argv, line) => {
  const out = kept();
  expect(await erasure(argv, out)).toBe(2);
  expect(out.output()).toContain(line);
  expect(out.output().trimEnd().split('\n')).toHaveLength(1);
});
