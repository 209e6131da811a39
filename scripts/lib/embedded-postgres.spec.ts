/** Whoever else is logged in on the machine cannot connect to the shop's server: its password is in a file of the cluster. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { freePort, passFileIn, type PostgresServer, serverIn, startPostgres } from './embedded-postgres.js';

const data = mkdtempSync(join(tmpdir(), 'larder-postgres-'));
const folder = join(data, 'postgres');
const log = join(data, 'postgres.log');
let server: PostgresServer;
const start = async () => (server = await startPostgres({ folder, port: await freePort(), log, disposable: true }));

beforeAll(start);
afterAll(async () => {
  await server.stop();
  rmSync(data, { recursive: true, force: true });
});

/** What the server answers to somebody who logs in at this URL, with the changes. */
async function logIn(url: string, changes: Partial<URL> = {}): Promise<string> {
  const client = new pg.Client({ connectionString: Object.assign(new URL(url), changes).href });
  try {
    await client.connect();
    return (await client.query<{ role: string }>('SELECT current_user AS role')).rows[0]!.role;
  } catch (error) {
    return (error as Error).message;
  } finally {
    await client.end().catch(() => {});
  }
}

const NO_PASSWORD = expect.stringMatching(/password must be a/);

test('nobody connects without the password, and only the owner of the data can read it', async () => {
  const url = server.url('postgres');
  expect(await logIn(url)).toBe('postgres');
  expect(await logIn(url, { password: '' })).toEqual(NO_PASSWORD);
  for (const guess of ['postgres', 'wrong']) {
    expect(await logIn(url, { password: guess })).toBe('password authentication failed for user "postgres"');
  }
  expect(statSync(passFileIn(folder)).mode & 0o777).toBe(0o600);
  expect(statSync(folder).mode & 0o777).toBe(0o700);
});

test('no method but the password is left, by socket either', () => {
  const lines = readFileSync(join(folder, 'pg_hba.conf'), 'utf8').split('\n');
  const rules = lines.filter((line) => /^\w/.test(line)).map((line) => line.split(/\s+/));
  expect(rules.map(([kind]) => kind)).toEqual(['local', 'host']);
  expect(rules.map((rule) => rule.at(-1))).toEqual(['scram-sha-256', 'scram-sha-256']);
});

test('each database has a role of its own, with a password of its own', async () => {
  await server.createDatabase('order');
  await server.createDatabase('bus');
  expect(await logIn(server.url('order'))).toBe('order');
  expect(await logIn(server.url('order'), { pathname: '/bus' })).toBe('permission denied for database "bus"');
  const { password } = new URL(server.url('bus'));
  for (const username of ['postgres', 'order'])
    expect(await logIn(server.url('order'), { username, password })).toMatch(/password authentication failed/);
});

test('no password is in the log', () => {
  const passwords = ['postgres', 'order', 'bus'].map((name) => new URL(server.url(name)).password);
  const logged = readFileSync(log, 'utf8');
  for (const password of passwords) {
    expect(password).toMatch(/^[\w-]{43}$/);
    expect(logged).not.toContain(password);
  }
});

test('a role whose password was lost gets another one', async () => {
  const kept = readFileSync(passFileIn(folder), 'utf8');
  writeFileSync(passFileIn(folder), kept.replace(/^.*:order:.*\n/m, ''));
  await server.createDatabase('order');
  expect(await logIn(server.url('order'))).toBe('order');
});

test('a cluster of the release that trusted everybody gets a password at its next start', async () => {
  await server.stop();
  writeFileSync(join(folder, 'pg_hba.conf'), 'host all all 127.0.0.1/32 trust\n');
  rmSync(passFileIn(folder));
  await start();
  expect(await logIn(server.url('postgres'))).toBe('postgres');
  expect(await logIn(server.url('postgres'), { password: '' })).toEqual(NO_PASSWORD);
});

test('a password that is not that of the cluster is named with its remedy, and the server is stopped', async () => {
  await server.stop();
  writeFileSync(passFileIn(folder), '*:*:*:postgres:wrong\n');
  await expect(start()).rejects.toThrow(/has another password than .*pgpass says\. Delete that file/);
  expect(existsSync(join(folder, 'postmaster.pid'))).toBe(false);
  rmSync(passFileIn(folder));
  await start();
  expect(await logIn(server.url('postgres'))).toBe('postgres');
});

describe('the server of a folder', () => {
  test('is found with its password', async () => {
    const found = (await serverIn(folder))!;
    expect(found.url('postgres')).toBe(server.url('postgres'));
    expect(found.port).toBe(server.port);
  });

  test('is not one that has another password: the folder was left by a crash of the machine', async () => {
    const left = join(data, 'left');
    mkdirSync(left);
    writeFileSync(passFileIn(left), '*:*:*:postgres:of-this-folder\n');
    const { port } = new URL(inject('postgresUrl'));
    writeFileSync(join(left, 'postmaster.pid'), [process.pid, left, 0, port, ''].join('\n'));
    expect(await serverIn(left)).toBeUndefined();
    expect(existsSync(join(left, 'postmaster.pid'))).toBe(false);
  });
});
