/**
 * One Postgres for a whole test run (vitest's `globalSetup`); every test file takes databases of its own from it. And a
 * word on the specs that need Kafka, where it cannot be had: in CI they are not skipped.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { freePort, startPostgres } from '../../scripts/lib/embedded-postgres.js';
import { kafkaMissing } from './kafka.js';
import { pgBouncerMissing } from './pgbouncer.js';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

export default async function setup(project: TestProject) {
  if (kafkaMissing && process.env['CI'] && process.platform !== 'win32')
    throw new Error(`CI runs the specs on a real Kafka, but ${kafkaMissing}.`);
  if (kafkaMissing) console.log(`The specs on a real Kafka are skipped: ${kafkaMissing}.`);
  if (pgBouncerMissing && process.env['CI'] && process.platform === 'linux')
    throw new Error(`CI runs specs behind PgBouncer, but ${pgBouncerMissing}.`);
  if (pgBouncerMissing) console.log(`The specs behind PgBouncer are skipped: ${pgBouncerMissing}.`);
  const folder = mkdtempSync(join(tmpdir(), 'larder-test-'));
  const server = await startPostgres({
    folder: join(folder, 'postgres'),
    port: await freePort(),
    log: join(folder, 'postgres.log'),
    disposable: true,
    settings: { max_prepared_transactions: '20' }, // A lab prepares transactions.
  });
  project.provide('postgresUrl', server.url('postgres'));
  return async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  };
}
