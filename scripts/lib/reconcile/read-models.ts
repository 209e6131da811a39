/**
 * Rows against a fresh fold of their streams, by the services' own projections, exactly, also while both move on.
 *
 * A projection's rows and its checkpoint change in one transaction. So a row that is read after the checkpoint shows
 * every event up to there, maybe some of those after, and no others: it is right when it equals one of the states that
 * its stream went through from that position on. A row that merely lags is never called wrong; a projection that stands
 * still behind its events is told once.
 */
import { isDeepStrictEqual } from 'node:util';
import { categoryOf, idOf, type RecordedEvent } from '#event-store';
import type { AnyProjection, Row } from '#projections';
import type { Clock } from '#runtime';
import { type Service, services, shop } from '../../../apps/shop.js';
import { keyOf, type ServiceBooks } from './books.js';
import type { Finding } from './finding.js';
import { type OrderBooks, orderCategories } from './order.js';

/** A projection whose rows are each about one stream, and have its id as their primary key. */
export interface ReadModel {
  readonly service: Service;
  readonly projection: AnyProjection;
  /** The category of those streams. */
  readonly category: string;
}

type OrderCategory = (typeof orderCategories)[number];

const isOrderCategory = (category: string): category is OrderCategory =>
  (orderCategories as readonly string[]).includes(category);

export const allReadModels: readonly ReadModel[] = services.flatMap((service) =>
  shop[service].projections.map((projection) => {
    const { name, categories, keyColumns } = projection;
    if (categories.length !== 1 || keyColumns.length !== 1) {
      throw new Error(`Reconcile compares rows that are about one stream each, and those of ${name} are not.`);
    }
    return { service, projection, category: categories[0]! };
  }),
);

/** Those with a row per order, and those with a row per SKU. */
export const orderReadModels = allReadModels.filter((model): model is ReadModel & { category: OrderCategory } =>
  isOrderCategory(model.category),
);
export const skuReadModels = allReadModels.filter(({ category }) => !isOrderCategory(category));

/** Rows of one read model by key, each not older than position `since`. */
export interface Rows {
  readonly model: ReadModel;
  readonly since: bigint;
  readonly byKey: ReadonlyMap<string, Row>;
}

export async function rowsOf(
  model: ReadModel,
  books: Pick<ServiceBooks, 'tables'>,
  keys: readonly string[],
): Promise<Rows> {
  const { projection } = model;
  const since = await books.tables.checkpoint(projection);
  const rows = await books.tables.load(
    projection,
    keys.map((key) => ({ [projection.keyColumns[0]!]: key })),
  );
  return { model, since, byKey: new Map(rows.map((row) => [keyOf(projection, row), row])) };
}

/** Where the rows of an order are not what its streams give. The rows were read before the streams. */
export function judgeRows(books: OrderBooks, allRows: readonly Rows[]): Finding[] {
  return allRows.flatMap(({ model, since, byKey }) => {
    const events = books[model.category as OrderCategory];
    const row = byKey.get(books.orderId);
    let folded: Row | undefined;
    for (const event of events as readonly RecordedEvent[]) {
      if (event.position > since && same(row, folded)) return [];
      folded = next(model.projection, folded, event);
    }
    return same(row, folded) ? [] : [differing(model, books.orderId, row, folded)];
  });
}

/** All rows of a read model about SKUs or the like, folded as the events go by: as many as there are SKUs, or customers who left. */
export class SkuRows {
  private readonly rows = new Map<string, Row>();
  private position = 0n;

  constructor(readonly model: ReadModel) {}

  see(event: RecordedEvent): void {
    if (categoryOf(event.stream) !== this.model.category) return;
    const id = idOf(event.stream);
    const row = next(this.model.projection, this.rows.get(id), event);
    if (row) this.rows.set(id, row);
    else this.rows.delete(id); // Most customers have none.
    this.position = event.position;
  }

  /** Compares the table with the fold. `follow` gives the events from here on, up to the present. */
  async *compare(
    books: Pick<ServiceBooks, 'tables' | 'keys'>,
    follow: (categories: readonly string[]) => AsyncIterable<readonly RecordedEvent[]>,
  ): AsyncIterable<Finding> {
    const { since, byKey } = await this.table(books);
    if (since < this.position) return; // It is behind, which is told.
    let wrong: Set<string> | undefined;
    const wrongNow = () => {
      const keys = [...this.rows.keys(), ...byKey.keys()];
      return new Set(keys.filter((key) => !same(byKey.get(key), this.rows.get(key))));
    };
    for await (const events of follow([this.model.category])) {
      for (const event of events) {
        if (event.position <= this.position) continue;
        if (event.position > since) wrong ??= wrongNow();
        this.see(event);
        const id = idOf(event.stream);
        if (wrong?.has(id) && same(byKey.get(id), this.rows.get(id))) wrong.delete(id);
      }
    }
    for (const key of wrong ?? wrongNow()) yield differing(this.model, key, byKey.get(key), this.rows.get(key));
  }

  private async table(books: Pick<ServiceBooks, 'tables' | 'keys'>): Promise<Rows> {
    const since = await books.tables.checkpoint(this.model.projection);
    const byKey = new Map<string, Row>();
    for await (const keys of books.keys(this.model.projection)) {
      for (const [key, row] of (await rowsOf(this.model, books, keys)).byKey) byKey.set(key, row);
    }
    return { model: this.model, since, byKey };
  }
}

/** Waits for a projection to get to `position`, as long as it moves. */
export async function* caughtUp(
  model: ReadModel,
  books: ServiceBooks,
  position: bigint,
  clock: Clock,
  pauseMs: number,
): AsyncIterable<Finding> {
  const { name, table } = model.projection;
  for (let before = -1n; ;) {
    const checkpoint = await books.tables.checkpoint(model.projection);
    if (checkpoint >= position) return;
    if (checkpoint === before) {
      const message = `${name} stands still at position ${checkpoint}, and its events go up to ${position}: ${table} shows what was.`;
      yield { kind: 'read-model-behind', books: [table, `${model.category}-*`], message };
      return;
    }
    before = checkpoint;
    await clock.sleep(pauseMs);
  }
}

function next(projection: AnyProjection, row: Row | undefined, event: RecordedEvent): Row | undefined {
  return projection.key(event) === undefined ? row : projection.apply(row, event);
}

/** A column that a row does not name is null in the table. */
function same(row: Row | undefined, folded: Row | undefined): boolean {
  if (row === undefined || folded === undefined) return row === folded;
  return differingColumns(row, folded).length === 0;
}

function differingColumns(row: Row, folded: Row): string[] {
  const columns = new Set([...Object.keys(row), ...Object.keys(folded)]);
  return [...columns].filter((column) => !isDeepStrictEqual(row[column] ?? null, folded[column] ?? null));
}

function differing(model: ReadModel, key: string, row: Row | undefined, folded: Row | undefined): Finding {
  const { table } = model.projection;
  const stream = `${model.category}-${key}`;
  const about = isOrderCategory(model.category) ? { orderId: key } : { sku: key };
  const whose = isOrderCategory(model.category) ? `Order ${key}` : key;
  const told = (it: Row, columns: readonly string[]) =>
    columns.map((column) => `${column} ${JSON.stringify(it[column] ?? null)}`).join(', ');
  const common = { ...about, books: [table, stream] };
  if (row === undefined) {
    const message = `${whose}: ${table} has no row, but ${stream} gives one: ${told(folded!, Object.keys(folded!))}.`;
    return { kind: 'row-missing', ...common, message };
  }
  if (folded === undefined) {
    const message = `${whose}: ${table} has a row, but ${stream} gives none: ${told(row, Object.keys(row))}.`;
    return { kind: 'row-too-many', ...common, message };
  }
  const columns = differingColumns(row, folded);
  const message = `${whose}: ${table} says ${told(row, columns)}, but ${stream} gives ${told(folded, columns)}.`;
  return { kind: 'row-differs', ...common, message };
}
