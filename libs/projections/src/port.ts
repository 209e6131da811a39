/** The port of the tables that projections write: read models, and the to-do lists of watchdogs. */
import type { Staleness } from './built-by.js';
import type { AnyProjection, Row } from './projection.js';

export interface TableChange {
  readonly projection: AnyProjection;
  /** The checkpoint that the change builds on, and the one that it reaches. */
  readonly from: bigint;
  readonly to: bigint;
  readonly upserts: readonly Row[];
  /** Primary keys. */
  readonly deletes: readonly Row[];
}

export abstract class Tables {
  /** How far a projection has got: 0n at the beginning. */
  abstract checkpoint(projection: AnyProjection): Promise<bigint>;

  /** The rows with these primary keys, in any order; those that do not exist are left out. */
  abstract load(projection: AnyProjection, keys: readonly Row[]): Promise<Row[]>;

  /**
   * Writes the rows and moves the checkpoint, all or nothing.
   * @throws CheckpointMoved when the checkpoint is not at `from`: another instance, or a rebuild, was faster
   */
  abstract commit(change: TableChange): Promise<void>;

  /**
   * Rows whose column `column` (a time) is not after `until`, earliest first, at most `limit`: how a watchdog finds what
   * is due in a to-do list that a projection keeps.
   */
  abstract due(projection: AnyProjection, column: string, until: Date, limit: number): Promise<Row[]>;

  /**
   * Whether a projection's code or its table's columns have changed since the table was built; undefined when they have
   * not, and when there is no table yet. A table whose builder was not recorded, as those of older versions, counts from
   * now on as built by whoever asks first.
   */
  abstract staleness(projection: AnyProjection): Promise<Staleness | undefined>;
}

/** Somebody else has moved this projection on. Nothing was written; go on from its checkpoint. */
export class CheckpointMoved extends Error {
  constructor(readonly projection: string) {
    super(`The checkpoint of ${projection} has moved.`);
    this.name = 'CheckpointMoved';
  }
}
