import { expect, test } from 'vitest';
import { UnderWay } from './under-way.js';

test('what has ended is no longer there, and the rest is', () => {
  const underWay = new UnderWay<string>();
  expect(underWay.isEmpty).toBe(true);
  const endFirst = underWay.add('first');
  underWay.add('second');
  endFirst();
  expect(underWay.all()).toEqual(['second']);
  const endThird = underWay.add('third');
  expect(underWay.all().sort()).toEqual(['second', 'third']);
  endThird();
  expect(underWay.all()).toEqual(['second']);
  expect(underWay.isEmpty).toBe(false);
});
