import { expect, test } from 'vitest';
import { addressOf, readAddress, type WorldAddress } from './address.js';

const read = (address: string) => {
  const [path, query] = address.split('?') as [string, string?];
  return readAddress(path, new URLSearchParams(query));
};

test.each<[WorldAddress, string]>([
  [{ seed: 0 }, '/console/worlds/0'],
  [{ seed: 4_294_967_295, mutant: 'both-win' }, '/console/worlds/4294967295?mutant=both-win'],
  [{ seed: 7, mutant: 'both-win', only: [3, 7] }, '/console/worlds/7?mutant=both-win&only=3,7'],
])('%o is %s, and back', (world, address) => {
  expect(addressOf(world)).toBe(address);
  expect(read(address)).toEqual(world);
});

test('without a seed there is no world', () => expect(read('/console/worlds')).toBeUndefined());

test.each([
  ['/console/worlds/', 'The seed'],
  ['/console/worlds/-1', 'The seed'],
  ['/console/worlds/1.5', '“1.5”'],
  ['/console/worlds/4294967296', 'The seed'],
  ['/console/worlds/seven', '“seven”'],
  ['/console/worlds/7?only=3,,7', 'An item of the plan'],
  ['/console/worlds/7?only=all', '“all”'],
])('%s is refused in words', (address, said) => expect(() => read(address)).toThrow(said));
