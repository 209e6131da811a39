import { expect, test } from 'vitest';
import { murmur2, partitionOf, rebalance } from './partitions.js';

// The known values of UtilsTest.testMurmur2 in Kafka's own test suite.
test.each([
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
])("the hash of %s is that of Kafka's clients", (key, hash) => expect(murmur2(Buffer.from(key))).toBe(hash));

test('a hash below zero gives a partition too', () => {
  expect(partitionOf('foobar', 12)).toBe((-790332482 & 0x7fffffff) % 12);
});

test.each([1, 2, 5, 12, 30])('%i members share 12 partitions fairly and completely', (members) => {
  const shares = Array.from({ length: members }, (_, rank) => {
    const free = Array.from({ length: 12 }, (_, partition) => partition);
    return rebalance({ partitions: 12, members, rank, owned: [], free }).claim.length;
  });
  expect(shares.reduce((a, b) => a + b)).toBe(12);
  expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1);
});

test('a member gives up only what exceeds its share', () => {
  const owned = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
  const topic = { partitions: 12, members: 2, rank: 0, free: [] };
  expect(rebalance({ ...topic, owned })).toEqual({ giveUp: [6, 7, 8, 9, 10, 11], claim: [] });
  expect(rebalance({ ...topic, owned: [6, 7] })).toEqual({ giveUp: [], claim: [] });
});
