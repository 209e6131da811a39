/**
 * An engine that carries the checkout of row P15: the programs that it is made of, the load that it gets, and what it is
 * judged by.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type pg from 'pg';
import { freePort } from '../../../scripts/lib/embedded-postgres.js';
import { migrate } from '../../../scripts/migrate.js';
import { load } from '../load.js';
import { openPool } from '../pool.js';
import { ticks, ticksOfServer, TICKS_PER_SECOND } from '../processor.js';
import type { Bench, Sample } from '../row.js';
import { atTheRoot, checkingOutAt, PLENTY, PRICE, WATCHING } from '../shop.js';
import { type Books, judge } from './books.js';
import type { Settings } from './program.js';

export interface Engine {
  /** Places an order of one line, and waits until it is completed. */
  checkOut(): Promise<void>;
  /** Where something follows on the answer: waits for that. */
  settled?(): Promise<unknown>;
  books(): Promise<Books>;
  /** The processes that do the work, but for Postgres'. */
  readonly pids: readonly number[];
  /** The URLs of its databases on the run's Postgres. */
  readonly databases: readonly string[];
  close(): Promise<void>;
}

const TERMS = { stocked: PLENTY, unitMinor: PRICE.amountMinor };
/**
 * Loads an engine with so many customers, each of whom orders again when the last order is completed, and judges its
 * books. Returns what the customers measured and, for each checkout, `cpuMs`, the processor time of the engine's processes
 * and of its connections on the server, and `transactions`, those of the server that wrote something: each takes a number.
 * @throws when the books do not add up, or there are not as many new orders as the customers were told of
 */
export async function measured(engine: Engine, server: pg.Pool, customers: number, ms: number): Promise<Sample> {
  const completedBefore = judge(await engine.books(), TERMS);
  const before = await costsOf(engine, server);
  const sample = await load(customers, ms, engine.checkOut);
  await engine.settled?.();
  const after = await costsOf(engine, server);
  const checkouts = judge(await engine.books(), TERMS) - completedBefore;
  if (checkouts !== sample['calls']) {
    throw new Error(
      `${sample['calls']} customers were told that their order is completed, and ${checkouts} orders are.`,
    );
  }
  const took = [...after.ticks].reduce((sum, [pid, now]) => sum + now - (before.ticks.get(pid) ?? 0), 0);
  // Where there is a /proc.
  const cpu: Sample = took > 0 ? { cpuMs: (took * 1_000) / TICKS_PER_SECOND / checkouts } : {};
  return { ...sample, ...cpu, transactions: (after.transactions - before.transactions) / checkouts };
}

/** The processor time of each process and connection so far, and how many transactions of the server have written something. */
async function costsOf({ databases, pids }: Engine, server: pg.Pool) {
  const names = databases.map((url) => new URL(url).pathname.slice(1));
  const backends = await server.query<{ pid: number }>(
    'SELECT pid FROM pg_stat_activity WHERE datname = ANY ($1) AND application_name <> $2',
    [names, WATCHING],
  );
  const { rows } = await server.query<{ next: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot()) AS next');
  const each = [
    ...pids.map((pid) => [pid, ticksOfServer(pid)] as const),
    ...backends.rows.map(({ pid }) => [pid, ticks(pid)] as const),
  ];
  return { ticks: new Map(each), transactions: Number(rows[0]!.next) };
}

/** A database with the books of the provider. */
export async function providerDatabase(bench: Bench): Promise<string> {
  atTheRoot();
  const url = await bench.database();
  await migrate(url, 'prisma/payment/migrations');
  return url;
}

/** Starts the program in `file` once for each role, as processes that end with this one. */
export async function startPrograms(
  bench: Bench,
  file: string,
  roles: readonly string[],
  databases: Readonly<Record<string, string>>,
) {
  const ports = await Promise.all(roles.map(() => freePort()));
  const urls = Object.fromEntries(roles.map((role, i) => [role, `http://127.0.0.1:${ports[i]}`]));
  bench.signal.throwIfAborted(); // Who is interrupted from here on ends them.
  const children = roles.map((role, i) => {
    const settings: Settings = { role, port: ports[i]!, databases, urls, unitMinor: PRICE.amountMinor };
    return fork(fileURLToPath(new URL(file, import.meta.url)), [JSON.stringify(settings)], {
      detached: true, // Ctrl-C in a terminal reaches them through us alone.
      cwd: fileURLToPath(new URL('../..', import.meta.url)), // Where tsx is found.
      env: { ...process.env, NODE_ENV: 'production', RESTATE_LOGGING: 'ERROR' },
      execArgv: ['--conditions=source', '--import', 'tsx', '--disable-warning=DeprecationWarning'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
  });
  const close = async () => {
    await Promise.all(
      children
        .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
        .map((child) => {
          const ended = once(child, 'exit');
          child.kill('SIGKILL'); // Nothing is under way, and nobody will look at its data.
          return ended;
        }),
    );
  };
  bench.signal.addEventListener('abort', () => void close());
  const started = children.map(async (child, i) => {
    const [code] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as ['ready' | number | null];
    if (code !== 'ready') throw new Error(`${file} as ${roles[i]} ended during its start (${code}).`);
  });
  try {
    await Promise.all(started);
  } catch (error) {
    await close();
    throw error;
  }
  return { urls, pids: children.map(({ pid }) => pid!), close };
}

/**
 * Starts the program in `file` for each role, as an engine whose books are its tables. The first role is the one that clients
 * ask, and the stock is with it unless there is an inventory.
 */
export async function openOnTables(
  bench: Bench,
  file: string,
  roles: readonly string[],
  databases: Readonly<Record<string, string>>,
): Promise<Engine> {
  const programs = await startPrograms(bench, file, roles, databases);
  const tables = openTables(databases);
  const first = roles[0]!;
  return {
    checkOut: checkingOutAt(programs.urls[first]!),
    async books() {
      const [orders, shelves, ledger] = await Promise.all([
        tables.orders(first),
        tables.shelves(roles.includes('inventory') ? 'inventory' : first),
        tables.ledger('provider'),
      ]);
      return { orders, shelves, ledger };
    },
    pids: programs.pids,
    databases: Object.values(databases),
    async close() {
      await programs.close();
      await tables.close();
    },
  };
}

/** Reads the tables of an engine, over one connection for each database. */
export function openTables(urls: Readonly<Record<string, string>>) {
  const watching = (url: string) => openPool(`${url}?application_name=${WATCHING}`, 1);
  const pools = Object.fromEntries(Object.entries(urls).map(([name, url]) => [name, watching(url)]));
  const rows = async <T extends pg.QueryResultRow>(name: string, text: string): Promise<T[]> =>
    (await pools[name]!.query<T>(text)).rows;
  return {
    rows,
    orders: (name: string) =>
      rows<Books['orders'][number]>(name, 'SELECT order_id AS "orderId", status, sku, quantity FROM orders'),
    shelves: (name: string) => rows<Books['shelves'][number]>(name, 'SELECT sku, available, reserved FROM stock'),
    ledger: (name: string) =>
      rows<Books['ledger'][number]>(
        name,
        `SELECT order_id AS "orderId", sum(held_minor)::int AS "heldMinor", sum(charged_minor)::int AS "capturedMinor"
         FROM simulated_ledger GROUP BY order_id`,
      ),
    async close() {
      await Promise.all(Object.values(pools).map((pool) => pool.end()));
    },
  };
}
