/** The shop's addresses, whatever its folder is called, and on a machine whose `localhost` is ::1 alone. */
import { spawnSync } from 'node:child_process';
import dns from 'node:dns';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { psqlCommand, urlOf } from './addresses.js';
import { isTaken } from './embedded-postgres.js';

test.each(['plain', 'Löwe & Sohn', "O'Neill"])(
  'the psql command finds the passwords of a shop in a folder "%s"',
  (name) => {
    const data = join(mkdtempSync(join(tmpdir(), 'larder-addresses-')), name);
    vi.stubEnv('LARDER_DATA', data);
    try {
      mkdirSync(join(data, 'postgres'), { recursive: true });
      writeFileSync(join(data, 'postgres/pgpass'), '*:*:*:order:secret\n');
      const command = psqlCommand('postgresql://order:secret@127.0.0.1:54329/order');
      expect(command).toMatch(/ psql 'postgresql:\/\/order@127\.0\.0\.1:54329\/order'$/);
      const { stdout } = spawnSync('sh', ['-c', command.replace(/psql .*/, 'printenv PGPASSFILE')], {
        encoding: 'utf8',
      });
      expect(stdout).toBe(`${join(data, 'postgres/pgpass')}\n`);
    } finally {
      vi.unstubAllEnvs();
      rmSync(join(data, '..'), { recursive: true, force: true });
    }
  },
);

test('a service is called where it listens, when localhost is ::1 alone', async () => {
  const server = createServer((_, response) => response.end('here')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  vi.stubEnv('ORDER_PORT', `${port}`);
  const lookup = vi
    .spyOn(dns, 'lookup')
    .mockImplementation(((_: string, options: dns.LookupOptions, found: Function) =>
      options.all
        ? found(null, [{ address: '::1', family: 6 }])
        : found(null, '::1', 6)) as unknown as typeof dns.lookup);
  try {
    expect(await isTaken(port)).toBe(true);
    expect(await (await fetch(urlOf('order'))).text()).toBe('here');
  } finally {
    lookup.mockRestore();
    vi.unstubAllEnvs();
    server.closeAllConnections();
    server.close();
  }
});
