import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../scripts/lib/embedded-postgres.js';
import { killGuarded, spawnGuarded } from '../../../scripts/lib/guarded.js';
import type { Bench } from '../row.js';
import { checkingOutAt, PLENTY, SKUS } from '../shop.js';
import type { Books } from './books.js';
import { type Engine, openTables, providerDatabase, startPrograms } from './engine.js';
import { createTables, STOCK, stockUp } from './tables.js';

const READY_WITHIN_MS = 30_000;
const ANSWER_WITHIN_MS = 30_000;

/** Three services on a server of Restate's own, with the stock in its virtual objects. */
export async function openRestate(bench: Bench): Promise<Engine> {
  return open(bench, { provider: await providerDatabase(bench) });
}

/** The same with the stock in a table of Postgres. */
export async function openRestateOnPostgres(bench: Bench): Promise<Engine> {
  const inventory = await bench.database();
  await createTables(inventory, STOCK);
  await stockUp(inventory, SKUS, PLENTY);
  return open(bench, { inventory, provider: await providerDatabase(bench) });
}

async function open(bench: Bench, databases: Readonly<Record<string, string>>): Promise<Engine> {
  const programs = await startPrograms(bench, 'restate-program.ts', ['order', 'inventory', 'payment'], databases);
  const server = await startServer(bench).catch(async (error: unknown) => {
    await programs.close();
    throw error;
  });
  const tables = openTables(databases);
  const close = async () => {
    await programs.close();
    await server.close();
    await tables.close();
  };
  try {
    for (const uri of Object.values(programs.urls)) await send(`${server.admin}/deployments`, { uri });
    if (!databases['inventory']) {
      for (const sku of SKUS) await send(`${server.ingress}/Shelf/${sku}/receive`, PLENTY);
    }
  } catch (error) {
    await close();
    throw error;
  }

  /** By SQL, which Restate answers over its own state. */
  async function query<T>(text: string): Promise<readonly T[]> {
    return ((await send(`${server.admin}/query`, { query: text })) as { rows: T[] }).rows;
  }
  async function statesOf<T>(service: string): Promise<readonly (T & { readonly key: string })[]> {
    const states = await query<{ service_key: string; value_utf8: string }>(
      `SELECT service_key, value_utf8 FROM state WHERE service_name = '${service}'`,
    );
    return states.map(({ service_key, value_utf8 }) => ({ ...(JSON.parse(value_utf8) as T), key: service_key }));
  }

  return {
    checkOut: checkingOutAt(server.ingress, { pathOf: (orderId) => `/Order/${orderId}/run` }),
    async books() {
      const [orders, shelves, ledger] = await Promise.all([
        statesOf<Books['orders'][number]>('Order'),
        databases['inventory'] ? tables.shelves('inventory') : shelvesOf(await statesOf('Shelf')),
        tables.ledger('provider'),
      ]);
      return { orders, shelves, ledger };
    },
    pids: [server.pid, ...programs.pids],
    databases: Object.values(databases),
    close,
  };
}

function shelvesOf(states: readonly { key: string; available: number; reserved: number }[]): Books['shelves'] {
  return states.map(({ key, available, reserved }) => ({ sku: key, available, reserved }));
}

/** One node with a folder of its own, which ends with this process. */
async function startServer(bench: Bench) {
  const [node, ingress, admin] = await Promise.all([freePort(), freePort(), freePort()]);
  bench.signal.throwIfAborted(); // Who is interrupted from here on ends it.
  const folder = mkdtempSync(join(tmpdir(), 'larder-restate-'));
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  const log = join(folder, 'log');
  const output = openSync(log, 'a');
  const guarded = spawnGuarded(
    { program: programOf(), args: ['--no-logo', '--base-dir', join(folder, 'data')], signal: 'SIGTERM' },
    {
      cwd: folder,
      env: {
        ...process.env,
        RESTATE_NODE_NAME: 'bench',
        RESTATE_LISTEN_MODE: 'tcp',
        RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
        RESTATE_ADVERTISED_ADDRESS: `http://127.0.0.1:${node}`,
        RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
        RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
        // Its log waits for the disk: the default, on which the comparison depends.
        RESTATE_LOG_SERVER__ROCKSDB_DISABLE_WAL_FSYNC: 'false',
        RESTATE_DISABLE_TELEMETRY: 'true',
        RESTATE_LOG_FILTER: 'warn',
      },
      output,
    },
  );
  closeSync(output);
  const ended = once(guarded, 'exit');
  const kill = () => {
    if (guarded.exitCode === null && guarded.signalCode === null) killGuarded(guarded);
  };
  bench.signal.addEventListener('abort', () => {
    kill();
    process.once('exit', remove);
  });
  const close = async () => {
    kill(); // Its data goes with it.
    await ended;
    remove();
  };
  const url = (port: number) => `http://127.0.0.1:${port}`;
  const giveUpAt = performance.now() + READY_WITHIN_MS;
  // The ingress listens first, and a query needs all partitions.
  const isReady = async () =>
    (await fetch(`${url(ingress)}/restate/health`)).ok &&
    (await send(`${url(admin)}/query`, { query: 'SELECT count(*) FROM state' })) !== undefined;
  while (!(await isReady().catch(() => false))) {
    if (guarded.exitCode !== null || performance.now() > giveUpAt) {
      const words = readFileSync(log, 'utf8').trim().split('\n').slice(-5).join('\n');
      kill();
      remove();
      throw new Error(`Restate did not start: ${words}`);
    }
    await sleep(50);
  }
  return { ingress: url(ingress), admin: url(admin), pid: guarded.pid!, close };
}

/** It is installed by the package of its platform: the one around those would report the installation to its makers. */
function programOf(): string {
  const name = `@restatedev/restate-server-${process.platform}-${process.arch}`;
  try {
    return createRequire(import.meta.url).resolve(`${name}/bin/restate-server`);
  } catch (error) {
    throw new Error(`Restate has no server for this machine: ${name} is not installed.`, { cause: error });
  }
}

/** POSTs JSON and returns the answer's. @throws unless it is 2xx */
async function send(url: string, body: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(ANSWER_WITHIN_MS), // Restate would repeat a call that fails for ever.
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url} answered ${response.status}: ${text}`);
  return text === '' ? undefined : JSON.parse(text);
}
