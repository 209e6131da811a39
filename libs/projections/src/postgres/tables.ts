/**
 * Projections' tables in a service's Postgres database.
 *
 * A batch costs two round trips: one statement loads the rows that it touches, one writes them and moves the checkpoint.
 * Rows travel as one array per column, which Postgres unnests, so a batch of any size is the same statement. Projectors
 * that follow the same events commit at the same moment: what they write then goes together, as one statement
 * (joint-commits.ts).
 *
 * A rebuild (rebuild.ts) may replace a table while a batch is between its two statements. Rows folded from the old table
 * must not reach the new one, so the write also checks that the table is still the one whose columns were read at first;
 * if it is not, the batch starts over.
 */
import { createHash } from 'node:crypto';
import pg from 'pg';
import { type Clock, SystemClock } from '#runtime';
import { digestOf, type Staleness, stalenessOf } from '../built-by.js';
import { JointCommits } from '../joint-commits.js';
import type { AnyProjection, Projection } from '../projection.js';
import { type TableChange, Tables } from '../port.js';

/** A pool, or one connection of it. */
export type Database = Pick<pg.Pool | pg.ClientBase, 'query'>;

/** A table's current columns, and the SQL for them. */
interface Layout {
  /** The value of `IDENTITY` for it. */
  readonly identity: string;
  readonly columns: readonly { readonly name: string; readonly json: boolean }[];
  /** Parameters: the keys. */
  readonly load: Statement;
  /**
   * What writes rows. Parameters, from $`first` on: those of `moveSql`, the table's identity, the columns of the upserts, and
   * with `deletes` the keys to delete.
   */
  write(names: PartNames, first: number, deletes: boolean): PartSql;
}

/** How a part of a statement calls its WITH queries. */
type PartNames = Readonly<Record<'moved' | 'upserted' | 'deleted', string>>;

/** Parts of a WITH: the first moves the checkpoint. */
type PartSql = readonly [moved: string, ...rows: string[]];

/** A change as a part of a statement. */
interface Part {
  /** The same for all parts of the same text. */
  readonly kind: string;
  readonly values: readonly unknown[];
  readonly few: boolean;
  readonly shows: boolean;
  sql(names: PartNames, first: number): PartSql;
}

/**
 * A named statement is planned once per connection: planning takes longer than running a small statement. The name is
 * derived from the text, so that a name never stands for another text when the table has changed.
 */
type Statement = Required<Pick<pg.QueryConfig, 'name' | 'text'>>;

/**
 * Up to this many rows are looked up by index whatever the size of the table, so that plan may be kept (BY_INDEX ensures
 * it). For more, as in a rebuild, the best plan depends on the table, and the statement is planned each time.
 */
const FEW = 100;

/** A row each: little enough for one short statement. */
const FORGOTTEN_AT_ONCE = 1_000;

const { escapeIdentifier } = pg;

/** The name of a projection's checkpoint in the table `checkpoints`. */
export const checkpointName = (projection: AnyProjection) => `projection:${projection.name}`;

/**
 * Moves the checkpoint $1 from $2 to $3. A missing row counts as 0, and the new row records that $4 built the table.
 * `condition` may require more. The first parameter has the number `first`.
 */
const moveSql = (first: number, condition = 'true') => {
  const [name, from, to, builder] = [0, 1, 2, 3].map((n) => `$${first + n}`);
  return `
  INSERT INTO checkpoints (name, position, built_by)
  SELECT ${name}::text, ${to}::bigint, ${builder}::text
  WHERE (${from}::bigint = 0 OR EXISTS (SELECT FROM checkpoints WHERE name = ${name}::text)) AND ${condition}
  ON CONFLICT (name) DO UPDATE SET position = EXCLUDED.position WHERE checkpoints.position = ${from}::bigint
  RETURNING ${name}::text AS name, ${from}::bigint AS after, position`;
};

/**
 * Notes when the commits of these parts show what they write. The instant is as late as a statement can take it: Postgres
 * runs parts of a WITH that nothing reads at the end, the last of them first, so this one stands before those that write
 * rows. What is left is the commit itself, which waits for no disk.
 */
const showSql = (moved: readonly string[]) => `
  INSERT INTO shown (after, position, at, projection)
  SELECT after, position, clock_timestamp(), substr(name, ${checkpointName({ name: '' } as AnyProjection).length + 1})
  FROM (${moved.map((each) => `SELECT * FROM ${each}`).join(' UNION ALL ')}) AS moved
  ON CONFLICT DO NOTHING`;

/**
 * Nothing here waits for the server's disk: a crash of the server may lose the last commits, but each of them whole, the
 * checkpoint with its rows. They are folded again from the events. `set_config` does it for this transaction only, and
 * without a round trip.
 */
const ASYNCHRONOUS = `set_config('synchronous_commit', 'off', true)`;

/**
 * Distinguishes a table from every other that ever had its name, and from itself after a rename: a table that was taken
 * out of service and put back (a rollback, and forward again) may have missed events in between.
 */
const IDENTITY = `pg_class.oid || ' ' || pg_class.xmin`;

/** The columns of the table $1, in one string. */
const COLUMNS = `
  SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attname)
  FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped`;

/** The digest of a projection's code and of the columns that its table has now. */
export async function currentDigest(db: Database, projection: AnyProjection): Promise<string> {
  const { rows } = await db.query<{ columns: string | null }>(`SELECT (${COLUMNS}) AS columns`, [
    escapeIdentifier(projection.table),
  ]);
  return digestOf(projection, rows[0]!.columns ?? '');
}

export class PostgresTables extends Tables {
  private readonly layouts = new Map<string, Promise<Layout>>();
  /** By the kinds of its parts. Tables that are replaced leave some behind, which a restart forgets. */
  private readonly statements = new Map<string, Statement>();
  private readonly commits: JointCommits;

  constructor(
    private readonly db: Database,
    clock: Clock = new SystemClock(),
  ) {
    super();
    this.commits = new JointCommits({ clock, write: (changes) => this.write(changes) });
  }

  override async checkpoint(projection: AnyProjection): Promise<bigint> {
    const { rows } = await this.db.query<{ position: string }>({
      name: 'checkpoint',
      text: 'SELECT position FROM checkpoints WHERE name = $1',
      values: [checkpointName(projection)],
    });
    return BigInt(rows[0]?.position ?? 0);
  }

  override async positions(projections: readonly AnyProjection[]): Promise<ReadonlyMap<string, bigint>> {
    const { rows } = await this.db.query<{ name: string; position: string }>({
      name: 'checkpoints',
      text: 'SELECT name, position FROM checkpoints WHERE name = ANY ($1)',
      values: [projections.map(checkpointName)],
    });
    const found = new Map(rows.map(({ name, position }) => [name, BigInt(position)]));
    return new Map(projections.map((each) => [each.name, found.get(checkpointName(each)) ?? 0n]));
  }

  override async load<R extends object>(projection: Projection<R, any>, keys: readonly Partial<R>[]): Promise<R[]> {
    if (keys.length === 0) return [];
    const layoutOf = await this.shape(projection);
    const values = projection.keyColumns.map((column) => keys.map((key) => key[column]));
    const { rows } = await this.db.query<R>({ ...prepare(layoutOf.load, keys.length), values, types: asJson });
    return rows;
  }

  override commit(change: TableChange): Promise<void> {
    return this.commits.commit(change);
  }

  override async shownAt(projection: AnyProjection, positions: readonly bigint[]): Promise<ReadonlyMap<bigint, Date>> {
    const { rows } = await this.db.query<{ asked: string; at: Date }>({
      name: 'shown_at',
      text: `SELECT asked, at FROM unnest($2::bigint[]) AS asked CROSS JOIN LATERAL (
               SELECT after, at FROM shown WHERE projection = $1 AND position >= asked ORDER BY position LIMIT 1) AS next
             WHERE after < asked`,
      values: [projection.name, positions],
    });
    return new Map(rows.map(({ asked, at }) => [BigInt(asked), at]));
  }

  override async forgetShown(projection: AnyProjection, before: Date): Promise<number> {
    const { rowCount } = await this.db.query(
      `DELETE FROM shown WHERE projection = $1 AND at < $2 AND position <= (
         SELECT max(position) FROM (
           SELECT position FROM shown WHERE projection = $1 ORDER BY position LIMIT ${FORGOTTEN_AT_ONCE}) AS oldest)`,
      [projection.name, before],
    );
    return rowCount ?? 0;
  }

  override due<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]> {
    return this.inOrder(projection, column, limit, after, until);
  }

  override latest<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    limit: number,
    after?: Partial<R>,
  ): Promise<R[]> {
    return this.inOrder(projection, column, limit, after);
  }

  /** Rows by the time in a column and then by key: those due until a time from the first on, or all that are set from the last. */
  private async inOrder<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    limit: number,
    after: Partial<R> | undefined,
    until?: Date,
  ): Promise<R[]> {
    const values: unknown[] = [limit];
    const put = (value: unknown) => `$${values.push(value)}`;
    const place = [column, ...projection.keyColumns];
    const by = place.map(escapeIdentifier);
    const [direction, comes] = until ? ['ASC', '>'] : ['DESC', '<'];
    const isWanted = until ? `<= ${put(until.toISOString())}` : 'IS NOT NULL';
    const follows = after
      ? `AND (${by.join(', ')}) ${comes} (${place.map((part) => put(after[part as keyof R])).join(', ')})`
      : '';
    const { rows } = await this.db.query<R>({
      text: `SELECT * FROM ${escapeIdentifier(projection.table)}
             WHERE ${by[0]} ${isWanted} ${follows} ORDER BY ${by.map((part) => `${part} ${direction}`).join(', ')} LIMIT $1`,
      values,
      types: asJson,
    });
    return rows;
  }

  override async countDue<R extends object>(
    projection: Projection<R, any>,
    column: keyof R & string,
    until: Date,
  ): Promise<number> {
    const { rows } = await this.db.query<{ count: string }>(
      `SELECT count(*) FROM ${escapeIdentifier(projection.table)} WHERE ${escapeIdentifier(column)} <= $1`,
      [until.toISOString()],
    );
    return Number(rows[0]!.count);
  }

  override async staleness(projection: AnyProjection): Promise<Staleness | undefined> {
    const { rows } = await this.db.query<{ built_by: string | null; columns: string }>({
      text: `SELECT built_by, (${COLUMNS}) AS columns FROM checkpoints WHERE name = $2`,
      values: [escapeIdentifier(projection.table), checkpointName(projection)],
    });
    if (!rows[0]) return undefined;
    const now = digestOf(projection, rows[0].columns ?? '');
    if (rows[0].built_by !== null) return stalenessOf(rows[0].built_by, now);
    await this.db.query('UPDATE checkpoints SET built_by = $2 WHERE name = $1 AND built_by IS NULL', [
      checkpointName(projection),
      now,
    ]);
    return undefined;
  }

  /** Writes changes of different projections in one statement. Returns for each whether its checkpoint was where it begins. */
  private async write(changes: readonly TableChange[]): Promise<boolean[]> {
    const parts = await Promise.all(changes.map((change) => this.partOf(change)));
    const values = parts.flatMap((part) => part.values);
    const { rows } = await this.db.query<{ moved: boolean[] }>({ ...this.statementOf(parts), values });
    const { moved } = rows[0]!;
    // Where a checkpoint has moved, the table may have been replaced.
    for (const [i, { projection }] of changes.entries()) if (!moved[i]) this.layouts.delete(projection.name);
    return moved;
  }

  private statementOf(parts: readonly Part[]): pg.QueryConfig {
    const kinds = parts.map(({ kind, shows }) => `${kind} ${shows}`).join(' | ');
    let statement = this.statements.get(kinds);
    if (!statement) {
      let first = 1;
      const sql = parts.map((part, i) => {
        const text = part.sql({ moved: `moved_${i}`, upserted: `upserted_${i}`, deleted: `deleted_${i}` }, first);
        first += part.values.length;
        return text;
      });
      const moved = parts.map((_, i) => `EXISTS (SELECT FROM moved_${i})`);
      const shows = parts.flatMap((part, i) => (part.shows ? `moved_${i}` : []));
      const all = [
        ...sql.map(([move]) => move),
        ...(shows.length > 0 ? [`shows AS (${showSql(shows)})`] : []),
        ...sql.flatMap(([, ...rows]) => rows),
      ];
      statement = nameStatement(`WITH ${all.join(', ')} SELECT ${ASYNCHRONOUS}, ARRAY[${moved.join(', ')}] AS moved`);
      this.statements.set(kinds, statement);
    }
    return parts.every(({ few }) => few) ? statement : { text: statement.text };
  }

  private async partOf({ projection, from, to, upserts, deletes, shows = false }: TableChange): Promise<Part> {
    const builder = from === 0n ? await currentDigest(this.db, projection) : null;
    const checkpoint = [checkpointName(projection), from, to, builder];
    if (upserts.length + deletes.length === 0) {
      const sql = ({ moved }: PartNames, first: number): PartSql => [`${moved} AS (${moveSql(first)})`];
      return { kind: 'move', values: checkpoint, few: true, shows, sql };
    }
    const layout = await this.shape(projection);
    const unknown = Object.keys(upserts[0] ?? {}).find(
      (name) => !layout.columns.some((column) => column.name === name),
    );
    if (unknown) {
      throw new Error(`The table ${projection.table} has no column ${unknown}: apply the migration that adds it.`);
    }
    const upserted = layout.columns.map(({ name, json }) =>
      json
        ? upserts.map((row) => (row[name] == null ? '' : JSON.stringify(row[name]))).join('\n')
        : upserts.map((row) => row[name]),
    );
    const deleted = deletes.length > 0 ? projection.keyColumns.map((column) => deletes.map((key) => key[column])) : [];
    return {
      kind: `${projection.name} ${layout.identity} ${deletes.length > 0}`,
      values: [...checkpoint, layout.identity, ...upserted, ...deleted],
      few: deletes.length <= FEW,
      shows,
      sql: (names, first) => layout.write(names, first, deletes.length > 0),
    };
  }

  private shape(projection: AnyProjection): Promise<Layout> {
    let shape = this.layouts.get(projection.name);
    if (shape === undefined) {
      shape = readLayout(this.db, projection).catch((error: unknown) => {
        this.layouts.delete(projection.name);
        throw error;
      });
      this.layouts.set(projection.name, shape);
    }
    return shape;
  }
}

/** Reads a table's columns and writes the SQL for it. */
async function readLayout(db: Database, projection: AnyProjection): Promise<Layout> {
  const table = escapeIdentifier(projection.table);
  const { rows: columns } = await db.query<{ identity: string; name: string; type: string; is_array: boolean }>({
    text: `SELECT ${IDENTITY} AS identity, attname AS name, format_type(atttypid, NULL) AS type,
             typcategory = 'A' AS is_array
           FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid JOIN pg_type ON pg_type.oid = atttypid
           WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
           ORDER BY attnum`,
    values: [table],
  });
  if (columns.length === 0) throw new Error(`There is no table ${projection.table}: apply the migrations.`);
  const array = columns.find((column) => column.is_array);
  if (array) throw new Error(`${projection.table}.${array.name} is an array: make it jsonb, which can be unnested.`);

  const names = (list: readonly { name: string }[], prefix = '') =>
    list.map(({ name }) => prefix + escapeIdentifier(name)).join(', ');
  const unnest = (list: readonly { type: string }[], first: number) =>
    `UNNEST(${list.map(({ type }, i) => arraySql(type, `$${first + i}`)).join(', ')})`;
  const keys = projection.keyColumns.map((name) => columns.find((column) => column.name === name)!);
  const others = columns.filter((column) => !keys.includes(column));
  const key = names(keys);
  const onConflict = others.length ? `UPDATE SET (${names(others)}) = ROW(${names(others, 'EXCLUDED.')})` : 'NOTHING';

  return {
    identity: columns[0]!.identity,
    columns: columns.map(({ name, type }) => ({ name, json: isJson(type) })),
    load: nameStatement(
      `SELECT ${names(columns, 't.')} FROM ${unnest(keys, 1)} AS k (${key}) JOIN ${table} AS t USING (${key})`,
    ),
    write({ moved, upserted, deleted }, first, deletes) {
      // The name is resolved when the statement runs, after it has waited for its locks: it is the table that is written.
      const same = `(SELECT ${IDENTITY} FROM pg_class WHERE oid = to_regclass('${table}')) = $${first + 4}`;
      const values = unnest(columns, first + 5);
      const gone = unnest(keys, first + 5 + columns.length);
      return [
        `${moved} AS (${moveSql(first, same)})`,
        ...(deletes
          ? [
              `${deleted} AS (DELETE FROM ${table} WHERE (${key}) IN (SELECT * FROM ${gone})
               AND EXISTS (SELECT FROM ${moved}))`,
            ]
          : []),
        `${upserted} AS (
           INSERT INTO ${table} (${names(columns)}) SELECT * FROM ${values} WHERE EXISTS (SELECT FROM ${moved})
           ON CONFLICT (${key}) DO ${onConflict})`,
      ];
    },
  };
}

function nameStatement(text: string): Statement {
  return { name: createHash('sha1').update(text).digest('hex'), text };
}

/** A statement that looks up this many rows, with its name if the plan may be kept. */
function prepare({ name, text }: Statement, rows: number): pg.QueryConfig {
  return rows <= FEW ? { name, text } : { text };
}

const isJson = (type: string) => type === 'jsonb' || type === 'json';

/**
 * How a column's values are sent: as an array, and JSON as lines, an empty line being null. No JSON text is empty or has a
 * line break, and in an array all its quotes would have to be escaped: this writes rows with JSON a seventh faster.
 */
function arraySql(type: string, parameter: string): string {
  return isJson(type) ? `string_to_array(${parameter}, E'\\n', '')::${type}[]` : `${parameter}::${type}[]`;
}

/** Values in their JSON form, so that a row from the database looks like one from memory. */
const asJson: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format: 'text') => {
    const { builtins } = pg.types;
    if (oid === builtins.INT8) return Number;
    if (oid === builtins.TIMESTAMPTZ) {
      const parse = pg.types.getTypeParser(oid, format);
      return (value: string) => (parse(value) as Date).toISOString();
    }
    return pg.types.getTypeParser(oid, format);
  }) as typeof pg.types.getTypeParser,
};
