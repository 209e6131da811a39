/** The mutants that the console can plant: one for each kind of rule, with a world that finds it. */
import { type Mutant, mutants } from '../simulation/mutants.js';

export interface Planted extends Mutant {
  /** As addresses have it. */
  readonly key: string;
  /** Of a world that finds it. Another one may, once the services do something else: `npm run simulate:mutants` says which. */
  readonly seed: number;
}

const plant = (key: string, name: string, seed: number): Planted => ({
  ...mutants.find((mutant) => mutant.name === name)!,
  key,
  seed,
});

export const planted: readonly Planted[] = [
  plant('stranger', 'whoever knows its id may cancel an order', 1),
  plant('both-win', 'a store lets a cancellation and the pivot both win', 3),
  plant('offset-first', 'an offset is stored before the work', 1),
  plant('checkpoint-first', 'a relay saves its checkpoint before the bus has acknowledged, and skips at take-over', 1),
  plant('no-wake-up', 'who writes events wakes nobody who follows them, and they are found at the next poll', 1),
  plant('key-stays', 'an erased key stays', 2),
  plant(
    'second-capture',
    'a capture is tried again under another key, at a provider that then takes the money again',
    7,
  ),
  plant('deadline-in-memory', 'a deadline is kept in memory', 22),
];
