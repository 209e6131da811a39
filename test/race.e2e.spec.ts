/** A short race (`npm run race`), its verdict on a shop that was tampered with, and command lines that it cannot follow. */
import { perService } from '../apps/shop.js';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PostgresEventStore } from '#event-store/postgres';
import { SystemClock } from '#runtime';
import { race, raceIn } from '../proof/race.js';
import type { Driven } from '../proof/race/drive.js';
import { judge, type Verdict } from '../proof/race/judge.js';
import { openShop, type Shop } from './support/shop.js';

const options = { orders: 400, instances: 2, seed: Math.floor(Math.random() * 1e9) };

/** An output that is kept. */
function kept() {
  const output: string[] = [];
  const write = (text: string) => output.push(text);
  return { output: () => output.join(''), stdout: { write }, stderr: { write } };
}

let shop: Shop;
let driven: Driven;
let verdict: Verdict;
const out = kept();
beforeAll(async () => {
  const { instances } = options;
  shop = await openShop({ instances: perService(() => instances) });
  ({ driven, verdict } = await raceIn(shop, options, out));
}, 120_000);
afterAll(() => shop?.close());

test('reservations, cancellations and captures race: nothing is oversold, charged twice or lost', () => {
  expect(verdict.wrong, out.output()).toEqual([]);
  expect(verdict.leastAvailable, 'stock was scarce').toBe(0);
  expect(driven.orderIds.size).toBe(options.orders);
  const { made, refused, released, shipped } = verdict.reservations;
  expect(made + refused).toBe(options.orders);
  expect(made).toBe(released + shipped);
  for (const figure of [refused, released, shipped, verdict.captures, driven.cancellations.accepted]) {
    expect(figure).toBeGreaterThan(0);
  }
  expect(out.output()).toContain('Nothing was oversold, nothing was charged twice, nothing was lost.');
});

test('a capture too many, a unit too many and an order that is gone do not escape the judge', async () => {
  const payment = new pg.Client({ connectionString: shop.databases.payment });
  await payment.connect();
  const { rows } = await payment.query<{ order_id: string }>(
    `INSERT INTO simulated_ledger (order_id, type, currency, held_minor, charged_minor, at)
     SELECT order_id, type, currency, 0, charged_minor, at FROM simulated_ledger WHERE type = 'captured' LIMIT 1
     RETURNING order_id`,
  );
  await payment.end();

  const store = await PostgresEventStore.open({ url: shop.databases.inventory, clock: new SystemClock() });
  let [last, available] = [-1, 0];
  for await (const { revision, type, data } of store.read('stock-honey')) {
    const { quantity } = data as { quantity: number };
    last = revision;
    if (type === 'StockReceived' || type === 'StockReleased') available += quantity;
    if (type === 'StockReserved') available -= quantity;
  }
  const orderId = '00000000-0000-4000-8000-000000000000';
  const reserved = {
    id: '00000000-0000-4000-8000-000000000001',
    type: 'StockReserved',
    data: { orderId, quantity: available + 1 },
    metadata: { correlationId: orderId, causationId: orderId, schema: 1 },
  };
  await store.append([{ stream: 'stock-honey', expected: last, events: [reserved] }]);
  await store.close();

  const lost = '00000000-0000-4000-8000-000000000002';
  const { wrong } = await judge(shop, { ...driven, orderIds: new Set([...driven.orderIds, lost]) });
  const text = wrong.join('\n');
  expect(text).toMatch(new RegExp(`Order ${rows[0]!.order_id} is completed, .* the ledger took EUR .* in 2 captures`));
  expect(text).toMatch(/honey: after event \d+, stock-honey has -1 available/);
  expect(text).toContain(
    `Order ${orderId}: reservation-${orderId} reserved nothing, but stock-honey reserved ${available + 1} × honey for it.`,
  );
  expect(text).toContain(`order ${lost} was accepted, and does not exist`);
});

test.each([
  [['--orders', '0'], '"0" is not a number of orders. Usage: npm run race -- [--orders <number>] [--instances'],
  [['--instances', '9'], '"9" is not a number of instances.'],
  [['--seed', 'x'], '"x" is not a whole number.'],
  [['--fast'], "Unknown option '--fast'. Usage: npm run race"],
])('%j: one line that names what is wrong, and exit code 2', async (argv, line) => {
  const out = kept();
  expect(await race(argv, out)).toBe(2);
  expect(out.output()).toContain(line);
  expect(out.output().trimEnd().split('\n')).toHaveLength(1);
});
