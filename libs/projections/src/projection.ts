/**
 * A projection is a pure function from (row, event) to row, and names the table of the rows. It does no I/O, so the same
 * few lines build the live table, its rebuild as a shadow table, and the state as of a moment in the past.
 */
import type { DomainEvent, RecordedEvent } from '#event-store';

/** What fits into a column, in its JSON form: times are ISO 8601 strings, bigint columns safe integers. */
export type Column = string | number | boolean | null | readonly unknown[] | object;

/** A row by its column names (snake_case). */
export type Row = Record<string, Column>;

export interface Projection<R extends object = Row, E extends DomainEvent = DomainEvent> {
  /** What it is called on the command line and in health: `order-summary`. */
  readonly name: string;
  /** The table, declared in the service's Prisma schema. */
  readonly table: string;
  /** The categories of the streams that it reads. */
  readonly categories: readonly string[];
  /** The columns of the table's primary key. */
  readonly keyColumns: readonly (keyof R & string)[];
  /** Each row is about one stream, and each stream about one row: then its first event finds no row, and none is looked for. */
  readonly rowPerStream?: boolean;
  /**
   * Raise it when a function that `key` or `apply` calls has changed, so that services notice that the table has to be
   * rebuilt. Changes of `key` and `apply` themselves are noticed without it.
   */
  readonly version?: number;
  /** The primary key of the one row that an event is about; undefined when it is about none. */
  key(event: RecordedEvent<E>): Partial<R> | undefined;
  /** The row after an event; undefined deletes the row, or leaves it absent. */
  apply(row: R | undefined, event: RecordedEvent<E>): R | undefined;
}

/** A projection of any rows and events: for code that treats all of them alike. */
export type AnyProjection = Projection<any, any>;

/** Infers a projection's types from its row and event. */
export function projection<R extends object, E extends DomainEvent>(definition: Projection<R, E>): Projection<R, E> {
  return definition;
}
