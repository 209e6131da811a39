import { expect, test } from 'vitest';
import { freshDatabase } from '../test/database.js';
import { idOf, MemoryEventStore, MemoryEvents } from '#event-store';
import { PostgresTables, projection } from '#projections';
import { postgresPool, SystemClock } from '#runtime';
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

/** An order service whose price list shows two prices, one of them wrong, and one event is not projected yet. */
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

async function run(targets: ReplayTarget[], argv: string[], isTTY = false) {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) => ({ isTTY, write: (text: string) => (written[name] += text) });
  const code = await replay(argv, targets, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...written };
}

test('a replay says how many rows were wrong', async () => {
  const targets = await shop();
  const { code, stdout, stderr } = await run(targets, ['price-list']);
  expect(stdout).toMatch(/^price-list: 2 rows from 2 events in \d+\.\d s; 1 row differs from the table before\.\n$/);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect((await run(targets, ['price-list'])).stdout).toContain('0 rows differ from the table before.');
});

test('on a terminal there is a bar, and it is gone at the end', async () => {
  const { stderr } = await run(await shop(), ['price-list'], true);
  expect(stderr).toMatch(/\[█{30}\] 100 %, 2 events, [\d,]+\/s, 0 s left\r\x1b\[K$/);
});

test('a list says what there is, and how far it is behind', async () => {
  const { code, stdout } = await run(await shop(), ['--list']);
  expect(code).toBe(0);
  expect(stdout).toBe(
    'read model  service  table       rows  position  behind by\n' +
      'price-list  order    price_list     2         2          1\n',
  );
});

test.each([[], ['order'], ['price-list', 'again'], ['--help']])(
  'what cannot be followed is answered by the names: %s',
  async (...argv) => {
    const { code, stderr } = await run(
      [{ service: 'order', projection: prices, databaseUrl: '', openStore: () => Promise.reject() }],
      argv,
    );
    expect({ code, stderr }).toEqual({ code: 2, stderr: 'Name one read model to replay: price-list; or --list.\n' });
  },
);
