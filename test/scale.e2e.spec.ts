/** The model of scripts/scale.ts against what a real shop leaves on the disk. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { services, shop as definitions } from '../apps/shop.js';
import { MESSAGES_PER_ORDER, perOrder, ROWS_PER_ORDER, scale } from '../scripts/scale.js';
import { openShop, type Shop } from './support/shop.js';

const ORDERS = 1_500;
/** How far the model may be off, in percent. */
const TOLERANCE = 10;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
  const skus = Array.from({ length: 50 }, (_, i) => `sku-${i}`);
  await shop.setPrices(Object.fromEntries(skus.map((sku) => [sku, 1299])));
  await shop.stockUp(Object.fromEntries(skus.map((sku) => [sku, 1_000_000])));
  let placed = 0;
  const place = async () => {
    while (placed < ORDERS) {
      const n = placed++;
      const lines = [n, n + 7].map((i, line) => ({ sku: `sku-${i % skus.length}`, quantity: 2 - line }));
      await shop.place({ lines });
    }
  };
  await Promise.all(Array.from({ length: 16 }, place));
  await shop.until('all orders are settled', async () => {
    const found = await value('order', `SELECT count(*) FROM order_summary WHERE settled`);
    return { done: found === ORDERS, found };
  });
  await shop.caughtUp();
}, 180_000);
afterAll(() => shop?.close());

/** The one number that a query gives. */
async function value(database: keyof Shop['databases'], sql: string): Promise<number> {
  const client = new pg.Client({ connectionString: shop.databases[database] });
  await client.connect();
  try {
    const { rows } = await client.query<[string]>({ text: sql, rowMode: 'array' });
    return Number(rows[0]?.[0]);
  } finally {
    await client.end();
  }
}

/** Per order, in bytes or pieces: the measured sizes are near those of the model. */
function expectNear(measured: Readonly<Record<string, number>>, model: object): void {
  for (const [name, predicted] of Object.entries(model)) {
    const percent = Math.abs(100 * (predicted / measured[name]! - 1));
    expect(percent, `${name}: ${predicted}, and measured ${measured[name]}`).toBeLessThan(TOLERANCE);
  }
}

test.each(services)('the model predicts the size of an order in the event store of %s', async (service) => {
  const size = async (name: string) =>
    (await value(service, `SELECT pg_relation_size('event_store.${name}')`)) / ORDERS;
  // Beside its entries, an index has a first page and a root.
  const entries = async (index: string) => (await size(index)) - (2 * 8192) / ORDERS;
  const measured = {
    events: (await value(service, 'SELECT count(*) FROM event_store.events')) / ORDERS,
    tableBytes: await size('events'),
    byStreamBytes: await entries('events_stream_revision_key'),
    byPositionBytes: await entries('events_pkey'),
  };
  expectNear(measured, perOrder(service, 2));
});

test.each(services)('the model predicts the size of an order in the rows of %s', async (service) => {
  const tables = definitions[service].projections.map(({ table }) => table);
  for (const table of tables) await value(service, `VACUUM (FULL, ANALYZE) ${table}`);
  const sizes = tables.map((table) => `pg_total_relation_size('${table}')`).join(' + ');
  expectNear({ rows: (await value(service, `SELECT ${sizes}`)) / ORDERS }, { rows: ROWS_PER_ORDER[service] });
});

test("the model predicts the size of an order's messages on the bus", async () => {
  const messages = (await value('bus', `SELECT pg_total_relation_size('message_bus.messages')`)) / ORDERS;
  expectNear({ messages }, { messages: MESSAGES_PER_ORDER });
});

test('a wrong command line is answered with the usage', () => {
  const errors: string[] = [];
  const out = { stdout: { write: () => true }, stderr: { write: (text: string) => errors.push(text) > 0 } };
  for (const args of [['--orders-per-day', '-1'], ['--years', 'many'], ['--pages'], ['--lines', '0']]) {
    expect(scale(args, out as never), args.join(' ')).toBe(2);
  }
  expect(errors[0]).toContain('--orders-per-day N');
});
