/**
 * Shadow tables of a projection's table: created like it, put in its place, dropped.
 *
 *   order_summary                       read and written
 *   order_summary_rebuild               being rebuilt; an interrupted run is resumed with it
 *   order_summary_before                what a rebuild took out of service, for a rollback
 *   order_summary_at_20261120t120000z   as it was at that moment
 *
 * The first three have a checkpoint each, which moves with their rows. A table of a moment has one until it is complete.
 */
import pg from 'pg';
import { checkpointName, type Database } from './tables.js';
import type { AnyProjection } from '../projection.js';

const { escapeIdentifier, escapeLiteral } = pg;

/** Postgres truncates longer names. */
const NAME_BYTES = 63;

/** The same projection on a shadow table, with a checkpoint of its own. */
export function shadowTable<P extends AnyProjection>(projection: P, what: string): P {
  const table = `${projection.table.slice(0, NAME_BYTES - what.length - 1)}_${what}`;
  return { ...projection, name: `${projection.name}:${what}`, table };
}

/** Creates an empty table with the columns, indexes, constraints and grants of `like`, replacing any of its name. */
export async function createShadowTable(
  db: Database,
  like: AnyProjection,
  table: AnyProjection,
  builtBy: string,
): Promise<void> {
  const [from, to] = [escapeIdentifier(like.table), escapeIdentifier(table.table)];
  const { rows: grants } = await db.query<{ sql: string }>(
    `SELECT format('GRANT %s ON %I TO %s;', privilege_type, $2::text,
              CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END) AS sql
     FROM pg_class, aclexplode(relacl) WHERE pg_class.oid = to_regclass($1)`,
    [from, table.table],
  );
  // Several statements in one simple query are one transaction.
  await db.query(`
    ${dropSql(table)}
    CREATE TABLE ${to} (LIKE ${from} INCLUDING ALL);
    ${grants.map(({ sql }) => sql).join('')}
    INSERT INTO checkpoints (name, position, built_by)
    VALUES (${escapeLiteral(checkpointName(table))}, 0, ${escapeLiteral(builtBy)})`);
}

export async function dropShadowTable(db: Database, table: AnyProjection): Promise<void> {
  await db.query(dropSql(table));
}

const dropSql = (table: AnyProjection) =>
  `DROP TABLE IF EXISTS ${escapeIdentifier(table.table)};
   DELETE FROM checkpoints WHERE name = ${escapeLiteral(checkpointName(table))};`;

/** The checkpoint of a shadow table, and the code that built it; undefined without the table or its checkpoint. */
export async function progressOf(
  db: Database,
  table: AnyProjection,
): Promise<{ readonly position: bigint; readonly builtBy: string | null } | undefined> {
  const { rows } = await db.query<{ position: string; built_by: string | null }>(
    'SELECT position, built_by FROM checkpoints WHERE name = $1 AND to_regclass($2) IS NOT NULL',
    [checkpointName(table), escapeIdentifier(table.table)],
  );
  return rows[0] && { position: BigInt(rows[0].position), builtBy: rows[0].built_by };
}

export async function exists(db: Database, { table }: AnyProjection): Promise<boolean> {
  const { rows } = await db.query<{ found: boolean }>('SELECT to_regclass($1) IS NOT NULL AS found', [
    escapeIdentifier(table),
  ]);
  return rows[0]!.found;
}

/** Columns and indexes that one of two tables has and the other lacks, in words: after a migration of one, for example. */
export async function schemaDifferences(db: Database, a: AnyProjection, b: AnyProjection): Promise<readonly string[]> {
  const { rows } = await db.query<{ part: string }>(
    `WITH parts AS (
       SELECT attrelid AS relation, concat_ws(' ', 'column', attname, format_type(atttypid, atttypmod),
              CASE WHEN attnotnull THEN 'not null' END) AS part
       FROM pg_attribute WHERE attnum > 0 AND NOT attisdropped
       UNION ALL
       SELECT indrelid, 'index' || ${INDEX} FROM pg_index)
     SELECT part FROM parts WHERE relation IN (to_regclass($1), to_regclass($2)) GROUP BY part
     HAVING count(*) FILTER (WHERE relation = to_regclass($1)) <> count(*) FILTER (WHERE relation = to_regclass($2))`,
    [escapeIdentifier(a.table), escapeIdentifier(b.table)],
  );
  return rows.map(({ part }) => part);
}

/** What an index is, regardless of its name. */
const INDEX = `CASE WHEN indisprimary THEN ' primary' WHEN indisunique THEN ' unique' ELSE '' END ||
               substring(pg_get_indexdef(indexrelid) FROM ' USING .*')`;

/** Views and other tables that depend on a table itself, not on its name: they would stay with it after a swap. */
export async function findDependents(db: Database, { table }: AnyProjection): Promise<readonly string[]> {
  const { rows } = await db.query<{ name: string }>(
    `SELECT ev_class::regclass::text AS name FROM pg_rewrite JOIN pg_depend ON classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid
     WHERE refobjid = to_regclass($1) AND ev_class <> refobjid
     UNION SELECT conrelid::regclass::text FROM pg_constraint WHERE confrelid = to_regclass($1) AND conrelid <> confrelid`,
    [escapeIdentifier(table)],
  );
  return rows.map(({ name }) => name);
}

/**
 * The SQL that swaps two tables: their names, those of their indexes and of the constraints that rest on them, and their
 * checkpoints.
 */
export async function swapSql(db: Database, a: AnyProjection, b: AnyProjection): Promise<string> {
  const { rows } = await db.query<{ a: string; b: string }>(
    `WITH indexes AS (
       SELECT indrelid, relname, definition, row_number() OVER (PARTITION BY indrelid, definition ORDER BY indexrelid) AS nth
       FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid, concat('', ${INDEX}) AS definition)
     SELECT a.relname AS a, b.relname AS b FROM indexes AS a JOIN indexes AS b USING (definition, nth)
     WHERE a.indrelid = to_regclass($1) AND b.indrelid = to_regclass($2)`,
    [escapeIdentifier(a.table), escapeIdentifier(b.table)],
  );
  const [first, second] = [escapeLiteral(checkpointName(a)), escapeLiteral(checkpointName(b))];
  return `
    ${swapNamesSql('TABLE', a.table, b.table)}
    ${rows.map((index) => swapNamesSql('INDEX', index.a, index.b)).join('')}
    UPDATE checkpoints AS mine SET position = other.position, built_by = other.built_by FROM checkpoints AS other
    WHERE (mine.name, other.name) IN ((${first}, ${second}), (${second}, ${first}));`;
}

/** `a` becomes `b` and `b` becomes `a`, by way of an unused name. */
function swapNamesSql(kind: 'TABLE' | 'INDEX', a: string, b: string): string {
  const rename = (from: string, to: string) =>
    `ALTER ${kind} ${escapeIdentifier(from)} RENAME TO ${escapeIdentifier(to)};`;
  return rename(a, 'changing_places') + rename(b, a) + rename('changing_places', b);
}

/** The SQL that locks a table until the transaction ends. */
export const lockSql = ({ table }: AnyProjection, mode = 'ACCESS EXCLUSIVE') =>
  `LOCK TABLE ${escapeIdentifier(table)} IN ${mode} MODE;`;

/** The SQL that drops one shadow table and gives its name and its checkpoint to another. */
export function replaceSql(old: AnyProjection, by: AnyProjection): string {
  return `
    ${dropSql(old)}
    ALTER TABLE ${escapeIdentifier(by.table)} RENAME TO ${escapeIdentifier(old.table)};
    UPDATE checkpoints SET name = ${escapeLiteral(checkpointName(old))} WHERE name = ${escapeLiteral(checkpointName(by))};`;
}

/** The shadow tables that can be dropped to free space, each with its size (`120 MB`), largest first. */
export async function findSpareTables(
  db: Database,
  projection: AnyProjection,
): Promise<readonly { readonly table: string; readonly size: string }[]> {
  const { rows } = await db.query<{ table: string; size: string }>(
    `SELECT relname AS table, pg_size_pretty(pg_total_relation_size(oid)) AS size FROM pg_class
     WHERE relkind = 'r' AND pg_table_is_visible(oid) AND (relname = $1 OR starts_with(relname, $2) AND relname ~ '_at_\\d[\\dtz]*$')
     ORDER BY pg_total_relation_size(oid) DESC`,
    [shadowTable(projection, 'before').table, shadowTable(projection, 'at_').table],
  );
  return rows;
}
