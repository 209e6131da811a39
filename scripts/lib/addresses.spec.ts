/** What the commands print is pasted into a shell, whatever the shop's folder is called. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { psqlCommand } from './addresses.js';

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
