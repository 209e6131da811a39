/** `LARDER_DATA` may name a folder that holds other things too, even under the names that the shop uses. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { shiftLogs } from './lib/data-folder.js';
import { freePort, startPostgres } from './lib/embedded-postgres.js';
import { KafkaBroker } from './lib/kafka-broker.js';
import { main as reset } from './reset.js';

let folder: string;
let printed: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'larder-reset-'));
  vi.stubEnv('LARDER_DATA', folder);
  printed = '';
  vi.spyOn(console, 'log').mockImplementation((line: string) => void (printed += `${line}\n`));
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

function put(...files: string[]): void {
  for (const file of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), '');
  }
}

test('a reset deletes the data of the shop, and the folder when nothing else is in it', async () => {
  put('postgres/PG_VERSION', 'postgres/base/1', 'postgres.new/base/1', 'kafka/server.properties', 'kafka/data/0.log');
  put('logs/order.log', 'logs/order.1.log', 'logs/order.2.log', 'logs/postgres.log');
  put('identity/keys.json', 'identity/metrics-secret', 'as/customer', 'as/metrics');
  await reset();
  expect(existsSync(folder)).toBe(false);
});

test("a reset leaves what others have put there: a checkout of Postgres or Kafka, a program's logs", async () => {
  const theirs = [
    'as/notes.txt',
    'identity/README.md',
    'kafka/README.md',
    'logs/backup.log',
    'logs/nginx/access.log',
    'postgres/src/main.c',
    'thesis.tex',
  ];
  put(...theirs, 'logs/order.log', 'as/customer');
  await reset();
  expect(readdirSync(folder, { recursive: true, encoding: 'utf8' })).toEqual(expect.arrayContaining(theirs));
  expect(existsSync(join(folder, 'logs/order.log'))).toBe(false);
  expect(existsSync(join(folder, 'as/customer'))).toBe(false);
  for (const left of ['identity', 'kafka', 'postgres'])
    expect(printed).toContain(`${join(folder, left)} is left alone`);
});

test('the logs of the last three runs are kept, each under the number of runs since', () => {
  const logs = join(folder, 'logs');
  for (const run of ['first', 'second', 'third', 'fourth']) {
    shiftLogs(folder);
    mkdirSync(logs, { recursive: true });
    writeFileSync(join(logs, 'order.log'), run);
    if (run === 'second') writeFileSync(join(logs, 'payment.log'), run); // The only run that got as far as payment.
  }
  const kept = readdirSync(logs).map((name) => [name, readFileSync(join(logs, name), 'utf8')]);
  expect(Object.fromEntries(kept)).toEqual({
    'order.log': 'fourth',
    'order.1.log': 'third',
    'order.2.log': 'second',
    'payment.2.log': 'second',
  });
});

test('the shop does not start in a folder of others, and does not advise to delete it', async () => {
  put('postgres/src/main.c');
  const starting = startPostgres({
    folder: join(folder, 'postgres'),
    port: await freePort(),
    log: join(folder, 'postgres.log'),
  });
  await expect(starting).rejects.toThrow(/is not a Postgres cluster\. Set LARDER_DATA to another folder\.$/);
});

test('a Kafka broker does not start in a folder of others', async () => {
  put('kafka/README.md');
  const broker = new KafkaBroker({ folder: join(folder, 'kafka') }, { client: 1, secure: 2, controller: 3 }, 'jars');
  await expect(broker.prepare()).rejects.toThrow(/Set LARDER_DATA to another folder\.$/);
  expect(readdirSync(join(folder, 'kafka'))).toEqual(['README.md']);
});
