import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { freshDatabase } from '#test/database';
import { idOf, MemoryEvents, MemoryEventStore } from '#event-store';
import { PostgresTables, rebuild, type RebuildOptions } from '#projections/postgres';
import { projection } from '#projections';
import { ManualClock } from '#runtime/testing';
import { postgresPool } from '#runtime/postgres';
import { silentLog, SystemClock } from '#runtime';
import { progressBar } from './lib/progress-bar.js';
import { replay, type ReplayTarget } from './replay.js';

type Price = { sku: string; amount_minor: number; currency: string; since: string };

const prices = projection<Price, { type: 'PriceSet'; data: { amountMinor: number } }>({
  name: 'price-list',
  table: 'price_list',
  categories: ['price'],
  keyColumns: ['sku'],
  key: ({ stream }) => ({ sku: idOf(stream) }),
  apply: (_, { stream, data, recordedAt }) => ({
    sku: idOf(stream),
    amount_minor: data.amountMinor,
    currency: 'EUR',
    since: recordedAt,
  }),
});

/** An order service whose price list has two prices, one of them wrong, and whose third event is not projected yet. */
async function shop() {
  const clock = new SystemClock();
  const events = new MemoryEvents();
  const store = new MemoryEventStore(clock, events);
  for (const sku of ['olives', 'bread', 'oil']) {
    const metadata = { correlationId: sku, causationId: sku, schema: 1 };
    const event = { id: sku, type: 'PriceSet', data: { amountMinor: 100 }, metadata };
    await store.append([{ stream: `price-${sku}`, expected: 'none', events: [event] }]);
  }
  const databaseUrl = await freshDatabase('order');
  const pool = postgresPool(databaseUrl);
  const upserts = ['olives', 'bread'].map((sku) => ({
    sku,
    amount_minor: sku === 'bread' ? 99 : 100,
    currency: 'EUR',
    since: events.streams.get(`price-${sku}`)![0]!.recordedAt,
  }));
  await new PostgresTables(pool).commit({ projection: prices, from: 0n, to: 2n, upserts, deletes: [] });
  await pool.end();
  const openStore = async () => new MemoryEventStore(clock, events);
  return [{ service: 'order', projection: prices, databaseUrl, openStore }];
}

/** Another read model of the same events, with nothing projected yet. */
const others = { ...prices, name: 'price-history' };

async function run(
  targets: ReplayTarget[],
  argv: string[],
  { isTTY = false, signal = new AbortController().signal } = {},
) {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) => ({ isTTY, write: (text: string) => (written[name] += text) });
  const code = await replay(argv, targets, { stdout: stream('stdout'), stderr: stream('stderr') }, signal);
  return { code, ...written };
}

async function query(targets: ReplayTarget[], sql: string): Promise<pg.QueryResultRow[]> {
  const pool = postgresPool(targets[0]!.databaseUrl);
  try {
    return (await pool.query(sql)).rows;
  } finally {
    await pool.end();
  }
}

const SECONDS = String.raw`in \d+\.\d s`;

test('a replay reports how many rows were wrong, and how to roll back and undo that', async () => {
  const targets = await shop();
  const { code, stdout, stderr } = await run(targets, ['price-list']);
  expect(stdout).toMatch(
    new RegExp(
      `^price-list: 2 rows from 2 events ${SECONDS}; 1 row differs from the previous table\\.\\n` +
        'The previous table is kept as price_list_before: `npm run replay -- price-list --rollback` switches back to it, ' +
        'and DROP TABLE price_list_before frees its disk space\\.\\n$',
    ),
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });

  const bread = async () => (await query(targets, `SELECT amount_minor FROM price_list WHERE sku = 'bread'`))[0];
  expect(await bread()).toEqual({ amount_minor: '100' });
  const back = await run(targets, ['price-list', '--rollback']);
  expect(back).toEqual({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(
      new RegExp(
        `^price-list: switched back to the previous table, which caught up on 0 events, ${SECONDS}\\.\\n` +
          '`npm run replay -- price-list --rollback` again undoes the rollback\\.\\n$',
      ),
    ),
  });
  expect(await bread()).toEqual({ amount_minor: '99' });
  expect((await run(targets, ['price-list', '--rollback'])).code).toBe(0);
  expect(await bread()).toEqual({ amount_minor: '100' });
  expect((await run(targets, ['price-list'])).stdout).toContain('0 rows differ from the previous table.');
});

test('a rollback warns when the table was built by another version of the code', async () => {
  const targets = await shop();
  await run(targets, ['price-list']);
  const changed = targets.map((target) => ({ ...target, projection: { ...prices, version: 2 } }));
  const { stdout } = await run(changed, ['price-list', '--rollback']);
  expect(stdout).toContain('It was built by another version of the code.');
});

test('a terminal shows a progress bar, which is cleared at the end', async () => {
  const { stderr } = await run(await shop(), ['price-list'], { isTTY: true });
  expect(stderr).toMatch(/\[█{30}\] 100 %, 2 events, [\d,]+\/s, 0 s left\r\x1b\[K$/);
});

test('the time left is estimated from this run alone, not from what an earlier run has done', async () => {
  const clock = new ManualClock();
  let drawn = '';
  const bar = progressBar(clock, { isTTY: true, write: (text) => (drawn = text) }, 'event');
  await clock.advance(10_000);
  bar.show({ share: 0.75, before: 0.5, done: 2_500 });
  expect(drawn).toContain('75 %, 2,500 events, 250/s, 10 s left');
});

test('--list shows each read model, which code built it, and how far it is behind', async () => {
  const targets = await shop();
  const { code, stdout } = await run(targets, ['--list']);
  expect(code).toBe(0);
  expect(stdout).toBe(
    'read model  service  table       built by   rows  position  behind by\n' +
      'price-list  order    price_list  this code     2         2          1\n',
  );
  const changed = targets.map((target) => ({ ...target, projection: { ...prices, version: 2 } }));
  expect((await run(changed, ['--list'])).stdout).toContain('  other code  ');
});

test('a comparison lists the rows that differ and exits with 1; with 0 when none does', async () => {
  const targets = await shop();
  await query(
    targets,
    `INSERT INTO price_list VALUES ('wine', 100, 'EUR', now()); DELETE FROM price_list WHERE sku = 'olives'`,
  );
  const { code, stdout } = await run(targets, ['price-list', '--compare']);
  expect(code).toBe(1);
  expect(stdout).toMatch(
    new RegExp(
      `^price-list: 2 rows from 2 events ${SECONDS}; 3 rows differ from the live table at position 2\\.\\n` +
        '  sku "bread": amount_minor 99 → 100\n' +
        '  sku "olives": is missing\n' +
        '  sku "wine": should not exist\n' +
        '`npm run replay -- price-list` corrects the live table\\.\n$',
    ),
  );
  await run(targets, ['price-list']);
  const again = await run(targets, ['price-list', '--compare']);
  expect(again.stdout).toMatch(/; 0 rows differ from the live table at position 2\.\n$/);
  expect(again.code).toBe(0);
});

test('a table of the past is printed with the commands that show and drop it, without the password', async () => {
  const targets = await shop();
  const [{ until }] = (await query(targets, `SELECT max(since) AS until FROM price_list`)) as [{ until: Date }];
  const { code, stdout } = await run(targets, ['price-list', '--until', '1']);
  expect(code).toBe(0);
  const url = new URL(targets[0]!.databaseUrl);
  expect(url.password).not.toBe('');
  url.password = '';
  expect(stdout).toMatch(/^price-list: 1 row from 1 event in \d+\.\d s, as of position 1: table price_list_at_1\.\n/);
  expect(stdout).toContain(`\n  psql '${url.href}' -c 'SELECT * FROM price_list_at_1 LIMIT 10'\n`);
  expect(stdout).toContain(`\n  psql '${url.href}' -c 'DROP TABLE price_list_at_1'\n`);
  expect(await query(targets, 'SELECT sku FROM price_list_at_1')).toEqual([{ sku: 'olives' }]);

  const byTime = await run(targets, ['price-list', '--until', new Date(until.getTime() + 1).toISOString()]);
  expect(byTime.stdout).toMatch(
    / events? in \d+\.\d s, as of \d{4}-\d\d-\d\dT[\d:.]+Z \(position \d\): table price_list_at_\d{8}t\d{6,9}z\./,
  );
  expect(byTime.code).toBe(0);
});

test('--all does every read model in turn, also after one has failed', async () => {
  const [first] = await shop();
  const targets = [{ ...first!, projection: others }, first!];
  const { code, stdout, stderr } = await run(targets, ['--all', '--compare']);
  expect(stderr).toBe('price-history has projected nothing yet: there is nothing to compare.\n');
  expect(stdout).toMatch(/^price-list: /);
  expect(code).toBe(2);
});

test('a second replay of the same read model is refused, with exit code 1', async () => {
  const targets = await shop();
  const { projection, databaseUrl, openStore } = targets[0]!;
  const [pool, store] = [postgresPool(databaseUrl), await openStore()];
  const options: RebuildOptions = { projection, store, pool, clock: new SystemClock(), log: silentLog };
  let second: ReturnType<typeof run> | undefined;
  const subscribe: typeof store.subscribe = async function* (subscription) {
    second ??= run(targets, ['price-list']);
    await second;
    yield* store.subscribe(subscription);
  };
  await rebuild({ ...options, store: Object.create(store, { subscribe: { value: subscribe } }) });
  expect(await second).toEqual({
    code: 1,
    stdout: '',
    stderr: 'price-list is being rebuilt already. Wait until that is done, or end it.\n',
  });
  await pool.end();
});

test('a stopped replay prints that it can be resumed, and exits with 130', async () => {
  const stopped = await run(await shop(), ['price-list'], { signal: AbortSignal.abort() });
  expect(stopped).toEqual({
    code: 130,
    stdout: '',
    stderr: 'Stopped. What was built so far is kept: the same command resumes it, and --fresh starts over.\n',
  });
});

test.each([
  ['--compare', 'price-history has projected nothing yet: there is nothing to compare.'],
  ['--rollback', 'There is no price_list_before: nothing to roll back to.'],
  ['--until=4', 'The last event has position 3: there is nothing at position 4 yet.'],
  ['--until=0', 'price-history had no events yet at position 0.'],
  ['--until=2020-02-29T12:00Z', 'price-history had no events yet at 2020-02-29T12:00:00.000Z.'],
])('%s that does not apply to the current tables: one line, and exit code 2', async (flag, message) => {
  const targets = (await shop()).map((target) => ({ ...target, projection: others }));
  expect(await run(targets, ['price-history', flag])).toEqual({ code: 2, stdout: '', stderr: `${message}\n` });
});

describe('a wrong command line is answered in one line, with exit code 2', () => {
  const usage =
    'Usage: npm run replay -- <read model> or --all, with at most one of --compare, --rollback, --until <time or position>; or --list. Read models: price-list.';
  test.each([
    [[], usage],
    [['order'], `There is no read model order. ${usage}`],
    [['price-list', 'again'], usage],
    [['price-list', '--all'], usage],
    [['price-list', '--list'], `--list takes no other arguments. ${usage}`],
    [['price-list', '--compare', '--rollback'], usage],
    [['price-list', '--compare', '--until', '3'], usage],
    [['price-list', '--rollback', '--fresh'], `--fresh applies only to a rebuild and to --compare. ${usage}`],
    [['price-list', '--until', '3', '--fresh'], `--fresh applies only to a rebuild and to --compare. ${usage}`],
    [['--all', '--until', '3'], `Each event store has its own positions: with --all, give a time. ${usage}`],
    ...['yesterday', '-3', '2026-11-20', '2026-02-30T12:00Z', '2026-11-20T12:00', '9999-01-01T00:00Z', ''].map(
      (until): [string[], string] => [
        ['price-list', `--until=${until}`],
        `"${until}" is neither a position nor a past time such as 2026-11-20T12:00Z. ${usage}`,
      ],
    ),
    [['price-list', '--until'], `Option '--until <value>' argument missing. ${usage}`],
    [['price-list', '--help'], `Unknown option '--help'. ${usage}`],
  ] as [string[], string][])('%j', async (argv, message) => {
    const openStore = () => Promise.reject(new Error('Nothing is opened.'));
    const targets = [{ service: 'order', projection: prices, databaseUrl: '', openStore }];
    expect(await run(targets, argv)).toEqual({ code: 2, stdout: '', stderr: `${message}\n` });
  });
});
