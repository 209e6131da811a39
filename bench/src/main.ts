/**
 * `npm run bench`: every row of the table, Larder and its peers on one Postgres.
 *
 *   -- --only P3,P4   measures these rows; the results of the others stay
 *   -- --quick        a little of everything, to see that it works; nothing is kept of it
 *   -- --rounds 7     more rounds than five; fewer are shown, and not kept
 *   -- --counts       counts the statements of a checkout, fails when they are too many, and measures nothing
 *   -- --report       writes the documents again from results.json, and measures nothing
 *
 *   rows/*.ts ──measure──▶ results.json ──report──▶ docs/performance.md, docs/performance.svg
 *
 * A goal that is not met is a result. A row that fails is an error: the others are measured, and the exit code is 1.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { Advice } from '../../scripts/lib/advice.js';
import { freshDatabase } from '../../proof/shop/open-shop.js';
import { freePort, startPostgres } from '../../scripts/lib/embedded-postgres.js';
import { count } from './counts.js';
import { measure } from './measure.js';
import { report } from './report.js';
import { byId, figure, merged, readResults, type Results, resultsOf, spread, writeResults } from './results.js';
import type { Bench, Row } from './row.js';

const ROUNDS = 5;
/** How long connections may take to end after their row has closed them. */
const PARTING_MS = 5_000;

interface Options {
  readonly rows: readonly Row[];
  readonly quick: boolean;
  readonly rounds: number;
  /** Counts statements instead of measuring rows. */
  readonly counts: boolean;
}

/** @throws Advice for arguments that mean nothing */
async function optionsOf(args: string[]): Promise<Options | 'report'> {
  const { values } = parse(args);
  if (values.report) {
    if (args.length > 1) throw new Advice('--report goes alone: it measures nothing.');
    return 'report';
  }
  const rounds = Number(values.rounds ?? (values.quick ? 1 : ROUNDS));
  if (!Number.isSafeInteger(rounds) || rounds < 1) throw new Advice(`--rounds takes a number, not ${values.rounds}.`);
  const files = readdirSync(new URL('rows', import.meta.url));
  const modules = await Promise.all(files.map((file) => import(`./rows/${file}`) as Promise<{ row: Row }>));
  const rows = modules.map(({ row }) => row).toSorted((a, b) => byId(a.id, b.id));
  const ids = values.only?.split(',') ?? rows.map(({ id }) => id);
  const unknown = ids.find((id) => !rows.some((row) => isOf(row, id)));
  if (unknown !== undefined) {
    throw new Advice(`There is no row ${unknown}: there are ${rows.map(({ id }) => id).join(', ')}.`);
  }
  const counts = values.counts ?? false;
  return { rows: rows.filter((row) => ids.some((id) => isOf(row, id))), quick: values.quick ?? false, rounds, counts };
}

/** P10 is measured in two parts, P10 and P10b. */
function isOf(row: Row, id: string): boolean {
  return row.id === id || row.id.replace(/[a-z]$/, '') === id;
}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean' },
        rounds: { type: 'string' },
        report: { type: 'boolean' },
        counts: { type: 'boolean' },
      },
    });
  } catch (error) {
    throw new Advice(asError(error).message.split('. ')[0], { cause: error });
  }
}

/** Measures the rows one after the other on a Postgres of the run's own. Returns how many failed. */
async function run({ rows, quick, rounds, counts }: Options, signal: AbortSignal): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'larder-bench-'));
  const log = join(folder, 'log');
  const starting = startPostgres({ folder: join(folder, 'postgres'), port: await freePort(), log });
  try {
    const server = await starting;
    const postgres = await settingsOf(server.url('postgres'));
    console.log(`Postgres ${postgres.version}, fsync on, synchronous_commit on.`);
    const names: string[] = [];
    const bench: Bench = {
      quick,
      serverUrl: server.url('postgres'),
      log,
      signal,
      async database() {
        const url = await freshDatabase(server.url('postgres'));
        names.push(new URL(url).pathname.slice(1));
        return url;
      },
      note: (text) => console.error(text),
    };
    if (counts) return await Promise.race([count(bench), aborted(signal)]);
    const counted = !quick && rounds >= ROUNDS;
    if (!counted) console.log('This is to see that it works: nothing is kept of it.');

    let results: Results = { rows: [], details: {} };
    for (const row of rows) {
      signal.throwIfAborted();
      console.log(`\n${row.id}  ${row.name}`);
      const outcome = await Promise.race([measure(row, bench, rounds).catch(asError), aborted(signal)]);
      signal.throwIfAborted();
      const found = resultsOf(row, outcome, postgres.version);
      if (outcome instanceof Error) console.error(outcome);
      for (const line of linesOf(found)) console.log(line);
      results = merged(results, found);
      if (counted) await keep(found);
      await dropDatabases(server.url('postgres'), names.splice(0));
    }

    if (rows.length > 1) console.log(['', ...linesOf(results)].join('\n'));
    const met = results.rows.filter((result) => result.met).length;
    console.log(`\n${met} of ${results.rows.length} goals met.`);
    if (counted) console.log('See docs/performance.md.');
    return Object.values(results.details).filter(({ failure }) => failure !== undefined).length;
  } finally {
    await starting.then((server) => server.stop()).catch(() => {});
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A run that is interrupted later has lost only the row that it was at. */
async function keep(found: Results): Promise<void> {
  const results = merged(readResults(), found);
  await writeResults(results);
  await report(results);
}

/** @throws Advice when the server would not wait for the disk: all figures would be too good */
async function settingsOf(url: string): Promise<{ version: string }> {
  return asking(url, async (client) => {
    const show = async (name: string) => Object.values((await client.query(`SHOW ${name}`)).rows[0] as object)[0];
    for (const name of ['fsync', 'synchronous_commit']) {
      const setting: unknown = await show(name);
      if (setting !== 'on') throw new Advice(`Postgres has ${name} = ${setting}: nothing measured there would count.`);
    }
    return { version: String(await show('server_version')).split(' ')[0]! };
  });
}

/**
 * Frees the disk. A pool ends before its connections do, and a connection that is dropped meanwhile emits an error that
 * has no listener any longer: so connections are given some time to end.
 */
async function dropDatabases(url: string, names: readonly string[]): Promise<void> {
  await asking(url, async (client) => {
    const connections = 'SELECT FROM pg_stat_activity WHERE datname = ANY ($1)';
    const patience = performance.now() + PARTING_MS;
    while ((await client.query(connections, [names])).rowCount! > 0 && performance.now() < patience) await sleep(20);
    for (const name of names) await client.query(`DROP DATABASE "${name}" WITH (FORCE)`);
  });
}

async function asking<T>(url: string, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await ask(client);
  } finally {
    await client.end();
  }
}

/** A goal in a line: id, what is compared, goal, value, lowest to highest, and whether it is met. */
function linesOf({ rows }: Results): string[] {
  const width = Math.max(...rows.map(({ compared }) => compared.length));
  return rows.map(({ id, compared, goal, value, unit, met, ...result }) =>
    [
      id.padEnd(4),
      compared.padEnd(width),
      goal.padStart(10),
      figure(value, unit).padStart(10),
      `(${spread({ ...result, unit })})`.padEnd(20),
      met ? 'met' : value === null ? 'FAILED' : 'NOT MET',
    ].join('  '),
  );
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

/** Rejects when the signal aborts. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
  });
}

/**
 * Ctrl-C, or the end of the process that started us: what the row was doing fails when its server and its child processes
 * end, and nobody is interested in how.
 */
function interruptible(): AbortSignal {
  const interrupted = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP', 'disconnect'] as const) {
    process.on(name, () => {
      if (interrupted.signal.aborted) return;
      process.on('uncaughtException', () => {});
      process.on('unhandledRejection', () => {});
      interrupted.abort(new Error('Interrupted.'));
    });
  }
  return interrupted.signal;
}

/** Returns the exit code. */
async function main(args: string[]): Promise<number> {
  let options: Options | 'report';
  try {
    options = await optionsOf(args);
  } catch (error) {
    if (!(error instanceof Advice)) throw error;
    console.error(error.message);
    return 2;
  }
  const signal = interruptible();
  try {
    if (options !== 'report') return (await run(options, signal)) > 0 ? 1 : 0;
    await report(readResults());
    return 0;
  } catch (error) {
    console.error(error instanceof Advice || signal.aborted ? asError(error).message : error);
    return signal.aborted ? 130 : 1;
  }
}

// A row that leaves something open must not keep the run from ending.
process.exit(await main(process.argv.slice(2)));
