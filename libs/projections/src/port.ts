/** The port of the tables that projections write: read models, and the to-do lists of watchdogs. */
import type { Staleness } from './built-by.js';
import type { AnyProjection, Projection, Row } from './projection.js';

export interface TableChange {
  readonly projection: AnyProjection;
  /** The checkpoint that the change builds on, and the one that it reaches. */
  readonly from: bigint;
  readonly to: bigint;
  readonly upserts: readonly Row[];
  /** Primary keys. */
  readonly deletes: readonly Row[];
  /** Whether readers see in it what happened in between: then `shownAt` knows since when. */
  readonly shows?: boolean;
}

export abstract class Tables {
  /** The position up to which a projection has read: 0n at the beginning. */
  abstract checkpoint(projection: AnyProjection): Promise<bigint>;

  /** The positions of several projections, by their names, in one look. */
  async positions(projections: readonly AnyProjection[]): Promise<ReadonlyMap<string, bigint>> {
    const positions = projections.map(async (each) => [each.name, await this.checkpoint(each)] as const);
    return new Map(await Promise.all(positions));
  }

  /** The rows with these primary keys, in any order; those that do not exist are left out. */
  abstract load<R extends object>(projection: Projection<R, any>, keys: readonly Partial<R>[]): Promise<R[]>;

  /**
   * Writes the rows and moves the checkpoint, all or nothing.
   * @throws CheckpointMoved when the checkpoint is not at `from`: another instance, or a rebuild, was faster
   */
  abstract commit(change: TableChange): Promise<void>;

  /**
   * For each of these positions of events since when reads have shown it: the moment of the commit that reached it, by the
   * database's clock. Left out are those that no commit has shown yet, and those whose moment is not kept, or no longer.
   * A rebuild changes none of them: it puts its table in place where the one before had come to.
   */
  abstract shownAt(projection: AnyProjection, positions: readonly bigint[]): Promise<ReadonlyMap<bigint, Date>>;

  /** Forgets moments of `shownAt` that are before another, the oldest first; returns how many: 0 when none is left. */
  abstract forgetShown(projection: AnyProjection, before: Date): Promise<number>;

  /**
   * Rows whose column `column` (a time) is not after `until`, earliest first and then by key, at most `limit`: how a
   * watchdog finds what is due in a to-do list that a projection keeps. With `after`, the time and the key of a row, only
   * those that follow it.
   */
  abstract due<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]>;

  /** How many rows `due` would find without a limit. */
  abstract countDue<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
  ): Promise<number>;

  /**
   * Rows whose column `column` (a time) is set, latest first and then by key, backwards, at most `limit`. With `after`, the
   * time and the key of a row, only those that follow it.
   */
  abstract latest<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]>;

  /**
   * Whether a projection's code or its table's columns have changed since the table was built; undefined when they have
   * not, and when there is no table yet. A table without a record of its builder, as from older versions, is recorded as
   * built by the first code that asks.
   */
  abstract staleness(projection: AnyProjection): Promise<Staleness | undefined>;
}

/** Another writer has advanced this projection. Nothing was written; continue from its checkpoint. */
export class CheckpointMoved extends Error {
  constructor(readonly projection: string) {
    super(`The checkpoint of ${projection} has moved.`);
    this.name = 'CheckpointMoved';
  }
}
