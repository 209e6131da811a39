import { expect, test } from 'vitest';
import { z } from 'zod';
import { freeText } from './free-text.js';

const text = freeText(10);

test.each([
  ['ada', 'ada'],
  ['  Ada L. ', 'Ada L.'],
  ['çöğüşı 日本', 'çöğüşı 日本'],
  ['a\u00a0b', 'a\u00a0b'],
  ['\nada\t', 'ada'],
  ['x'.repeat(10), 'x'.repeat(10)],
])('%j is taken as %j', (given, taken) => expect(text.parse(given)).toBe(taken));

test.each([
  ['', 'blank'],
  [' \t\n\u00a0\ufeff', 'blank'],
  ['x'.repeat(11), '10'],
  [`${' '.repeat(11)}x`, '10'],
  ['a\u0000b', 'control character'],
  ['a\nb', 'control character'],
  ['a\u001b[2Jb', 'control character'],
  ['a\u007fb', 'control character'],
  ['a\u0085b', 'control character'],
])('%j is refused, and the message says why: %s', (given, why) => {
  expect(text.safeParse(given).error?.issues[0]!.message).toContain(why);
});

test('the document says it, too', () => {
  const { minLength, maxLength, pattern } = z.toJSONSchema(text);
  expect([minLength, maxLength]).toEqual([1, 10]);
  const accepts = (given: string) => new RegExp(pattern!).test(given);
  expect(['ada', ' ', 'a\u0000b', 'a b', 'a\nb', '\u00a0'].map(accepts)).toEqual([
    true,
    false,
    false,
    true,
    false,
    false,
  ]);
});

test('a long one is judged in a moment', () => {
  const began = performance.now();
  expect(freeText(2_000).safeParse(`a${' '.repeat(100_000)}\u0000`).success).toBe(false);
  expect(performance.now() - began).toBeLessThan(1_000);
});
