/**
 * A shop that has seen many orders, written straight into its databases, as the services would have left it: nine in ten
 * orders are completed, every tenth is declined. To measure with, and to prove what must not grow with the orders.
 */
import pg from 'pg';
import { PostgresEventStore } from '#event-store/postgres';
import { SystemClock } from '#runtime';
import { type Service, services } from '../../apps/shop.js';

const SKUS = 50;
const RECEIVED = 100_000_000;

/**
 * Fills three empty, migrated databases with `orders` orders. They are placed 20 ms apart and take about a second each,
 * so some fifty are under way at any time.
 */
export async function manyOrders(databases: Readonly<Record<Service, string>>, orders: number): Promise<void> {
  for (const service of services) {
    const store = await PostgresEventStore.open({ url: databases[service], clock: new SystemClock() });
    await store.close(); // It has made its tables.
    const client = new pg.Client({ connectionString: databases[service] });
    await client.connect();
    try {
      await client.query(`SET work_mem = '256MB'`);
      for (const statement of STATEMENTS[service] ?? [])
        await client.query(statement.replaceAll(':orders', `${orders}`));
      await client.query('ANALYZE');
    } finally {
      await client.end();
    }
  }
}

/** The id of the order with this number, from 1. */
export const orderIdOf = `md5('order' || n)::uuid`;

const declined = 'n % 10 = 0';
const sku = (line: 'a' | 'b') => `'sku-' || ((n + ${line === 'a' ? 0 : 7}) % ${SKUS})`;
const at = (step: number) => `timestamptz '2026-11-01T00:00:00Z' + n * interval '20 ms' + ${step} * interval '150 ms'`;
const iso = (time: string) => `to_char((${time}) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;
const total = `jsonb_build_object('amountMinor', 3493, 'currency', 'EUR')`;
const priced = `jsonb_build_array(
  jsonb_build_object('sku', ${sku('a')}, 'quantity', 2, 'unitPrice', jsonb_build_object('amountMinor', 1299, 'currency', 'EUR')),
  jsonb_build_object('sku', ${sku('b')}, 'quantity', 1, 'unitPrice', jsonb_build_object('amountMinor', 895, 'currency', 'EUR')))`;
const lines = `jsonb_build_array(
  jsonb_build_object('sku', ${sku('a')}, 'quantity', 2), jsonb_build_object('sku', ${sku('b')}, 'quantity', 1))`;
const moved = (quantity: number) => `jsonb_build_object('orderId', ${orderIdOf}, 'quantity', ${quantity})`;
const customer = `md5('customer' || n % 1000)::uuid`;
const paid = `jsonb_build_object('amount', ${total})`;

interface Written {
  readonly step: number;
  readonly stream: string;
  readonly type: string;
  readonly data?: string;
  readonly when?: string;
}

/** Numbers the events of all orders by the time of their append, and those of each stream in that order. */
function events(opening: string, written: readonly Written[]): string {
  const parts = written.map(
    ({ step, stream, type, data = `'{}'::jsonb`, when = 'true' }, part) =>
      `SELECT n, ${step} AS step, ${part} AS part, ${stream} AS stream, '${type}' AS type, ${data} AS data, ${at(step)} AS at
       FROM generate_series(1, :orders) AS n WHERE ${when}`,
  );
  return `
    INSERT INTO event_store.events
      (position, append_end, recorded_at, id, revision, stream, category, type, data, metadata)
    SELECT position, max(position) OVER (PARTITION BY n, step), at, gen_random_uuid(),
           row_number() OVER (PARTITION BY stream ORDER BY position) - 1, stream, split_part(stream, '-', 1), type,
           data::json, json_build_object('correlationId', stream, 'causationId', stream, 'schema', 1)
    FROM (SELECT *, row_number() OVER (ORDER BY at, n, part) AS position
          FROM (${opening} UNION ALL ${parts.join(' UNION ALL ')}) AS written) AS numbered`;
}

/** Everything that follows the events of a service has caught up: its read models, and its relay, which has published all. */
const checkpoints = (relay: string, ...readModels: string[]) =>
  `INSERT INTO checkpoints (name, position)
   SELECT name, (SELECT max(position) FROM event_store.events)
   FROM unnest(array['${[relay, ...readModels.map((name) => `projection:${name}`)].join(`', '`)}']) AS name`;

const opening = (stream: string, type: string, data: string, part: number) =>
  `SELECT -n AS n, 0 AS step, ${part} AS part, '${stream}-sku-' || n AS stream, '${type}' AS type, ${data} AS data,
          timestamptz '2026-10-31T00:00:00Z' AS at FROM generate_series(0, ${SKUS - 1}) AS n`;

const order = `'order-' || ${orderIdOf}`;
const reservation = `'reservation-' || ${orderIdOf}`;
const payment = `'payment-' || ${orderIdOf}`;
const completed = `NOT ${declined}`;

/** A reservation's event, and what it means for the stock of its two lines. */
function reserved(step: number, type: string, stockType: string, when?: string): Written[] {
  return [
    { step, stream: reservation, type, data: `jsonb_build_object('lines', ${lines})`, when },
    { step, stream: `'stock-' || ${sku('a')}`, type: stockType, data: moved(2), when },
    { step, stream: `'stock-' || ${sku('b')}`, type: stockType, data: moved(1), when },
  ];
}

const STATEMENTS: Partial<Record<Service, string[]>> = {
  order: [
    events(opening('price', 'PriceSet', `'{"amountMinor": 1299, "currency": "EUR"}'::jsonb`, 0), [
      {
        step: 0,
        stream: order,
        type: 'OrderPlaced',
        data: `jsonb_build_object('customerId', ${customer}, 'lines', ${priced}, 'total', ${total},
          'paymentToken', CASE WHEN ${declined} THEN 'tok_declined' ELSE 'tok_approved' END,
          'placedAt', ${iso(at(0))}, 'deadlineAt', ${iso(`${at(0)} + interval '15 min'`)})`,
      },
      {
        step: 2,
        stream: order,
        type: 'OrderStockReserved',
        data: `jsonb_build_object('total', ${total}, 'paymentToken', 'tok')`,
      },
      { step: 4, stream: order, type: 'OrderConfirmed', when: completed },
      { step: 6, stream: order, type: 'OrderStockShipped', when: completed },
      { step: 7, stream: order, type: 'OrderPaymentCaptured', when: completed },
      { step: 7, stream: order, type: 'OrderCompleted', when: completed },
      {
        step: 4,
        stream: order,
        type: 'OrderRejected',
        data: `'{"reason": "payment-declined", "detail": "declined"}'::jsonb`,
        when: declined,
      },
      { step: 6, stream: order, type: 'OrderStockReleased', data: `'{"outcome": "released"}'::jsonb`, when: declined },
      { step: 6, stream: order, type: 'OrderSettled', when: declined },
    ]),
    `INSERT INTO order_summary
       (order_id, customer_id, status, reason, settled, lines, total_minor, currency, placed_at, updated_at)
     SELECT ${orderIdOf}, ${customer}, CASE WHEN ${declined} THEN 'rejected' ELSE 'completed' END,
            CASE WHEN ${declined} THEN 'payment-declined' END, true, ${priced}, 3493, 'EUR', ${at(0)},
            CASE WHEN ${declined} THEN ${at(6)} ELSE ${at(7)} END
     FROM generate_series(1, :orders) AS n`,
    `INSERT INTO price_list (sku, amount_minor, currency, since)
     SELECT 'sku-' || n, 1299, 'EUR', timestamptz '2026-10-31T00:00:00Z' FROM generate_series(0, ${SKUS - 1}) AS n`,
    checkpoints('order', 'order-summary', 'price-list', 'order-todo'),
  ],
  inventory: [
    events(
      `${opening('entry', 'EntryMade', `jsonb_build_object('kind', 'receipt', 'sku', 'sku-' || n, 'quantity', ${RECEIVED})`, 0)}
       UNION ALL ${opening('stock', 'StockReceived', `jsonb_build_object('quantity', ${RECEIVED})`, 1)}`,
      [
        ...reserved(1, 'ReservationMade', 'StockReserved'),
        ...reserved(5, 'ReservationShipped', 'StockShipped', completed),
        ...reserved(5, 'ReservationReleased', 'StockReleased', declined),
      ],
    ),
    `INSERT INTO reservation_summary (order_id, status, lines, updated_at)
     SELECT ${orderIdOf}, CASE WHEN ${declined} THEN 'released' ELSE 'shipped' END, ${lines}, ${at(5)}
     FROM generate_series(1, :orders) AS n`,
    `INSERT INTO stock_level (sku, available, reserved, shipped, updated_at)
     SELECT substr(stream, 7), ${RECEIVED} - sum(quantity) FILTER (WHERE type = 'StockShipped'), 0,
            sum(quantity) FILTER (WHERE type = 'StockShipped'), max(recorded_at)
     FROM event_store.events, cast(data ->> 'quantity' AS bigint) AS quantity
     WHERE category = 'stock' GROUP BY stream`,
    checkpoints('inventory', 'stock-level', 'reservation-summary', 'stock-hold'),
  ],
  payment: [
    events(
      `SELECT 0 AS n, 0 AS step, 0 AS part, '' AS stream, '' AS type, '{}'::jsonb AS data, now() AS at WHERE false`,
      [
        { step: 3, stream: payment, type: 'PaymentRequested', data: `${paid} || '{"token": "tok"}'` },
        {
          step: 3.5,
          stream: payment,
          type: 'PaymentAuthorized',
          data: `${paid} || '{"authorizationId": "auth"}'`,
          when: completed,
        },
        { step: 5, stream: payment, type: 'PaymentCaptureRequested', when: completed },
        { step: 5.5, stream: payment, type: 'PaymentCaptured', data: paid, when: completed },
        {
          step: 3.5,
          stream: payment,
          type: 'PaymentDeclined',
          data: `'{"reason": "declined"}'::jsonb`,
          when: declined,
        },
      ],
    ),
    `INSERT INTO payment_summary
       (order_id, status, reason, amount_minor, currency, captured_minor, refunded_minor, updated_at)
     SELECT ${orderIdOf}, CASE WHEN ${declined} THEN 'declined' ELSE 'captured' END,
            CASE WHEN ${declined} THEN 'declined' END, 3493, 'EUR', CASE WHEN ${declined} THEN 0 ELSE 3493 END, 0,
            CASE WHEN ${declined} THEN ${at(3.5)} ELSE ${at(5.5)} END
     FROM generate_series(1, :orders) AS n`,
    `INSERT INTO simulated_ledger (order_id, type, currency, held_minor, charged_minor, at)
     SELECT ${orderIdOf}, type, 'EUR', CASE type WHEN 'authorized' THEN 3493 WHEN 'captured' THEN -3493 ELSE 0 END,
            CASE type WHEN 'captured' THEN 3493 ELSE 0 END, at
     FROM (SELECT n, CASE WHEN ${declined} THEN 'declined' ELSE 'authorized' END AS type, ${at(3.5)} AS at
           FROM generate_series(1, :orders) AS n
           UNION ALL SELECT n, 'captured', ${at(5.5)} FROM generate_series(1, :orders) AS n WHERE ${completed}) AS entry
     ORDER BY at`,
    checkpoints('payment', 'payment-summary', 'payment-todo', 'money-hold'),
  ],
};
