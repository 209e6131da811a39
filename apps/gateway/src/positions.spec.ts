import { expect, test } from 'vitest';
import { formatPositions, highestOf, openPositions, parsePositions, sealPositions } from './positions.js';

const SECRETS = ['a-secret-of-ours'];
const positions = parsePositions('order:11, inventory:7');

test('of several positions of a service the highest counts, as a number, and what is none is left out', () => {
  expect(formatPositions(parsePositions('order:9,order:10, inventory:7,order:x,:1,order:-1'))).toBe(
    'inventory:7, order:10',
  );
  expect(formatPositions(highestOf(positions, parsePositions('order:10,payment:1')))).toBe(
    'inventory:7, order:11, payment:1',
  );
  expect(formatPositions(highestOf())).toBe('');
});

test('sealed positions are text that a cookie may hold, and open again', () => {
  const sealed = sealPositions(positions, 'a', SECRETS);
  expect(sealed).toMatch(/^[\w!#-+\--:<-[\]-~]+$/);
  expect(openPositions(sealed, 'a', SECRETS)).toEqual(positions);
});

test('while one secret replaces the other, what either has signed opens, and the first signs', () => {
  const [before, between, after] = [
    ['the-old-secret..'],
    ['the-new-secret..', 'the-old-secret..'],
    ['the-new-secret..'],
  ];
  expect(openPositions(sealPositions(positions, 'a', before), 'a', between)).toEqual(positions);
  expect(openPositions(sealPositions(positions, 'a', between), 'a', after)).toEqual(positions);
  expect(openPositions(sealPositions(positions, 'a', before), 'a', after)).toBeUndefined();
});

const sealed = sealPositions(positions, 'a', SECRETS);
test.each([
  ['changed', sealed.replace('order:11', 'order:12')],
  ['cut', sealed.slice(0, -1)],
  ['without a signature', sealed.split('.')[0]!],
  ['with nothing but a signature', `.${sealed.split('.')[1]}`],
  ['of another name', sealPositions(positions, 'b', SECRETS)],
  ['signed with another secret', sealPositions(positions, 'a', ['another-secret..'])],
  ['too long', sealPositions(new Map([['o'.repeat(500), 1n]]), 'a', SECRETS)],
  ['empty', ''],
])('what is %s does not open', (_what, text) => {
  expect(openPositions(text, 'a', SECRETS)).toBeUndefined();
});
