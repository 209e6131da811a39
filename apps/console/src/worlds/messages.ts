/**
 * What the page of simulated worlds and the thread that runs them tell each other, and the file that names the threads.
 * Types alone: proof/browser/worker.ts is the thread, proof/browser/vite.config.ts writes the file.
 */
import type { Story } from '../../../gateway/src/api.js';

/** `/console/worlds.json`: a thread without a mutant first, and one for each mutant that can be planted. */
export type Threads = readonly Thread[];

export interface Thread {
  /** As addresses have it; absent for the services as they are. */
  readonly mutant?: string;
  /** What is wrong with the services, in words. */
  readonly name: string;
  /** A world that finds it. */
  readonly seed: number;
  readonly file: string;
}

/** To the thread: a world to run. It answers with a `World`. */
export interface WorldWanted {
  readonly seed: number;
  /** The items of its plan that happen; absent: all. */
  readonly only?: readonly number[];
}

export interface World {
  readonly seed: number;
  /** A hash over all of its steps and events: the same world has the same anywhere. */
  readonly trace: string;
  readonly steps: number;
  /** How long it took, in milliseconds of its own time. */
  readonly virtualMs: number;
  /** How often orders ended in each way. */
  readonly endings: Readonly<Record<string, number>>;
  /** By time. */
  readonly plan: readonly Planned[];
  readonly rules: readonly Rule[];
  /** Of each order. */
  readonly stories: readonly Story[];
}

/** An item of the plan of a world. */
export interface Planned {
  readonly n: number;
  readonly atMs: number;
  readonly what: string;
  /** Whether something goes wrong by it; else it is what people want. */
  readonly isTrouble: boolean;
  /** When it had an effect, in milliseconds since the beginning; absent when it had none. */
  readonly struckMs?: number;
}

export interface Rule {
  readonly name: string;
  /** What is wrong where it is broken. */
  readonly meaning: string;
  /** Where it is broken: none when it held. */
  readonly broken: readonly { readonly text: string; readonly orders: readonly string[] }[];
}
