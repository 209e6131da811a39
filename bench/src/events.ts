/**
 * The log of an order service that has seen many orders, written into the real table by SQL: as the service itself would
 * have left it, and as large (a spec compares the two), but in minutes where the service would need hours.
 */
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { PostgresEventStore } from '../../libs/event-store/src/postgres/index.js';
import { SystemClock } from '../../libs/runtime/src/index.js';
import { migrate } from '../../scripts/migrate.js';

/** What makes the tables of the order service. */
export const MIGRATIONS = fileURLToPath(new URL('../../prisma/order/migrations', import.meta.url));

/** Events of each order. */
export const EVENTS_PER_ORDER = 6;
/** Orders that are under way at a time: their events alternate. */
const UNDER_WAY = 50;
/** Events that one statement writes. */
const PIECE = UNDER_WAY * EVENTS_PER_ORDER * 1_000;

/** The id of the order with the number `n` from 0: as random as the real ones, and the same each time. */
export const orderId = (n: string) => `md5('order-' || ${n})::uuid`;

const LINES = `'[{"sku":"sku-' || n % 50 || '","quantity":2,"unitPrice":{"amountMinor":1299,"currency":"EUR"}},'
  || '{"sku":"sku-' || (n + 7) % 50 || '","quantity":1,"unitPrice":{"amountMinor":1299,"currency":"EUR"}}]'`;
const CUSTOMER = `md5('customer-' || n % 1000)::uuid`;
const TOTAL = `{"amountMinor":3897,"currency":"EUR"}`;
const DECLINED = 'n % 10 = 0';
const ISO = `'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'`;
/** When an order was placed, and when its step was recorded: some 50 orders a second. */
const placedAt = `timestamptz '2026-01-01T00:00:00Z' + n * interval '20 ms'`;
const recordedAt = `${placedAt} + step * interval '150 ms'`;
const utc = (time: string) => `to_char((${time}) AT TIME ZONE 'UTC', ${ISO})`;

const TYPE = `CASE WHEN ${DECLINED}
    THEN (array['OrderPlaced', 'OrderStockReserved', 'OrderReminded', 'OrderRejected', 'OrderStockReleased', 'OrderSettled'])[step + 1]
    ELSE (array['OrderPlaced', 'OrderStockReserved', 'OrderConfirmed', 'OrderStockShipped', 'OrderPaymentCaptured', 'OrderCompleted'])[step + 1]
  END`;

const DATA = `CASE ${TYPE}
    WHEN 'OrderPlaced' THEN '{"customerId":"' || ${CUSTOMER} || '","lines":' || ${LINES} || ',"total":${TOTAL},"paymentToken":"'
      || CASE WHEN ${DECLINED} THEN 'tok_declined' ELSE 'tok_approved' END || '","placedAt":"' || ${utc(placedAt)}
      || '","deadlineAt":"' || ${utc(`${placedAt} + interval '15 min'`)} || '"}'
    WHEN 'OrderStockReserved' THEN '{"total":${TOTAL},"paymentToken":"tok_approved"}'
    WHEN 'OrderReminded' THEN '{"attempt":1,"wants":"payment","lines":' || ${LINES} || ',"total":${TOTAL},"paymentToken":"tok_declined"}'
    WHEN 'OrderRejected' THEN '{"reason":"payment-declined","detail":"declined"}'
    WHEN 'OrderStockReleased' THEN '{"outcome":"released"}'
    ELSE '{}'
  END`;

/** Position p is about order n, and is its step: fifty orders take each step one after the other. */
const events = (from: number, to: number) => `
  SELECT p AS position, n, step, 'order-' || ${orderId('n')} AS stream, ${TYPE} AS type, ${DATA} AS data,
         '{"correlationId":"' || ${orderId('n')} || '","causationId":"' || gen_random_uuid() || '","schema":1}' AS metadata,
         ${recordedAt} AS recorded_at
  FROM generate_series(${from}, ${to}) AS p,
       LATERAL (SELECT ((p - 1) / ${UNDER_WAY * EVENTS_PER_ORDER}) * ${UNDER_WAY} + (p - 1) % ${UNDER_WAY} AS n,
                       ((p - 1) % ${UNDER_WAY * EVENTS_PER_ORDER}) / ${UNDER_WAY} AS step) AS numbered`;

/**
 * Fills an empty database with the order service's tables and at least `events` events, in whole orders; its read model
 * `order_summary` is written from the orders, not from the events, so that a rebuild has something to agree with.
 * Returns the number of events. The two indexes are built afterwards, their pages as full as random streams leave them.
 */
export async function fillOrders(
  url: string,
  { atLeast, readModel }: { atLeast: number; readModel: boolean },
): Promise<number> {
  await migrate(url, MIGRATIONS);
  const store = await PostgresEventStore.open({ url, clock: new SystemClock() });
  await store.close(); // It has made its tables.
  const total = wholeOrders(atLeast);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`SET maintenance_work_mem = '1GB'; SET synchronous_commit = off;
      ALTER TABLE event_store.events DROP CONSTRAINT events_stream_revision_key, DROP CONSTRAINT events_pkey`);
    for (let from = 1; from <= total; from += PIECE) {
      await client.query(`
        INSERT INTO event_store.events (position, append_end, recorded_at, id, revision, stream, category, type, data, metadata)
        SELECT position, position, recorded_at, gen_random_uuid(), step, stream, 'order', type, data::json, metadata::json
        FROM (${events(from, Math.min(total, from + PIECE - 1))}) AS e`);
    }
    await client.query(`
      ALTER TABLE event_store.events ADD PRIMARY KEY (position);
      ALTER TABLE event_store.events ADD UNIQUE (stream, revision) WITH (fillfactor = 70)`);
    await client.query('ALTER INDEX event_store.events_stream_revision_key RESET (fillfactor)');
    if (readModel) {
      await client.query(`
        INSERT INTO order_summary
          (order_id, customer_id, status, reason, settled, lines, total_minor, currency, placed_at, updated_at)
        SELECT ${orderId('n')}, ${CUSTOMER}, CASE WHEN ${DECLINED} THEN 'rejected' ELSE 'completed' END,
               CASE WHEN ${DECLINED} THEN 'payment-declined' END, true, (${LINES})::jsonb, 3897, 'EUR', ${placedAt}, ${recordedAt}
        FROM (SELECT n, ${EVENTS_PER_ORDER - 1} AS step FROM generate_series(0, ${total / EVENTS_PER_ORDER - 1}) AS n) AS orders`);
      await client.query(`INSERT INTO checkpoints (name, position) VALUES ('projection:order-summary', ${total})`);
    }
    await client.query('VACUUM ANALYZE');
    await client.query('CHECKPOINT');
  } finally {
    await client.end();
  }
  return total;
}

/** Fills a migrated, empty Emmett database with the same events in its own table. Returns their number. */
export async function fillEmmett(url: string, atLeast: number): Promise<number> {
  const total = wholeOrders(atLeast);
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    // Each append has a transaction of its own there, and the consumer sorts by it: they are numbered in that order.
    await client.query(`
      INSERT INTO emt_messages
        (stream_position, global_position, transaction_id, stream_id, message_schema_version, message_id, message_type, message_data, message_metadata)
      SELECT step + 1, nextval('emt_global_message_position'), pg_current_xact_id(), stream, '1', gen_random_uuid(), type,
             data::jsonb || jsonb_build_object('recordedAt', ${utc('recorded_at')}), metadata::jsonb
      FROM (${events(1, total)}) AS e ORDER BY position`);
    await client.query('VACUUM ANALYZE');
  } finally {
    await client.end();
  }
  return total;
}

function wholeOrders(events: number): number {
  const together = UNDER_WAY * EVENTS_PER_ORDER;
  return Math.ceil(events / together) * together;
}
