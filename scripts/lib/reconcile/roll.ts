/**
 * Which ids a book has, in 2 MB, however many there are: two books that have the same ones have the same roll. Where
 * they differ, the rolls say which few ids have to be looked at.
 */
import { createHash } from 'node:crypto';

const SLOTS = 2 ** 18;

/** Each slot is the sum, modulo 2⁶⁴, of the hashes of the ids that fall into it: the order of the ids does not matter. */
export class Roll {
  private readonly sums = new BigUint64Array(SLOTS);

  /** Each id is added once. */
  add(id: string): void {
    const { slot, hash } = placeOf(id);
    this.sums[slot] = this.sums[slot]! + hash;
  }

  /** Whether an id is in a slot where the two rolls are not the same. */
  differsAt(other: Roll, id: string): boolean {
    const { slot } = placeOf(id);
    return this.sums[slot] !== other.sums[slot];
  }

  equals(other: Roll): boolean {
    return this.sums.every((sum, slot) => sum === other.sums[slot]);
  }
}

function placeOf(id: string): { slot: number; hash: bigint } {
  const digest = createHash('sha1').update(id).digest();
  return { slot: digest.readUInt32LE(0) % SLOTS, hash: digest.readBigUInt64LE(8) };
}
