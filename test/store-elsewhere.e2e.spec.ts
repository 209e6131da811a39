/** `npm start` with its events on another server: the commands find them there, without being told. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { services } from '../apps/shop.js';
import { freePort } from '../scripts/lib/embedded-postgres.js';
import { freshDatabase } from './support/database.js';

const data = mkdtempSync(join(tmpdir(), 'larder-elsewhere-'));
let env: NodeJS.ProcessEnv;
let shop: ChildProcess;

beforeAll(async () => {
  env = { ...process.env, LARDER_DATA: data, POSTGRES_PORT: `${await freePort()}` };
  for (const service of services) env[`${service.toUpperCase()}_PORT`] = `${await freePort()}`;
  shop = run(['start'], { ...env, EVENT_STORE_URL: await freshDatabase() });
  let written = '';
  await new Promise<void>((open, fail) => {
    shop.stdout!.on('data', (text) => (written += text).includes('Larder is open.') && open());
    shop.stderr!.on('data', (text) => (written += text));
    shop.on('close', () => fail(new Error(written)));
  });
}, 120_000);
afterAll(async () => {
  if (shop?.exitCode === null) {
    shop.kill('SIGTERM');
    await new Promise((closed) => shop.on('close', closed));
  }
  rmSync(data, { recursive: true, force: true });
}, 60_000);

function run(args: readonly string[], variables: NodeJS.ProcessEnv = env): ChildProcess {
  return spawn(process.execPath, ['scripts/run.mjs', ...args], { env: variables });
}

async function output(...args: string[]): Promise<{ code: number | null; text: string }> {
  const command = run(args);
  let text = '';
  for (const stream of [command.stdout!, command.stderr!]) stream.on('data', (part) => (text += part));
  return new Promise((resolve) => command.on('close', (code) => resolve({ code, text })));
}

test('replay rebuilds from them, and reconcile finds nothing wrong', async () => {
  expect(await output('replay', 'price-list')).toEqual({
    code: 0,
    text: expect.stringMatching(/^price-list: [1-9]\d* rows from [1-9]\d* events in .* 0 rows differ/),
  });
  expect(await output('reconcile')).toEqual({ code: 0, text: '' });
});
