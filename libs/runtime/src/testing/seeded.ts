/** Ids and random numbers that are the same in every run. */
import { Ids, Random } from '../ports.js';

/** Ids that count: `00000000-0000-4000-8000-000000000001` and so on. */
export class SequentialIds extends Ids {
  private last = 0;

  override next(): string {
    return `00000000-0000-4000-8000-${(++this.last).toString(16).padStart(12, '0')}`;
  }
}

/** The same numbers for the same seed (mulberry32, Tommy Ettinger, public domain). */
export class SeededRandom extends Random {
  constructor(private state: number) {
    super();
  }

  override next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
}
