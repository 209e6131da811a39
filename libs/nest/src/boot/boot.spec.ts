/** A service's process from outside: its output, its answers, and how it ends. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import pg from 'pg';
import { build } from 'vite';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import { bearer, Issuer } from '../../../../proof/shop/issuer.js';
import { migrate } from '../../../../scripts/migrate.js';
import { freshDatabase } from '#test/database';

/** A service with one slow route and one that breaks; it prints when its loop ends. */
const MAIN = `
  import { Controller, Get, Inject, Module } from '@nestjs/common';
  import { orderEvents } from '#contracts';
  import { Background, bootService } from '#nest';
  import { defineService } from '#service';
  class TestController {
    slow() { console.log('a request began'); return new Promise((resolve) => setTimeout(resolve, 500, { done: true })); }
    hang() { console.log('a request began'); return new Promise(() => {}); }
    lose() { void Promise.reject(new Error('lost')); return {}; }
  }
  Controller()(TestController);
  for (const name of ['slow', 'hang', 'lose']) {
    Get(name)(TestController.prototype, name, Object.getOwnPropertyDescriptor(TestController.prototype, name));
  }
  class TestModule {
    constructor(background) {
      background.run(async (signal) => {
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        console.log('the loop ended');
      });
    }
  }
  Inject(Background)(TestModule, undefined, 0);
  Module({ controllers: [TestController] })(TestModule);
  const nothing = { aggregates: {}, upcasters: {}, relays: [], subscribes: [], projections: [] };
  const silent = { messageOf: () => undefined, reactionTo: () => undefined };
  const access = { 'GET /slow': 'anyone', 'GET /hang': 'anyone', 'GET /lose': 'anyone' };
  const definition = defineService({ name: 'order', port: 0, access, publishes: orderEvents, ...nothing, ...silent });
  await bootService(definition, TestModule);`;

let folder: string;
let program: string;
let env: NodeJS.ProcessEnv;
let issuer: Issuer;
let child: ChildProcess;
let output: string;

beforeAll(async () => {
  mkdirSync('node_modules/.cache', { recursive: true });
  folder = mkdtempSync('node_modules/.cache/boot-');
  await build({
    configFile: false,
    logLevel: 'error',
    ssr: { resolve: { conditions: ['source', 'node'] } },
    oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
    build: {
      ssr: true,
      outDir: folder,
      target: 'node20',
      rolldownOptions: { input: 'main', output: { entryFileNames: 'main.mjs' } },
    },
    plugins: [
      {
        name: 'main',
        resolveId: (id) => (id === 'main' ? join(import.meta.dirname, 'main.ts') : undefined),
        load: (id) => (id === join(import.meta.dirname, 'main.ts') ? MAIN : undefined),
      },
    ],
  });
  program = join(folder, 'main.mjs');
  const [own, bus] = await Promise.all([freshDatabase('order'), freshDatabase()]);
  issuer = await Issuer.open();
  const urls = { EVENT_STORE_URL: own, DATABASE_URL: own, MESSAGE_BUS_URL: bus, AUTH_ISSUER: issuer.url };
  env = { ...urls, PORT: '0', LOG_PRETTY: 'false' };
});

afterAll(() => {
  issuer.close();
  rmSync(folder, { recursive: true, force: true });
});
afterEach(() => void child.kill('SIGKILL'));

function boot(changes: NodeJS.ProcessEnv = {}): void {
  child = fork(program, { env: { PATH: process.env.PATH, ...env, ...changes }, silent: true, execArgv: [] });
  output = '';
  child.stdout!.on('data', (data) => (output += data));
  child.stderr!.on('data', (data) => (output += data));
}

/** Its URL, once it listens. */
async function listening(): Promise<string> {
  await expect.poll(() => output, { timeout: 10_000 }).toContain('order listens.');
  return /"url":"([^"]+)"/.exec(output)![1]!;
}

async function exitCode(): Promise<number | null> {
  const [code] = await once(child, 'exit');
  return code;
}

test('it becomes ready, and a signal lets it finish its requests, then its loops, and end with 0', async () => {
  boot();
  const url = await listening();
  const ready = await fetch(`${url}/health/ready`);
  expect([ready.status, await ready.json()]).toEqual([
    200,
    { status: 'ready', checks: { store: { status: 'up' }, bus: { status: 'up' }, database: { status: 'up' } } },
  ]);
  expect((await fetch(`${url}/admin/projections`, { headers: bearer(issuer.token('ada', ['operator'])) })).status).toBe(
    200,
  );

  const answer = fetch(`${url}/slow`);
  await expect.poll(() => output).toContain('a request began');
  const ended = exitCode();
  child.kill('SIGTERM');
  expect(await (await answer).json()).toEqual({ done: true });
  expect(await ended).toBe(0);
  expect(output).toContain('the loop ended');
});

test('after SIGTERM it is not ready for DRAIN_TIME and still answers, so that no request is lost on its way; then it ends', async () => {
  boot({ DRAIN_TIME: '4s' });
  const url = await listening();
  const ended = exitCode();
  child.kill('SIGTERM');
  await expect.poll(() => output).toContain('order stops.');
  const ready = await fetch(`${url}/health/ready`);
  expect([ready.status, await ready.json()]).toEqual([503, { status: 'stopping', checks: {} }]);
  expect((await fetch(`${url}/health/live`)).status).toBe(200);
  const answer = await fetch(`${url}/slow`);
  expect([await answer.json(), answer.headers.get('connection')]).toEqual([{ done: true }, 'close']);
  expect(await ended).toBe(0);
});

test('it is not ready while its database takes no writes, as the former primary after a failover', async () => {
  const DATABASE_URL = await freshDatabase('order');
  boot({ DATABASE_URL });
  const url = await listening();
  const name = new URL(DATABASE_URL).pathname.slice(1);
  const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND pid <> pg_backend_pid()`;
  const database = async () => {
    const answer = await fetch(`${url}/health/ready`);
    return [answer.status, ((await answer.json()) as { checks: Record<string, object> }).checks['database']];
  };
  await query(DATABASE_URL, `ALTER DATABASE "${name}" SET default_transaction_read_only = on; ${cut}`);
  await expect.poll(database).toEqual([503, { status: 'down' }]);
  await query(env.DATABASE_URL!, `ALTER DATABASE "${name}" RESET default_transaction_read_only; ${cut}`);
  await expect.poll(database).toEqual([200, { status: 'up' }]);
});

test('it ends when the process that forked it is gone', async () => {
  boot();
  await listening();
  const ended = exitCode();
  child.disconnect();
  expect(await ended).toBe(0);
});

test('a stop that takes too long ends with 1, and a second signal ends it at once', async () => {
  boot({ STOP_TIMEOUT: '200ms', REQUEST_TIMEOUT: '1min' });
  void fetch(`${await listening()}/hang`).catch(() => {});
  await expect.poll(() => output).toContain('a request began');
  let ended = exitCode();
  child.kill('SIGTERM');
  expect(await ended).toBe(1);
  expect(output).toContain('STOP_TIMEOUT');

  boot({ STOP_TIMEOUT: '1h', REQUEST_TIMEOUT: '1min' });
  void fetch(`${await listening()}/hang`).catch(() => {});
  await expect.poll(() => output).toContain('a request began');
  ended = exitCode();
  child.kill('SIGTERM');
  await expect.poll(() => output).toContain('order stops.');
  child.kill('SIGINT');
  expect(await ended).toBe(1);
});

test('an unhandled rejection is logged and ends it with 1', async () => {
  boot();
  const ended = listening()
    .then((url) => fetch(`${url}/lose`))
    .catch(() => {});
  expect(await exitCode()).toBe(1);
  await ended;
  expect(output).toMatch(/"level":60.*"message":"lost"/);
});

test('wrong configuration is one line and exit code 78', async () => {
  boot({ DATABASE_URL: '' });
  expect(await exitCode()).toBe(78);
  expect(output).toMatch(/^order cannot start: DATABASE_URL is not set\. Set it: [^\n]+\n$/);
});

test('a server that refuses us is wrong configuration, too', async () => {
  boot({ DATABASE_URL: env.DATABASE_URL!.replace(/\/[^/]+$/, '/nowhere') });
  expect(await exitCode()).toBe(78);
  expect(output).toMatch(
    /^order cannot start: DATABASE_URL: the server refuses us \(database "nowhere" does not exist\)\. [^\n]+\n$/,
  );
});

test('a port that is in use is wrong configuration, too', async () => {
  boot();
  const { port } = new URL(await listening());
  const first = child;
  boot({ PORT: port });
  expect(await exitCode()).toBe(78);
  expect(output).toContain(`order cannot start: HOST and PORT: 127.0.0.1:${port} is in use. Set others.\n`);
  first.kill('SIGKILL');
});

test.each(['[::1]', 'nowhere.invalid'])('a host that is no address of this machine (%s) is, too', async (HOST) => {
  boot({ HOST });
  expect(await exitCode()).toBe(78);
  expect(output).toContain(`order cannot start: HOST and PORT: ${HOST}:0 is not on this machine. Set others.\n`);
});

test('a database of another service is wrong configuration, too', async () => {
  boot({ DATABASE_URL: await freshDatabase('inventory'), START_TIMEOUT: '700ms' });
  expect(await exitCode()).toBe(78);
  expect(output).toContain(
    'order cannot start: DATABASE_URL: the migration 20261121000000_init of this database is not the one of order.',
  );
});

test('a database with a checkpoint beyond the end of its event store is, too', async () => {
  const DATABASE_URL = await freshDatabase('order');
  await query(DATABASE_URL, `INSERT INTO checkpoints (name, position) VALUES ('order', 5)`);
  boot({ DATABASE_URL });
  expect(await exitCode()).toBe(78);
  expect(output).toMatch(
    /^order cannot start: DATABASE_URL: The checkpoint of the relay, 5, is beyond the end of the event store, 0: [^\n]+\n$/,
  );
});

test('a server that stays away is waited for, and then named in one line with exit code 69', async () => {
  const away = `postgresql://larder:s3cret@127.0.0.1:${await freePort()}/bus`;
  boot({ MESSAGE_BUS_URL: away, START_TIMEOUT: '700ms' });
  expect(await exitCode()).toBe(69);
  expect(output).toMatch(/"level":40.*MESSAGE_BUS_URL: no server answers \(.*Still trying/);
  expect(output).toMatch(
    /\norder cannot start: MESSAGE_BUS_URL: no server answered within 700 ms [^\n]+ Start the server or correct the URL\.\n$/,
  );
  expect(output).not.toContain('s3cret');
});

test('a database that lacks a migration is waited for, and then named in one line with exit code 78', async () => {
  const unfinished = await freshDatabase('order');
  await query(unfinished, 'UPDATE _prisma_migrations SET finished_at = NULL');
  for (const DATABASE_URL of [await freshDatabase(), unfinished]) {
    boot({ DATABASE_URL, START_TIMEOUT: '700ms' });
    expect(await exitCode()).toBe(78);
    const lacks = 'DATABASE_URL: the database lacks the migration 20261121000000_init. Run `npm run migrate`.';
    expect(output).toContain(`"msg":"${lacks} Still trying."`);
    expect(output.endsWith(`\norder cannot start: ${lacks}\n`)).toBe(true);
  }
});

test('a database that a newer version has migrated is fine', async () => {
  const DATABASE_URL = await freshDatabase('order');
  await query(
    DATABASE_URL,
    `INSERT INTO _prisma_migrations (id, checksum, migration_name, finished_at) VALUES ('x', '', '29991231_more', now())`,
  );
  boot({ DATABASE_URL });
  await listening();
});

test('while it waits it is alive, not ready, and answers with "try again"; then it takes over at the same address', async () => {
  const [DATABASE_URL, port] = [await freshDatabase(), await freePort()];
  boot({ DATABASE_URL, PORT: `${port}` });
  await expect.poll(() => output, { timeout: 10_000 }).toContain('lacks the migration');
  const ask = async (path: string) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`);
    return [answer.status, answer.headers.get('content-type'), await answer.json()];
  };
  expect(await ask('/health/live')).toEqual([200, 'application/json', { status: 'live' }]);
  expect(await ask('/health/ready?full')).toEqual([503, 'application/json', { status: 'not-ready', checks: {} }]);
  expect(await ask('/slow')).toEqual([
    503,
    'application/problem+json',
    expect.objectContaining({ status: 503, code: 'starting', instance: '/slow' }),
  ]);
  const silent = connect(port, '127.0.0.1').on('error', () => {});
  await once(silent, 'connect'); // A silent connection is not waited for.

  await migrate(DATABASE_URL, 'prisma/order/migrations');
  expect(await listening()).toBe(`http://127.0.0.1:${port}`);
  expect((await ask('/health/ready'))[0]).toBe(200);
});

async function query(url: string, sql: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query(sql);
  await client.end();
}
