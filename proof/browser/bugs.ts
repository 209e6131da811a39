/** The mutants that the console can plant: one for each kind of rule, with a world that finds it. */
import { type Mutant, mutants } from '../simulation/mutants.js';

export interface Bug extends Mutant {
  /** As addresses have it. */
  readonly key: string;
  readonly seed: number;
}

const bug = (key: string, name: string, seed: number): Bug => ({
  ...mutants.find((mutant) => mutant.name === name)!,
  key,
  seed,
});

export const bugs: readonly Bug[] = [
  bug('stranger', 'whoever knows its id may cancel an order', 1),
  bug('both-win', 'a store lets a cancellation and the pivot both win', 1),
  bug('offset-first', 'an offset is stored before the work', 1),
  bug('checkpoint-first', 'a relay saves its checkpoint before the bus has acknowledged, and skips at take-over', 1),
  bug('no-wake-up', 'who writes events wakes nobody who follows them, and they are found at the next poll', 1),
  bug('key-stays', 'an erased key stays', 2),
  bug('second-capture', 'a capture is tried again under another key, at a provider that then takes the money again', 5),
  bug('deadline-in-memory', 'a deadline is kept in memory', 13),
];
