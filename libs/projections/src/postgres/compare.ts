/** Two tables of one projection, compared row by row and column by column in the database. */
import { isDeepStrictEqual } from 'node:util';
import pg from 'pg';
import type { Database } from './tables.js';
import type { AnyProjection, Row } from '../projection.js';

/** One primary key for which two tables differ. */
export interface RowDifference {
  readonly key: Row;
  /** The row as the table has it, and as its events give it; undefined if missing. */
  readonly table: Row | undefined;
  readonly events: Row | undefined;
  /** The columns that differ; empty when one of the rows is missing. */
  readonly columns: readonly string[];
}

export interface Comparison {
  /** Rows as the events give them. */
  readonly rows: number;
  /** Primary keys whose rows are wrong, missing or surplus in the table. */
  readonly differing: number;
}

const { escapeIdentifier } = pg;

/** Counts the rows of `built`, and the primary keys for which `table` differs. */
export async function compare(db: Database, table: AnyProjection, built: AnyProjection): Promise<Comparison> {
  const { rows } = await db.query<{ rows: string; differing: string }>(`
    SELECT count(b.${escapeIdentifier(table.keyColumns[0]!)}) AS rows, count(*) FILTER (WHERE ${DIFFER}) AS differing
    FROM ${joinSql(table, built)}`);
  return { rows: Number(rows[0]!.rows), differing: Number(rows[0]!.differing) };
}

/** The first differences in the order of the primary key. Values are in their JSON form. */
export async function listDifferences(
  db: Database,
  table: AnyProjection,
  built: AnyProjection,
  limit: number,
): Promise<RowDifference[]> {
  const { keyColumns } = table;
  const { rows } = await db.query<{ t: Row | null; b: Row | null }>(
    `SELECT to_jsonb(t) AS t, to_jsonb(b) AS b FROM ${joinSql(table, built)} WHERE ${DIFFER}
     ORDER BY ${keyColumns.map((column) => escapeIdentifier(column)).join(', ')} LIMIT $1`,
    [limit],
  );
  return rows.map(({ t, b }) => ({
    key: Object.fromEntries(keyColumns.map((column) => [column, (t ?? b!)[column]!])),
    table: t ?? undefined,
    events: b ?? undefined,
    columns: t && b ? Object.keys(t).filter((column) => !isDeepStrictEqual(t[column], b[column])) : [],
  }));
}

const joinSql = (table: AnyProjection, built: AnyProjection) =>
  `${escapeIdentifier(table.table)} AS t FULL JOIN ${escapeIdentifier(built.table)} AS b
   USING (${table.keyColumns.map((column) => escapeIdentifier(column)).join(', ')})`;

const DIFFER = 'ROW(t.*) IS DISTINCT FROM ROW(b.*)';
