/**
 * `npm run bench -- --counts`: what a checkout costs the server, as counts, which no busy machine changes: statements and
 * transactions by the server's log, and how often somebody waited until the log of the database was on the disk.
 *
 * A warm shop, one checkout after the other, each alone until everything has caught up with it; and then many at once. CI
 * runs it, so that whoever adds a statement to every order learns of it at once.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { readFileSync } from 'node:fs';
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { openBenchShop, orderBody, WATCHING } from './shop.js';
import type { Bench } from './row.js';

const LONE = 20;
const WARM_UP = 40;

/**
 * What a checkout may cost, alone and with so many in flight: what was counted on a machine with nothing else to do, and a
 * tenth to a quarter more, because what goes together on a busy one is partly chance.
 */
const MOST = { statements: 62, transactions: 62, inFlight: { 16: 13, 64: 5 } } as const;

/** A statement that the server was given: when (ms since 1970), by which connection, in which database, for what. */
interface Statement {
  readonly atMs: number;
  readonly connection: string;
  readonly database: string;
  readonly application: string;
  readonly text: string;
}

/** Returns how many of the counts are more than MOST. */
export async function count(bench: Bench, log: string): Promise<number> {
  const server = new pg.Client({ connectionString: bench.serverUrl, application_name: WATCHING });
  await server.connect();
  for (const [name, value] of Object.entries({
    log_line_prefix: '%n %p %d %a|',
    log_parameter_max_length: '0',
    log_statement: 'all',
  }))
    await server.query(`ALTER SYSTEM SET ${name} = '${value}'`);
  const shop = await openBenchShop(bench);
  let exceeded = 0;
  const check = (counted: number, most: number) => {
    if (counted > most) exceeded++;
    return `${Number(counted.toFixed(1))} (at most ${most})`;
  };
  try {
    for (let n = 0; n < WARM_UP; n++) await order(shop.shop.order[0]!, n);
    await shop.settled();
    await server.query('SELECT pg_reload_conf()');
    const logged = async () => (await server.query('SHOW log_statement')).rows[0]['log_statement'] === 'all';
    while (!(await logged())) await sleep(20);

    const names = new Map(
      Object.entries(shop.shop.databases).map(([name, url]) => [new URL(url).pathname.slice(1), name]),
    );
    const since = () => readFileSync(log, 'utf8').length;
    const statements = (from: number) =>
      parse(readFileSync(log, 'utf8').slice(from))
        .filter(({ application, database }) => application !== WATCHING && names.has(database))
        .map((each) => ({ ...each, database: names.get(each.database)! }));

    const alone: Statement[][] = [];
    const flushed = await flushes(server);
    for (let n = 0; n < LONE; n++) {
      const from = since();
      await order(shop.shop.order[0]!, n);
      await shop.settled();
      alone.push(statements(from));
    }
    const perLone = ((await flushes(server)) - flushed) / LONE;
    const typical = alone.toSorted((a, b) => a.length - b.length)[LONE / 2]!;
    const stated = check(typical.length, MOST.statements);
    const ended = check(transactions(typical), MOST.transactions);
    console.log(
      `A checkout alone: statements ${stated}, transactions ${ended}; ${perLone.toFixed(1)} of them waited for the disk.`,
    );
    for (const [what, times] of grouped(typical)) console.log(`${String(times).padStart(5)}  ${what}`);
    console.log('\nIts statements, in their order:');
    for (const { atMs, database, application, text } of typical)
      console.log(
        `${String(Math.round(atMs - typical[0]!.atMs)).padStart(5)} ms  ${database.padEnd(9)} ${application.padEnd(20)} ${text.slice(0, 80)}`,
      );

    for (const inFlight of [16, 64] as const) {
      const from = since();
      const sample = await shop.placeOrders(inFlight, 4_000, { prefer: 'wait=30' });
      await shop.settled();
      const each = transactions(statements(from)) / sample['calls']!;
      const counted = check(each, MOST.inFlight[inFlight]);
      console.log(`With ${inFlight} in flight, of ${sample['calls']}: transactions per checkout ${counted}.`);
    }
    if (exceeded > 0) console.error('A checkout costs more than it may: see above, and MOST in bench/src/counts.ts.');
    return exceeded;
  } finally {
    await shop.close();
    await server.end();
  }
}

async function order(url: string, n: number): Promise<void> {
  const headers = { 'content-type': 'application/json', 'idempotency-key': randomUUID(), prefer: 'wait=30' };
  const answer = await fetch(`${url}/orders`, { method: 'POST', headers, body: orderBody(n) });
  const { status } = (await answer.json()) as { status: string };
  if (status !== 'completed') throw new Error(`An order became ${status}.`);
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
