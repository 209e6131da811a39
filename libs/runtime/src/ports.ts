/**
 * What the inside of a service may use of the outside world. Everything that varies (time, ids, chance) and everything that
 * blocks (sleeping, waiting for a lease) comes through here, so that the same code runs on real machines, in a test
 * with a clock that stands still, and in a simulation under a virtual clock.
 */

/** Time. Nothing outside an adapter of this port calls `Date.now()`, `performance.now()` or `setTimeout`. */
export abstract class Clock {
  /** The present moment, for what is recorded, shown or promised. It may be set back or forward while we run. */
  abstract now(): Date;
  /** Milliseconds since some moment, for durations and pauses: this never goes back, and nobody sets it. */
  abstract monotonicMs(): number;
  /** Resolves after `ms` milliseconds, or as soon as `signal` aborts: sleeping never rejects. */
  abstract sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Identity of new things. */
export abstract class Ids {
  /** A new UUID. */
  abstract next(): string;
}

/** Chance, for jitter only: nothing that is decided depends on it. */
export abstract class Random {
  /** A number in [0, 1). */
  abstract next(): number;
}

/** Which instance does a piece of work, when a service has several. */
export abstract class Leases {
  /**
   * Waits until no other instance holds `name`, holds it while `work` runs, and gives it up when `work` ends or fails
   * (its error is thrown) or `signal` aborts. Returns without an error once `signal` has aborted. The signal given
   * to `work` aborts when the lease is lost: `work` then must stop, for another instance is about to begin.
   */
  abstract hold(name: string, signal: AbortSignal, work: (lease: AbortSignal) => Promise<void>): Promise<void>;

  /** Which instance holds each of these leases that is held now, by its name. Undefined where nobody can tell. */
  async holders(_names: readonly string[]): Promise<ReadonlyMap<string, string> | undefined> {
    return undefined;
  }
}

/** How far a reader has got, by name: the position of the last event that it is done with. */
export abstract class Checkpoints {
  /** 0n for a name that never stored one. */
  abstract load(name: string): Promise<bigint>;
  /** Never moves backward: an instance that lost its lease cannot undo the work of its successor. */
  abstract save(name: string, position: bigint): Promise<void>;
}

/** Structured logging, as pino does it. */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** The ports that nearly every part of a service needs. */
export interface Runtime {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly random: Random;
  readonly log: Log;
}
