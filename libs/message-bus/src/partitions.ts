/** Which partition a key belongs to, and how the instances of a consumer group share the partitions between them. */

/** The partitions of a topic: the most instances that can share the work of a group. A key's place depends on it. */
export const PARTITIONS = 12;

/**
 * The partition of a key: the same in every instance, on every adapter, and for Kafka's own clients.
 *
 * Source: `partitionForKey` in org.apache.kafka.clients.producer.internals.BuiltInPartitioner.
 */
export function partitionOf(key: string, partitions: number): number {
  return (murmur2(Buffer.from(key)) & 0x7fffffff) % partitions;
}

/**
 * MurmurHash2 by Austin Appleby (public domain) with the seed that Kafka uses, as a signed 32-bit integer.
 *
 * Source: `murmur2` in org.apache.kafka.common.utils.Utils.
 */
export function murmur2(data: Uint8Array): number {
  const m = 0x5bd1e995;
  const tail = data.length & ~3;
  let h = 0x9747b28c ^ data.length;
  for (let i = 0; i < tail; i += 4) {
    let k = data[i]! | (data[i + 1]! << 8) | (data[i + 2]! << 16) | (data[i + 3]! << 24);
    k = Math.imul(k, m);
    k = Math.imul(k ^ (k >>> 24), m);
    h = Math.imul(h, m) ^ k;
  }
  for (let i = data.length - 1; i >= tail; i--) h ^= data[i]! << ((i - tail) * 8);
  if (data.length > tail) h = Math.imul(h, m);
  h = Math.imul(h ^ (h >>> 13), m);
  return h ^ (h >>> 15);
}

/**
 * What one instance does for its fair share of a topic: which of its partitions it gives up, and which free ones it
 * claims. The shares of all instances add up to all partitions, and no instance gives up what it may keep. `rank` is the
 * instance's place, from 0, in an order of the `members` that is the same for all of them.
 */
export function rebalance(topic: {
  readonly partitions: number;
  readonly members: number;
  readonly rank: number;
  readonly owned: readonly number[];
  readonly free: readonly number[];
}): { giveUp: readonly number[]; claim: readonly number[] } {
  const { partitions, members, rank, owned, free } = topic;
  const share = Math.floor(partitions / members) + (rank < partitions % members ? 1 : 0);
  return { giveUp: owned.slice(share), claim: free.slice(0, Math.max(0, share - owned.length)) };
}
