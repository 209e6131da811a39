/**
 * What goes wrong between two transactions, at each level of isolation. Nothing is left to luck: two customers take turns
 * step by step, and whoever has to wait for a lock is seen to wait.
 *
 *   anna reads ─▶ ben reads, or waits ─▶ anna writes, commits ─▶ ben writes, commits
 */
import type pg from 'pg';
import { connected } from '../frame/books.js';
import type { Table } from '../frame/way.js';

const levels = ['READ COMMITTED', 'REPEATABLE READ', 'SERIALIZABLE'] as const;
type Level = (typeof levels)[number];

/** What one customer does, in the two halves between which the other one comes. */
interface Customer {
  read(client: pg.Client): Promise<unknown>;
  /** Writes on what was read. */
  write(client: pg.Client, who: Who): Promise<unknown>;
}

type Who = 'anna' | 'ben';

interface Anomaly {
  readonly name: string;
  /** Each pair of customers begins with these rows. */
  readonly begin: string;
  readonly customer: Customer;
  /** Whether the shop's rule is broken afterwards. */
  readonly broken: string;
  readonly mends: Readonly<Record<string, { readonly customer: Customer; readonly begin?: string }>>;
}

const asks =
  (sql: string): Customer['read'] =>
  (client) =>
    client.query(sql);

/** Writes only if the row that was read allows it; what is read is kept between the halves by the session. */
const ifAllowed = (read: string, write: (who: Who) => string): Customer => ({
  read: (client) => client.query(`SELECT set_config('lab.allowed', (${read})::text, true)`),
  write: (client, who) =>
    client.query(`DO $$ BEGIN IF current_setting('lab.allowed')::boolean THEN ${write(who)}; END IF; END $$`),
});

const BOTH_SHELVES = 'SELECT sum(units) >= 2 FROM shelf';
const LOCK_SHELVES = 'SELECT sum(units) >= 2 FROM (SELECT units FROM shelf ORDER BY place FOR UPDATE) AS _';
const takeOne = (who: Who) => `UPDATE shelf SET units = units - 1 WHERE place = '${who === 'anna' ? 'front' : 'back'}'`;

export const anomalies: readonly Anomaly[] = [
  {
    // Ten units, two customers take one each: eight are left.
    name: 'lost update: the stock is read, and what is left is written back',
    begin: `INSERT INTO shelf VALUES ('front', 10)`,
    customer: {
      read: asks(`SELECT set_config('lab.units', units::text, true) FROM shelf`),
      write: asks(`UPDATE shelf SET units = current_setting('lab.units')::int - 1`),
    },
    broken: 'SELECT 10 - count(*) <> (SELECT sum(units) FROM shelf) FROM done',
    mends: {
      'lock the row': {
        customer: {
          read: asks(`SELECT set_config('lab.units', units::text, true) FROM shelf FOR UPDATE`),
          write: asks(`UPDATE shelf SET units = current_setting('lab.units')::int - 1`),
        },
      },
      'let the database subtract': {
        customer: { read: asks('SELECT units FROM shelf'), write: asks('UPDATE shelf SET units = units - 1') },
      },
    },
  },
  {
    // The last unit stays in the window. Each sees two units, and takes one of another shelf.
    name: 'write skew: each may take one unit while the other shelf keeps the last',
    begin: `INSERT INTO shelf VALUES ('front', 1), ('back', 1)`,
    customer: ifAllowed(BOTH_SHELVES, takeOne),
    broken: 'SELECT sum(units) < 1 FROM shelf',
    mends: {
      'lock both rows': { customer: ifAllowed(LOCK_SHELVES, takeOne) },
      'keep the sum in a row with a CHECK': {
        begin: `INSERT INTO shelf VALUES ('front', 1), ('back', 1); INSERT INTO total VALUES (2)`,
        customer: ifAllowed(BOTH_SHELVES, (who) => `UPDATE total SET units = units - 1; ${takeOne(who)}`),
      },
    },
  },
  {
    // One unit, and each finds no reservation: a row that is not there cannot be locked.
    name: 'phantom: nobody has reserved the unit, so it is reserved',
    begin: `INSERT INTO shelf VALUES ('front', 1)`,
    customer: ifAllowed('SELECT count(*) < 1 FROM reserved', (who) => `INSERT INTO reserved VALUES (1, '${who}')`),
    broken: 'SELECT count(*) > 1 FROM reserved',
    mends: {
      'lock the row of the SKU': {
        customer: {
          read: asks('SELECT units FROM shelf FOR UPDATE'),
          write: (client, who) =>
            client.query(
              `INSERT INTO reserved SELECT 1, '${who}' WHERE (SELECT count(*) FROM reserved) < (SELECT units FROM shelf)`,
            ),
        },
      },
      'a UNIQUE constraint on the unit': {
        begin: `INSERT INTO shelf VALUES ('front', 1); CREATE UNIQUE INDEX ON reserved (unit)`,
        customer: ifAllowed('SELECT count(*) < 1 FROM reserved', (who) => `INSERT INTO reserved VALUES (1, '${who}')`),
      },
    },
  },
];

export interface Counted {
  readonly broken: number;
  /** Transactions that Postgres ended: they have to be done again. */
  readonly ended: number;
}

/** `times` pairs of customers, each at a new shelf. */
export function countAt(url: string, level: Level, anomaly: Anomaly, times: number, mend?: string): Promise<Counted> {
  const { customer, begin = anomaly.begin } = mend === undefined ? anomaly : anomaly.mends[mend]!;
  return connected(url, (watcher) =>
    connected(url, (anna) =>
      connected(url, async (ben) => {
        const count = { broken: 0, ended: 0 };
        for (let i = 0; i < times; i++) {
          await watcher.query(`${TABLES}; ${begin}`);
          count.ended += await meet({ watcher, anna, ben }, level, customer);
          const { rows } = await watcher.query<Record<string, boolean>>(anomaly.broken);
          if (Object.values(rows[0]!)[0]) count.broken++;
        }
        await watcher.query('DROP SCHEMA anomalies CASCADE');
        return count;
      }),
    ),
  );
}

/** `done` has a row for each customer whose transaction counted. */
const TABLES = `
  DROP SCHEMA IF EXISTS anomalies CASCADE; CREATE SCHEMA anomalies; SET search_path = anomalies;
  CREATE TABLE shelf (place text PRIMARY KEY, units int NOT NULL);
  CREATE TABLE total (units int NOT NULL CHECK (units >= 1));
  CREATE TABLE reserved (unit int NOT NULL, customer text NOT NULL);
  CREATE TABLE done (customer text NOT NULL)`;

interface Meeting {
  readonly watcher: pg.Client;
  readonly anna: pg.Client;
  readonly ben: pg.Client;
}

/** Returns how many of the two transactions were ended. */
async function meet({ watcher, anna, ben }: Meeting, level: Level, { read, write }: Customer): Promise<number> {
  for (const each of [anna, ben]) await each.query(`SET search_path = anomalies; BEGIN ISOLATION LEVEL ${level}`);
  const finish = async (client: pg.Client, who: Who) => {
    await write(client, who);
    await client.query(`INSERT INTO done VALUES ('${who}')`);
    await client.query('COMMIT');
  };
  const undo = (client: pg.Client) => async () => {
    await client.query('ROLLBACK');
    return 1;
  };
  await read(anna);
  let hasRead = false;
  const second = read(ben)
    .then(
      () => undefined,
      (error: unknown) => error,
    )
    .finally(() => (hasRead = true));
  while (!hasRead && !(await isWaiting(watcher, ben)));
  const first = await finish(anna, 'anna').then(() => 0, undo(anna));
  const refused = await second;
  return first + (refused ? await undo(ben)() : await finish(ben, 'ben').then(() => 0, undo(ben)));
}

/** Whether the client's session waits for a lock of another one. */
async function isWaiting(watcher: pg.Client, client: pg.Client): Promise<boolean> {
  const { processID } = client as unknown as { processID: number };
  const { rows } = await watcher.query<{ waits: boolean }>('SELECT cardinality(pg_blocking_pids($1)) > 0 AS waits', [
    processID,
  ]);
  return rows[0]!.waits;
}

/** A row for each anomaly at each level, and one for each thing that mends it at the lowest. */
export async function tabulate(url: string, times: number): Promise<Table[]> {
  const rows: string[][] = [];
  for (const anomaly of anomalies) {
    const of = (level: Level, mend?: string) => countAt(url, level, anomaly, times, mend);
    for (const level of levels) rows.push(rowOf(anomaly.name, level.toLowerCase(), await of(level)));
    for (const mend of Object.keys(anomaly.mends))
      rows.push(rowOf(anomaly.name, `read committed, ${mend}`, await of(levels[0], mend)));
  }
  const head = ['two customers at once', 'with', `broken, of ${times} pairs`, 'transactions that Postgres ended'];
  return [{ title: 'The levels of isolation, by their anomalies', head, rows }];
}

const rowOf = (anomaly: string, how: string, { broken, ended }: Counted) => [anomaly, how, `${broken}`, `${ended}`];
