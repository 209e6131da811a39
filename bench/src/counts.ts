/**
 * What a checkout costs the server, as counts, which no busy machine changes: statements and transactions by the server's
 * log, and how often somebody waited until the log of the database was on the disk.
 *
 * A warm shop, one checkout after the other, each alone until everything has caught up with it; and then many at once. Rows
 * P12 and P13 count so. `npm run bench -- --counts` shows what was counted, and fails when it is far too much: CI runs it,
 * so that whoever adds a statement to every order learns of it at once.
 */
import { readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { type Share, shares } from './profile.js';
import type { Bench } from './row.js';
import { FINAL, openBenchShop, WATCHING } from './shop.js';

const LONE = 20;
const WARM_UP = 40;

/**
 * What a checkout may cost, alone and with so many in flight: what was counted on a machine with nothing else to do, and a
 * tenth to a quarter more, because what goes together on a busy one is partly chance.
 */
const MOST = { statements: 62, transactions: 62, inFlight: { 16: 13, 64: 5 } } as const;

/** Every statement, with what is needed to tell whose it is. */
const LOGGING = { log_line_prefix: '%n %p %d %a|', log_parameter_max_length: '0', log_statement: 'all' };

/** A statement that the server was given: when (ms since 1970), by which connection, in which database, for what. */
export interface Statement {
  readonly atMs: number;
  readonly connection: string;
  readonly database: string;
  readonly application: string;
  readonly text: string;
}

/** Opens a shop, warms it up, and has the server log every statement until it is closed. */
export async function openCountedShop(bench: Bench) {
  const shop = await openBenchShop(bench);
  for (let n = 0; n < WARM_UP; n++) await shop.checkOut();
  await shop.settled();
  const server = new pg.Client({ connectionString: bench.serverUrl, application_name: WATCHING });
  await server.connect();
  for (const [name, value] of Object.entries(LOGGING)) await server.query(`ALTER SYSTEM SET ${name} = '${value}'`);
  await reload('all');

  /** The server tells its processes one by one. */
  async function reload(wanted: string): Promise<void> {
    await server.query('SELECT pg_reload_conf()');
    const setting = async () => (await server.query('SHOW log_statement')).rows[0]['log_statement'] as string;
    while ((await setting()) !== wanted) await sleep(20);
  }

  const { databases } = shop.shop;
  const names = new Map(Object.entries(databases).map(([name, url]) => [new URL(url).pathname.slice(1), name]));

  /** What the services gave the server while `work` was done, in its order. */
  async function statements(work: () => Promise<unknown>): Promise<Statement[]> {
    const from = statSync(bench.log).size;
    await work();
    return parse(readFileSync(bench.log).subarray(from).toString())
      .filter(({ application, database }) => application !== WATCHING && names.has(database))
      .map((each) => ({ ...each, database: names.get(each.database)! }));
  }

  /** So many checkouts one after the other: the one in the middle of them, and how often each flushed the log, on average. */
  async function alone(times: number) {
    const each: Statement[][] = [];
    const before = await flushes(server);
    for (let n = 0; n < times; n++) {
      const work = async () => {
        await shop.checkOut();
        await shop.settled();
      };
      each.push(await statements(work));
    }
    const typical = each.toSorted((a, b) => a.length - b.length)[times >> 1]!;
    return {
      typical,
      statements: typical.length,
      transactions: transactions(typical),
      flushes: ((await flushes(server)) - before) / times,
    };
  }

  /** Checkouts for so long, so many in flight: how many they were, their statements, and the transactions of each. */
  async function atOnce(inFlight: number, ms: number) {
    const before = await orders();
    const all = await statements(async () => {
      await shop.placeOrders(inFlight, ms, FINAL);
      await shop.settled();
    });
    const checkouts = (await orders()) - before;
    return { checkouts, statements: all, transactions: transactions(all) / checkouts };
  }

  /** By the events: those whose customers were gone when the time was over have cost as much as the others. */
  async function orders(): Promise<number> {
    const client = new pg.Client({ connectionString: databases.order, application_name: WATCHING });
    await client.connect();
    const { rows } = await client.query<{ n: number }>(
      `SELECT count(*)::int AS n FROM event_store.events WHERE type = 'OrderPlaced'`,
    );
    await client.end();
    return rows[0]!.n;
  }

  async function close(): Promise<void> {
    await shop.close();
    for (const name of Object.keys(LOGGING)) await server.query(`ALTER SYSTEM RESET ${name}`);
    await reload('none');
    await server.end();
  }

  return { shop, statements, alone, atOnce, close };
}

/** `--counts`: shows what a checkout costs, and returns how many of the counts are more than MOST. */
export async function count(bench: Bench): Promise<number> {
  const shop = await openCountedShop(bench);
  let exceeded = 0;
  const check = (counted: number, most: number) => {
    if (counted > most) exceeded++;
    return `${Number(counted.toFixed(1))} (at most ${most})`;
  };
  try {
    const { typical, flushes, ...alone } = await shop.alone(LONE);
    const stated = check(alone.statements, MOST.statements);
    const ended = check(alone.transactions, MOST.transactions);
    console.log(
      `A checkout alone: statements ${stated}, transactions ${ended}; ${flushes.toFixed(1)} of them waited for the disk.`,
    );
    for (const [what, times] of grouped(typical)) console.log(`${String(times).padStart(5)}  ${what}`);
    console.log('\nIts statements, in their order:');
    for (const { atMs, database, application, text } of typical)
      console.log(
        `${String(Math.round(atMs - typical[0]!.atMs)).padStart(5)} ms  ${database.padEnd(9)} ${application.padEnd(20)} ${text.slice(0, 80)}`,
      );

    for (const inFlight of [16, 64] as const) {
      const { checkouts, transactions } = await shop.atOnce(inFlight, 4_000);
      const counted = check(transactions, MOST.inFlight[inFlight]);
      console.log(`With ${inFlight} in flight, of ${checkouts}: transactions per checkout ${counted}.`);
    }
    if (exceeded > 0) console.error('A checkout costs more than it may: see above, and MOST in bench/src/counts.ts.');
    return exceeded;
  } finally {
    await shop.close();
  }
}

/** What there is most of among these statements, in percent. */
export function statementShares(statements: readonly Statement[]): Share[] {
  return shares(new Map(grouped(statements)));
}

/** The statements of a log that was written with the prefix above. Those of several lines begin with a line that has one. */
function parse(log: string): Statement[] {
  const found: Statement[] = [];
  for (const entry of log.split(/^(?=\d+\.\d+ \d+ )/m)) {
    const parts = /^(\d+\.\d+) (\d+) (\S*) ([^|]*)\|LOG:  (?:statement|execute [^:]+): ([^]*)$/.exec(entry);
    if (!parts) continue;
    const [, seconds, connection, database, application, text] = parts as unknown as string[];
    found.push({
      atMs: Number(seconds) * 1_000,
      connection: connection!,
      database: database!,
      application: application!,
      text: text!.replace(/\s+/g, ' ').trim(),
    });
  }
  return found;
}

/** A statement by itself is one, and what stands between BEGIN and COMMIT is one together. */
function transactions(statements: readonly Statement[]): number {
  const open = new Set<string>();
  let ended = 0;
  for (const { connection, text } of statements) {
    if (/^(BEGIN|START)/i.test(text)) open.add(connection);
    else if (/^(COMMIT|ROLLBACK)/i.test(text)) ended += Number(open.delete(connection));
    else if (!open.has(connection)) ended++;
  }
  return ended;
}

function grouped(statements: readonly Statement[]): [string, number][] {
  const counts = new Map<string, number>();
  for (const { database, application, text } of statements) {
    const what = `${database} (${application}): ${text.slice(0, 70)}`;
    counts.set(what, (counts.get(what) ?? 0) + 1);
  }
  return [...counts].toSorted(([, a], [, b]) => b - a);
}

/**
 * How often a connection flushed the log of the database since the server began, because somebody waited for it; the
 * background's flushes of what need not survive a crash do not count. Connections report it when they rest.
 */
async function flushes(server: pg.Client): Promise<number> {
  for (let before = -1; ; await sleep(1_500)) {
    const { rows } = await server.query<{ n: string }>(
      `SELECT sum(fsyncs)::text AS n FROM pg_stat_io WHERE object = 'wal' AND backend_type = 'client backend'`,
    );
    const now = Number(rows[0]!.n);
    if (now - before <= 2) return now;
    before = now;
  }
}
