/** A Postgres that speaks TLS, with a certificate of an authority of its own. */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, test, vi } from 'vitest';
import { freePort, type PostgresServer, startPostgres } from '../../../../scripts/lib/embedded-postgres.js';
import { SystemClock } from '../system.js';
import { PostgresSession, postgresPool } from './index.js';

let folder: string;
let server: PostgresServer;
const file = (name: string) => join(folder, name);

/** The URL of the server, at another host where one is given, with parameters. */
function url(parameters: Record<string, string>, host = '127.0.0.1'): string {
  const found = new URL(server.url('postgres'));
  found.hostname = host;
  found.search = new URLSearchParams(parameters).toString();
  return found.href;
}

async function outcomeOf(at: string): Promise<unknown> {
  const pool = postgresPool(at, { max: 1 });
  try {
    const { rows } = await pool.query<{ tls: boolean }>(
      'SELECT ssl AS tls FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    return rows[0];
  } catch (error) {
    return error;
  } finally {
    await pool.end();
  }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'larder-tls-'));
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' });
  const key = (name: string) => [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-keyout',
    file(`${name}.key`),
  ];
  for (const ca of ['ca', 'other'])
    openssl('req', '-x509', ...key(ca), '-out', file(`${ca}.pem`), '-subj', `/CN=Larder ${ca}`, '-days', '365');
  openssl('req', '-new', ...key('server'), '-out', file('server.csr'), '-subj', '/CN=server');
  writeFileSync(file('server.ext'), 'subjectAltName = IP:127.0.0.1\n');
  const signed = ['-CA', file('ca.pem'), '-CAkey', file('ca.key'), '-set_serial', '1', '-extfile', file('server.ext')];
  openssl('x509', '-req', '-in', file('server.csr'), '-out', file('server.pem'), ...signed, '-days', '365');

  server = await startPostgres({
    folder: file('postgres'),
    port: await freePort(),
    log: file('postgres.log'),
    disposable: true,
  });
  const { uid, gid } = statSync(file('postgres/PG_VERSION'));
  for (const name of ['server.key', 'server.pem']) {
    const there = file(`postgres/${name}`);
    copyFileSync(file(name), there);
    chmodSync(there, 0o600);
    chownSync(there, uid, gid);
  }
  const pool = postgresPool(server.url('postgres'), { max: 1 });
  for (const change of ["ssl_cert_file = 'server.pem'", "ssl_key_file = 'server.key'", 'ssl = on'])
    await pool.query(`ALTER SYSTEM SET ${change}`);
  await pool.query('SELECT pg_reload_conf()');
  await pool.end();
  const secure = url({ sslmode: 'verify-full', sslrootcert: file('ca.pem') });
  await vi.waitFor(async () => expect(await outcomeOf(secure)).toEqual({ tls: true }), { timeout: 30_000 });
}, 60_000);
afterAll(async () => {
  await server?.stop();
  rmSync(folder, { recursive: true, force: true });
});

test('a connection is encrypted, and its server known, when the URL names the authority: of a pool and of a session', async () => {
  const at = url({ sslmode: 'verify-full', sslrootcert: file('ca.pem') });
  expect(await outcomeOf(at)).toEqual({ tls: true });
  const session = new PostgresSession(at, new SystemClock());
  expect(await session.query('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()')).toEqual([{ ssl: true }]);
  await session.close();
  expect(await outcomeOf(url({}))).toEqual({ tls: false });
});

test.each([
  ['no authority', { sslmode: 'verify-full' }, 'unable to verify the first certificate'],
  ['another authority', { sslmode: 'verify-full', sslrootcert: 'other.pem' }, 'unable to verify the first certificate'],
  ['a file that is no certificate', { sslmode: 'verify-full', sslrootcert: 'server.ext' }, ''],
])('with %s it is refused in one line that names the remedy', async (_, parameters: Record<string, string>, why) => {
  const { sslrootcert } = parameters;
  const at = url({ ...parameters, ...(sslrootcert && { sslrootcert: file(sslrootcert) }) });
  const refusal = (await outcomeOf(at)) as Error;
  expect(refusal).toMatchObject({ name: 'ServerRefusal', message: expect.stringContaining(why) });
  expect(refusal.message).toMatch(/^the certificate of the server is not trusted \(.*\)\. Name the authority .*\.$/);
});

test('so is a server without TLS, when the URL asks for it', async () => {
  const at = new URL(inject('postgresUrl'));
  at.searchParams.set('sslmode', 'verify-full');
  expect(await outcomeOf(at.href)).toMatchObject({
    name: 'ServerRefusal',
    message: 'the server has no TLS, for which the URL asks (sslmode). Correct one of the two.',
  });
});

test('so is a server whose certificate is for another host', async () => {
  const at = url({ sslmode: 'verify-full', sslrootcert: file('ca.pem') }, 'localhost');
  expect(await outcomeOf(at)).toMatchObject({ name: 'ServerRefusal', message: expect.stringContaining('localhost') });
});
