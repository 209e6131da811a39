/** The simulation finds bugs: a few of those that `npm run simulate:mutants` plants, and all of them still fit the code. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { hunt, huntOne } from '../proof/mutants.js';
import { mutants } from '../proof/simulation/mutants.js';
import { refuseOldBuild } from './support/shop.js';

test.each(mutants)('$name: its lines stand in the code, once', ({ edits }) => {
  for (const { file, replace } of edits) expect(readFileSync(file, 'utf8').split(replace)).toHaveLength(2);
});

test.each([
  'an offset is stored before the work',
  'a store lets a cancellation and the pivot both win',
  'who writes events wakes nobody who follows them, and they are found at the next poll',
])('%s: it is found', { timeout: 60_000 }, async (name) => {
  refuseOldBuild();
  const mutant = mutants.find((each) => each.name === name)!;
  expect((await huntOne(mutant, 1, 20)).found).toBeDefined();
});

test('a shop without a bug in it is found to have none', { timeout: 60_000 }, async () => {
  refuseOldBuild();
  expect(await huntOne({ name: 'none', edits: [] }, 1, 5)).toEqual({ mutant: { name: 'none', edits: [] } });
});

test('wrong flags are answered with those that exist', async () => {
  const errors: string[] = [];
  const out = { stdout: { write: () => {} }, stderr: { write: (text: string) => errors.push(text) } };
  expect(await hunt(['--bugs', '3'], out)).toBe(2);
  expect(await hunt(['--only', 'no such bug'], out)).toBe(2);
  expect(errors.join('')).toContain('--seeds N');
});
