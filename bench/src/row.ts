/**
 * What a row of the table is: one piece of work that Larder and its peers do, side by side, and the goals that follow
 * from what each round measured.
 */
import type { Profile } from './profile.js';

/** What one round of one contender measured: `rate` (per second), `p50Ms`, `p99Ms`, and whatever else the row names. */
export type Sample = Readonly<Record<string, number>>;

/** By contender; Larder's own is called `larder`. */
export type Samples = Readonly<Record<string, Sample>>;

export interface Goal {
  /** What is compared, as a phrase: `events per second, of Emmett's`. */
  readonly name: string;
  /** What the value is in: a multiple, a percentage, milliseconds, or pieces. */
  readonly unit: '×' | '%' | 'ms' | 'pieces';
  readonly atLeast?: number;
  readonly atMost?: number;
  /** From the samples of one round. */
  value(samples: Samples): number;
  /** The contender whose profile is taken when the goal is not met; Default: `larder`. */
  readonly profiled?: string;
}

export interface Row {
  readonly id: string;
  readonly name: string;
  /** How each side is set up, and after which advice of its own documentation: sentences for docs/performance.md. */
  readonly how: string;
  readonly goals: readonly Goal[];
  open(bench: Bench): Promise<Opened>;
}

/** A row that is ready to be measured. */
export interface Opened {
  /** Each does the work once, for a second or a few, and returns what it measured. They never run at the same time. */
  readonly contenders: Readonly<Record<string, () => Promise<Sample>>>;
  /**
   * For what is over so fast that it has to be compared call by call: measures all contenders in one go, and each round
   * is this. By themselves they then only warm up, and are watched.
   */
  together?(): Promise<Samples>;
  close(): Promise<void>;
  /** For a row that works in processes of its own: where their time goes. Asked for when a goal is not met. */
  profile?(): Promise<Profile>;
}

/** What a row gets from the run. */
export interface Bench {
  /** `--quick`: less of everything, to see that it works rather than to measure. */
  readonly quick: boolean;
  /**
   * Creates a database on the run's Postgres, which has `fsync` and `synchronous_commit` on, and returns its URL. It is
   * dropped when the row has closed.
   */
  database(): Promise<string>;
  /** A URL of the run's Postgres for what is about the whole server, such as pg_stat_activity. */
  readonly serverUrl: string;
  /** The file that it logs to. */
  readonly log: string;
  /** Aborts when the run is interrupted: a child process that is spawned with it ends then. */
  readonly signal: AbortSignal;
  /** A line for who watches. */
  note(text: string): void;
}
