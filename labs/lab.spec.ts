/** The command line of `npm run lab`, and what a lab has to bring. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { labs } from './catalogue.js';
import { patterns, type Results } from './frame/document.js';
import { lab } from './lab.js';

async function run(...argv: string[]) {
  let [stdout, stderr] = ['', ''];
  const code = await lab(argv, {
    stdout: { write: (text: string) => (stdout += text) },
    stderr: { write: (text: string) => (stderr += text) },
  });
  return { code, stdout, stderr };
}

test('--list names every lab and its ways', async () => {
  const { code, stdout } = await run('--list');
  expect(code).toBe(0);
  for (const { name, ways } of labs) expect(stdout).toMatch(new RegExp(`${name}.*${ways.at(-1)!.name}`));
});

test.each([
  [['three-wishes'], 'There is no lab "three-wishes". There is: one-database, '],
  [[], 'Which lab? There is: one-database, '],
  [['one-database', '--fast'], "Unknown option '--fast'"],
  [['one-database', '--seed', 'x'], '"x" is not a whole number.'],
])('%j is answered with what there is', async (argv, said) => {
  const { code, stderr } = await run(...argv);
  expect(code).toBe(2);
  expect(stderr).toContain(said);
  expect(stderr).toContain('Usage: npm run lab');
});

test.each(labs)(
  '$name begins with a wrong way, has a right one, and pictures ways that exist',
  ({ ways, pictured, picturedKill }) => {
    expect(ways[0]!.wrong).toBeDefined();
    expect(ways.at(-1)!.wrong).toBeUndefined();
    const names = ways.map(({ name }) => name);
    expect(pictured.filter((each) => !names.includes(each))).toEqual([]);
    const struck = ways.find(({ name }) => name === picturedKill?.way);
    expect(struck?.steps.includes(picturedKill!.step)).toBe(picturedKill ? true : undefined);
    for (const { file } of ways) expect(existsSync(`labs/${file}`), file).toBe(true);
  },
);

test('docs/patterns.md is made of labs/results.json', () => {
  const results = JSON.parse(readFileSync('labs/results.json', 'utf8')) as Results;
  // Without what the formatter adds for the eye.
  const plain = (text: string) => text.replace(/[-: ]+/g, ' ').replace(/\*|_/g, '');
  expect(plain(readFileSync('docs/patterns.md', 'utf8'))).toContain(plain(patterns(results, labs).trimEnd()));
});
