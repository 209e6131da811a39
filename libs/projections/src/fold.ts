/** Projections as plain computation: events in, rows out. The projector, rebuilds and reads of the past share it. */
import type { DomainEvent, RecordedEvent } from '#event-store';
import type { Projection } from './projection.js';

export interface Folded<R> {
  /** Rows that are new or have changed, as they are now. */
  readonly upserts: R[];
  /** The rows that were deleted, as they were. */
  readonly deletes: R[];
}

/**
 * Folds events, in position order, into the rows that they touch: `rows` are those that exist already. However many
 * events are about one row, it is returned once, and not at all when it has not changed.
 */
export function fold<R extends object, E extends DomainEvent>(
  projection: Projection<R, E>,
  rows: readonly R[],
  events: readonly RecordedEvent<E>[],
): Folded<R> {
  const before = new Map(rows.map((row) => [keyText(projection, row), row]));
  const after = new Map<string, R | undefined>();
  for (const event of events) {
    const key = projection.key(event);
    if (key === undefined) continue;
    const text = keyText(projection, key);
    const row = after.has(text) ? after.get(text) : before.get(text);
    after.set(text, projection.apply(row, event));
  }
  const folded: Folded<R> = { upserts: [], deletes: [] };
  for (const [text, row] of after) {
    const was = before.get(text);
    if (row === was) continue;
    if (row) folded.upserts.push(row);
    else if (was) folded.deletes.push(was);
  }
  return folded;
}

/** The row after the events of one stream, all about that one row: the whole stream, or a part for a moment in the past. */
export function foldStream<R extends object, E extends DomainEvent>(
  projection: Projection<R, E>,
  events: Iterable<RecordedEvent<E>>,
): R | undefined {
  let row: R | undefined;
  for (const event of events) if (projection.key(event)) row = projection.apply(row, event);
  return row;
}

/** The primary keys, each once, of the rows that events are about; `began` are those that had none before. */
export function keysOf<R extends object, E extends DomainEvent>(
  projection: Projection<R, E>,
  events: readonly RecordedEvent<E>[],
): { readonly keys: ReadonlyMap<string, Partial<R>>; readonly began: ReadonlySet<string> } {
  const keys = new Map<string, Partial<R>>();
  const began = new Set<string>();
  for (const event of events) {
    const key = projection.key(event);
    if (!key) continue;
    const text = keyText(projection, key);
    keys.set(text, key);
    if (projection.rowPerStream && event.revision === 0) began.add(text);
  }
  return { keys, began };
}

/** A row's primary key as one string. */
export function keyText<R extends object>({ keyColumns }: Projection<R, never>, row: Partial<R>): string {
  if (keyColumns.length === 1) return String(row[keyColumns[0]!]);
  return JSON.stringify(keyColumns.map((column) => row[column]));
}
