/**
 * Every list pages through an index: for each of its filters, on the first page and on a deep one, Postgres reads the rows of
 * the page and no others, and sorts nothing. The statements are those that the services send.
 */
import { PrismaPg } from '@prisma/adapter-pg';
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, expect, test } from 'vitest';
import { stockHold } from '../apps/inventory/src/read-models/stock-hold.js';
import { ListStock, ListStockHandler } from '../apps/inventory/src/http/inventory.handlers.js';
import { ListOrders, ListOrdersHandler, ListPrices, ListPricesHandler } from '../apps/order/src/http/order.handlers.js';
import { orderTodo } from '../apps/order/src/read-models/order-todo.js';
import { moneyHold } from '../apps/payment/src/read-models/money-hold.js';
import { paymentTodo } from '../apps/payment/src/read-models/payment-todo.js';
import { PostgresLedger } from '../apps/payment/src/simulator/postgres-ledger.js';
import { PostgresParkedMessages } from '#message-bus/postgres';
import { type AnyProjection } from '#projections';
import { PostgresTables } from '#projections/postgres';
import { postgresPool } from '#runtime/postgres';
import { PrismaClient as InventoryClient } from '../prisma/inventory/client/client.js';
import { PrismaClient as OrderClient } from '../prisma/order/client/client.js';
import { freshDatabase } from './support/database.js';

const ROWS = 20_000;
/** Of the parked messages. */
const DEAD = 1_000;
const LIMIT = 11;
const customerId = '00000000-0000-4000-8000-000000000001';
/** The place of a row in the middle of each table. */
const at = new Date(Date.parse('2026-01-01T00:00:00.000Z') + (ROWS / 2) * 1_000).toISOString();
const id = '88888888-8888-4888-8888-888888888888';
const time = `timestamptz '2026-01-01 00:00:00Z' + n * interval '1 second'`;
const rowsOf = (table: string, columns: string, values: string) =>
  `INSERT INTO ${table} (${columns}) SELECT ${values} FROM generate_series(1, ${ROWS}) AS n`;

const letters = [
  // Some dead letters among many messages that are retried, as after an outage.
  rowsOf(
    'parked_messages',
    'consumer, key, message_id, message, attempts, error, parked_at, next_attempt_at, dead_at',
    `'c', n::text, n::text, json_build_object('offset', '1', 'topic', 't', 'type', 'T' || n % 100), 1, 'Error: ' || n % 100,
     ${time}, ${time}, CASE WHEN n % ${ROWS / DEAD} = 0 THEN ${time} END`,
  ),
  rowsOf(
    'dead_letter_decisions',
    'id, consumer, key, message_id, message, attempts, error, action, actor, reason, decided_at, dead_letter_id',
    `gen_random_uuid(), 'c', '', '', '{"offset":"1"}', 1, '', 'skip', '', '', ${time}, n % 1000`,
  ),
];
const fill = {
  order: [
    rowsOf(
      'order_summary',
      'order_id, customer_id, status, settled, lines, total_minor, currency, placed_at, updated_at',
      `gen_random_uuid(), ('00000000-0000-4000-8000-' || lpad((n % 50)::text, 12, '0'))::uuid,
       CASE WHEN n % 1000 < 52 AND n % 50 < 2 THEN 'placed' ELSE 'completed' END, true, '[]', 1, 'EUR', ${time}, ${time}`,
    ),
    rowsOf('price_list', 'sku, amount_minor, currency, since', `'sku-' || n, 1, 'EUR', ${time}`),
    rowsOf(
      'order_todo',
      'order_id, wants, reminders, due_at, attention_at, attended_at',
      `gen_random_uuid(), 'return', 1, ${time}, ${time}, ${time}`,
    ),
    ...letters,
  ],
  inventory: [
    rowsOf('stock_level', 'sku, available, reserved, shipped, updated_at', `'sku-' || n, 1, 1, 1, ${time}`),
    rowsOf(
      'stock_hold',
      'order_id, held_since, attention_at, attended_at',
      `gen_random_uuid(), ${time}, ${time}, ${time}`,
    ),
  ],
  payment: [
    rowsOf(
      'money_hold',
      'order_id, held_since, attention_at, attended_at',
      `gen_random_uuid(), ${time}, ${time}, ${time}`,
    ),
    rowsOf('payment_todo', 'order_id, step, position, due_at', `gen_random_uuid(), 'capture', n, ${time}`),
    rowsOf(
      'simulated_ledger',
      'order_id, type, held_minor, charged_minor, at',
      `('00000000-0000-4000-8000-' || lpad((n % 100)::text, 12, '0'))::uuid, 'authorized', 1, 0, ${time}`,
    ),
  ],
};

interface Statement {
  readonly text: string;
  readonly values?: readonly unknown[];
}

const ends: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const end of ends) await end();
});

/** A filled database, and a pool that notes what is sent through it. */
async function open(service: keyof typeof fill) {
  const pool = postgresPool(await freshDatabase(service));
  for (const statement of fill[service]) await pool.query(statement);
  await pool.query('ANALYZE');
  const explaining = await pool.connect();
  ends.push(async () => explaining.release());
  // A few dozen rows are sorted faster than they are looked up one by one: here the question is whether there is an index.
  await explaining.query('SET enable_sort = off; SET enable_bitmapscan = off');
  const sent: Statement[] = [];
  const send = pool.query.bind(pool) as (...args: unknown[]) => Promise<pg.QueryResult>;
  pool.query = ((statement: string | Statement, values?: readonly unknown[]) => {
    sent.push(typeof statement === 'string' ? { text: statement, ...(values && { values }) } : statement);
    return send(statement, values);
  }) as unknown as typeof pool.query;

  /** How Postgres does what `read` sends. */
  async function planOf(read: () => Promise<unknown>): Promise<Plan> {
    sent.length = 0;
    await read();
    expect(sent).toHaveLength(1);
    const [{ text, values }] = sent as [Statement];
    const { rows } = await explaining.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, [...(values ?? [])]);
    const [{ Plan }] = (rows[0] as { 'QUERY PLAN': [{ Plan: PlanNode }] })['QUERY PLAN'];
    const nodes = nodesOf(Plan);
    return {
      kinds: nodes.map((node) => node['Node Type']),
      passedOver: nodes.reduce((sum, node) => sum + (node['Rows Removed by Filter'] ?? 0), 0),
      pages: Plan['Shared Hit Blocks'] + Plan['Shared Read Blocks'],
    };
  }
  ends.push(() => pool.end());
  return { pool, planOf, tables: new PostgresTables(pool) };
}

interface Plan {
  readonly kinds: readonly string[];
  /** Rows that were read and are not shown. */
  readonly passedOver: number;
  /** Pages of the table and of the index that were touched. */
  readonly pages: number;
}

interface PlanNode {
  'Node Type': string;
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  'Rows Removed by Filter'?: number;
  Plans?: PlanNode[];
}

function nodesOf(node: PlanNode): PlanNode[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)];
}

const BY_INDEX = /^(Limit|Result|Index Scan|Index Only Scan)$/;
type PlanOf = Awaited<ReturnType<typeof open>>['planOf'];

/** What the first page costs, the next one costs too, wherever it is. */
async function expectByIndex(
  planOf: PlanOf,
  what: string,
  first: () => Promise<unknown>,
  deep: () => Promise<unknown>,
) {
  const plans = [await planOf(first), await planOf(deep)] as const;
  for (const { kinds, passedOver } of plans) {
    const others = kinds.filter((kind) => !BY_INDEX.test(kind));
    expect({ what, others }).toEqual({ what, others: [] });
    // The row that the page before ended with.
    expect(passedOver, what).toBeLessThanOrEqual(1);
  }
  expect(plans[1].pages, what).toBeLessThan(plans[0].pages + 20);
}

test('orders, by each filter and both, and prices', async () => {
  const { pool, planOf } = await open('order');
  const prisma = new OrderClient({ adapter: new PrismaPg(pool) });
  const orders = new ListOrdersHandler(prisma);
  for (const filter of [{}, { status: 'placed' }, { customerId }, { status: 'placed', customerId }]) {
    const read = (after?: readonly [string, string]) => () => orders.execute(new ListOrders(filter, after, LIMIT));
    await expectByIndex(planOf, JSON.stringify(filter), read(), read([at, id]));
  }
  const prices = new ListPricesHandler(prisma);
  const read = (after?: string) => () => prices.execute(new ListPrices(after, LIMIT));
  await expectByIndex(planOf, 'prices', read(), read('sku-5000'));
});

test('stock, and the ledger', async () => {
  const inventory = await open('inventory');
  const stock = new ListStockHandler(new InventoryClient({ adapter: new PrismaPg(inventory.pool) }));
  const read = (after?: string) => () => stock.execute(new ListStock(after, LIMIT));
  await expectByIndex(inventory.planOf, 'stock', read(), read('sku-5000'));

  const { pool, planOf } = await open('payment');
  const ledger = new PostgresLedger(pool);
  for (const of of [{}, { orderId: customerId }]) {
    const entries = (after: number) => () => ledger.entries({ ...of, after, limit: LIMIT });
    await expectByIndex(planOf, 'ledger', entries(0), entries(ROWS / 2));
  }
});

test.each<[keyof typeof fill, string, string, AnyProjection]>([
  ['order', 'attention_at', orderTodo.name, orderTodo],
  ['order', 'due_at', orderTodo.name, orderTodo],
  ['inventory', 'attention_at', stockHold.name, stockHold],
  ['payment', 'attention_at', moneyHold.name, moneyHold],
  ['payment', 'due_at', paymentTodo.name, paymentTodo],
])('the to-do list of %s by %s: %s', async (service, column, _name, projection) => {
  const { planOf, tables } = await open(service);
  const read = (after?: object) => () => tables.due(projection, column, new Date('2027-01-01'), LIMIT, after);
  await expectByIndex(planOf, projection.name, read(), read({ [column]: at, order_id: id }));
});

test.each<[keyof typeof fill, string, AnyProjection]>([
  ['order', orderTodo.name, orderTodo],
  ['inventory', stockHold.name, stockHold],
  ['payment', moneyHold.name, moneyHold],
])('what was in the inbox of %s: %s', async (service, _name, projection) => {
  const { planOf, tables } = await open(service);
  const read = (after?: object) => () => tables.latest(projection, 'attended_at', LIMIT, after);
  await expectByIndex(planOf, projection.name, read(), read({ attended_at: at, order_id: id }));
});

test('dead letters and decisions', async () => {
  const { pool, planOf } = await open('order');
  const parked = new PostgresParkedMessages(pool);
  const dead = (from: bigint) => () => parked.listDead(from, LIMIT);
  await expectByIndex(planOf, 'dead letters', dead(1n), dead(BigInt(ROWS / 2)));
  // One that does not match is passed over, and none that is not dead is looked at.
  for (const filter of [{ topic: 't' }, { type: 'T20' }, { error: 'Error: 40' }, { topic: 't', type: 'T60' }]) {
    const { kinds, passedOver } = await planOf(() => parked.listDead(1n, LIMIT, filter));
    expect({ filter, others: kinds.filter((kind) => !BY_INDEX.test(kind)) }).toEqual({ filter, others: [] });
    expect(passedOver).toBeLessThan(filter.topic && !filter.type ? 1 : LIMIT * 5);
  }
  const none = await planOf(() => parked.listDead(1n, LIMIT, { type: 'none' }));
  expect(none.passedOver).toBe(DEAD);
  const decisions = (after?: { at: Date; id: string }) => () => parked.resolutions({ after, limit: LIMIT });
  await expectByIndex(planOf, 'decisions', decisions(), decisions({ at: new Date(at), id: randomUUID() }));
  expect((await planOf(() => parked.countDead())).kinds).toEqual(['Aggregate', 'Index Only Scan']);
});
