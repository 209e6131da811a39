/** One Postgres for a whole test run (vitest's `globalSetup`); every test file takes databases of its own from it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { freePort, startPostgres } from '../scripts/embedded-postgres.js';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject) {
  const folder = mkdtempSync(join(tmpdir(), 'larder-test-'));
  const server = await startPostgres({
    folder: join(folder, 'postgres'),
    port: await freePort(),
    log: join(folder, 'postgres.log'),
    disposable: true,
  });
  project.provide('postgresUrl', server.url('postgres'));
  return async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}
