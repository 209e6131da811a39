import { type Clock, frozenCopy, SystemClock } from '#runtime';
import { digestOf, type Staleness, stalenessOf } from './built-by.js';
import type { AnyProjection, Projection, Row } from './projection.js';
import { CheckpointMoved, type TableChange, Tables } from './port.js';
import { keyText } from './fold.js';

/**
 * Tables in memory: for tests, and for services that a simulation runs together in one process. Rows are copied when they
 * are committed and returned frozen, so that only a commit can change one.
 */
export class MemoryTables extends Tables {
  private readonly tables = new Map<string, Map<string, Row>>();
  private readonly checkpoints = new Map<string, bigint>();
  private readonly builders = new Map<string, string>();
  /** By projection, the commits that showed something, in order. */
  private readonly shown = new Map<
    string,
    { readonly after: bigint; readonly position: bigint; readonly at: Date }[]
  >();

  constructor(private readonly clock: Pick<Clock, 'now'> = new SystemClock()) {
    super();
  }

  override async checkpoint({ name }: AnyProjection): Promise<bigint> {
    return this.checkpoints.get(name) ?? 0n;
  }

  override async load<R extends object>(projection: Projection<R, any>, keys: readonly Partial<R>[]): Promise<R[]> {
    const table = this.table(projection);
    return keys.map((key) => table.get(keyText(projection, key)) as R | undefined).filter((row) => row !== undefined);
  }

  override async commit({ projection, from, to, upserts, deletes, shows }: TableChange): Promise<void> {
    if ((this.checkpoints.get(projection.name) ?? 0n) !== from) throw new CheckpointMoved(projection.name);
    const table = this.table(projection);
    for (const row of upserts) table.set(keyText(projection, row), frozenCopy(row));
    for (const key of deletes) table.delete(keyText(projection, key));
    this.checkpoints.set(projection.name, to);
    if (shows) this.shownOf(projection).push({ after: from, position: to, at: this.clock.now() });
    if (!this.builders.has(projection.name)) this.builders.set(projection.name, digestOf(projection, ''));
  }

  override async shownAt(projection: AnyProjection, positions: readonly bigint[]): Promise<ReadonlyMap<bigint, Date>> {
    const shown = this.shownOf(projection);
    return new Map(
      positions.flatMap((each) => {
        const commit = shown.find(({ after, position }) => after < each && each <= position);
        return commit ? [[each, commit.at] as const] : [];
      }),
    );
  }

  override async forgetShown(projection: AnyProjection, before: Date): Promise<number> {
    const shown = this.shownOf(projection);
    const kept = shown.findIndex(({ at }) => at >= before);
    return shown.splice(0, kept < 0 ? shown.length : kept).length;
  }

  override async due<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]> {
    const place = placeBy(projection, column);
    return this.rows(projection)
      .filter((row) => isDue(row[column], until) && (after === undefined || place(row) > place(after)))
      .sort((a, b) => (place(a) < place(b) ? -1 : 1))
      .slice(0, limit);
  }

  override async latest<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]> {
    const place = placeBy(projection, column);
    return this.rows(projection)
      .filter((row) => row[column] !== null && (after === undefined || place(row) < place(after)))
      .sort((a, b) => (place(a) < place(b) ? 1 : -1))
      .slice(0, limit);
  }

  override async countDue<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
  ): Promise<number> {
    return this.rows(projection).filter((row) => isDue(row[column], until)).length;
  }

  override async staleness(projection: AnyProjection): Promise<Staleness | undefined> {
    const then = this.builders.get(projection.name);
    return then === undefined ? undefined : stalenessOf(then, digestOf(projection, ''));
  }

  /** All rows of a projection's table, in no particular order. */
  rows<R extends object = Row>(projection: Projection<R, any>): R[] {
    return [...this.table(projection).values()] as R[];
  }

  private shownOf({ name }: AnyProjection) {
    let shown = this.shown.get(name);
    if (shown === undefined) this.shown.set(name, (shown = []));
    return shown;
  }

  private table(projection: AnyProjection): Map<string, Row> {
    let table = this.tables.get(projection.table);
    if (table === undefined) this.tables.set(projection.table, (table = new Map()));
    return table;
  }
}

/** By the time in a column, and then by key: ISO 8601 in UTC sorts as text. */
function placeBy<R extends object>(projection: Projection<R, any>, column: keyof R & string) {
  return (row: Partial<R>) => `${String(row[column])} ${keyText(projection, row)}`;
}

/** Null is never due. */
function isDue(time: unknown, until: Date): boolean {
  return Date.parse(time as string) <= until.getTime();
}
