/** Chance of a simulated world: all of it follows from the seed and from what it is about. */
import { Random } from '#runtime';
import { SeededRandom } from '#runtime/testing';

/** A 32-bit hash (FNV-1a, Fowler, Noll and Vo, public domain). */
export function hash(text: string, start = 0x811c9dc5): number {
  let h = start;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return h >>> 0;
}

/** Dice of their own for everything that has a name: taking one thing out of a world leaves the luck of the others alone. */
export function diceFor(seed: number, ...names: readonly (string | number)[]): Dice {
  return new Dice(new SeededRandom(hash(names.join(' '), hash(String(seed)))));
}

export class Dice extends Random {
  constructor(private readonly random: Random) {
    super();
  }

  override next(): number {
    return this.random.next();
  }

  chance(probability: number): boolean {
    return this.next() < probability;
  }

  /** A whole number from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.next() * (high - low + 1));
  }

  pick<T>(from: readonly T[]): T {
    return from[Math.floor(this.next() * from.length)]!;
  }

  /** The key of one entry, as often as its weight says. */
  weighted<T extends string>(weights: Readonly<Record<T, number>>): T {
    const entries = Object.entries(weights) as [T, number][];
    let left = this.next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
    return (entries.find(([, weight]) => (left -= weight) < 0) ?? entries.at(-1)!)[0];
  }

  shuffled<T>(list: readonly T[]): T[] {
    const result = [...list];
    for (let i = result.length - 1; i > 0; i--) {
      const j = this.between(0, i);
      [result[i], result[j]] = [result[j]!, result[i]!];
    }
    return result;
  }
}
