/** P6: a read model rebuilt from a long log. */
import {
  getPostgreSQLEventStore,
  pongoSingleStreamProjection,
  rebuildPostgreSQLProjections,
} from '@event-driven-io/emmett-postgresql';
import pg from 'pg';
import type { OrderEvent } from '../../../apps/order/src/domain/order.js';
import { orderSummary, type OrderSummaryRow } from '../../../apps/order/src/read-models/order-summary.js';
import { PostgresEventStore } from '../../../libs/event-store/src/postgres/index.js';
import type { RecordedEvent } from '../../../libs/event-store/src/index.js';
import { rebuild } from '../../../libs/projections/src/postgres/index.js';
import { silentLog, SystemClock } from '../../../libs/runtime/src/index.js';
import { bareUpsert } from '../bare-upsert.js';
import { EVENTS_PER_ORDER, fillEmmett, fillOrders } from '../events.js';
import { openPool } from '../peers.js';
import type { Row, Sample } from '../row.js';

const EVENTS = 1_000_000;
const EMMETT_EVENTS = 20_000;
/** What the hand-written rebuild reads and writes at once. */
const PAGE = 5_000;

export const row: Row = {
  id: 'P6',
  name: `Rebuild a read model from ${EVENTS.toLocaleString('en')} events`,
  how: `**Larder** builds \`order_summary\` as \`npm run replay\` does: into a shadow table of the live one, with all its indexes, compared row for row with the live one and put in its place; its time is that of all of it. The live table was written from the orders, not from the events. **Bare** \`pg\` pages through the same events (\`WHERE position > $1 ORDER BY position LIMIT ${PAGE}\`), folds them with the same function, keeps every row in memory, and writes each page with one \`INSERT … SELECT FROM UNNEST … ON CONFLICT\` into a table with the same indexes; it compares and switches nothing. **Emmett** builds a \`pongoSingleStreamProjection\` with \`rebuildPostgreSQLProjections\`, by the same fold, once with its default pulling (100 messages, then a pause of 50 ms) and once with pages of 1,000 and a pause of 1 ms; the faster of the two counts. It is given ${EMMETT_EVENTS.toLocaleString('en')} events: it sorts what is left of the log for every page, so a million would only make it slower.`,
  goals: [
    {
      name: "events per second, of Emmett's",
      unit: '×',
      atLeast: 50,
      value: ({ larder, emmett, emmettTuned }) => larder!['rate']! / Math.max(emmett!['rate']!, emmettTuned!['rate']!),
    },
    {
      name: 'events per second, of a bare paged read with UNNEST upserts',
      unit: '%',
      atLeast: 40,
      value: ({ larder, bare }) => (100 * larder!['rate']!) / bare!['rate']!,
    },
    {
      name: 'rows that are not those of the live table',
      unit: 'pieces',
      atMost: 0,
      value: ({ larder }) => larder!['differing']!,
    },
  ],
  async open(bench) {
    const url = await bench.database();
    const clock = new SystemClock();
    const events = await fillOrders(url, { atLeast: bench.quick ? 20_000 : EVENTS, readModel: true });
    const store = await PostgresEventStore.open({ url, clock });
    const pool = openPool(url, 4);
    const live = await hash(pool, orderSummary.table);

    const emmettUrl = await bench.database();
    const emmett = getPostgreSQLEventStore(emmettUrl);
    await emmett.schema.migrate();
    await emmett.close();
    const emmettEvents = await fillEmmett(emmettUrl, bench.quick ? EMMETT_EVENTS / 10 : EMMETT_EVENTS);

    return {
      contenders: {
        larder: () =>
          timed(events, async () => {
            const { differing } = await rebuild({ projection: orderSummary, store, pool, clock, log: silentLog });
            return async () => ({
              differing: (await hash(pool, orderSummary.table)) === live ? differing : Math.max(1, differing),
            });
          }),
        bare: () =>
          timed(events, async () => {
            await bareRebuild(pool);
            return async () => {
              if ((await hash(pool, 'bare')) !== live) throw new Error('The hand-written rebuild is wrong.');
              return {};
            };
          }),
        emmett: () => emmettRebuild(emmettUrl, emmettEvents, undefined),
        emmettTuned: () => emmettRebuild(emmettUrl, emmettEvents, { batchSize: 1_000, pullingFrequencyInMs: 1 }),
      },
      async close() {
        await store.close();
        await pool.end();
      },
    };
  },
};

/** Work that handles `events` events, and returns what is to be looked at once its time is taken. */
async function timed(events: number, work: () => Promise<() => Promise<Sample>>): Promise<Sample> {
  const begin = performance.now();
  const look = await work();
  const seconds = (performance.now() - begin) / 1_000;
  return { rate: events / seconds, seconds, ...(await look()) };
}

/** The same for two tables exactly when they have the same rows. */
async function hash(pool: pg.Pool, table: string): Promise<string> {
  const { rows } = await pool.query<{ hash: string }>(
    `SELECT md5(string_agg(md5(t::text), '' ORDER BY order_id)) AS hash FROM ${table} AS t`,
  );
  return rows[0]!.hash;
}

/** What one would write by hand for this one table, where nothing else is at work. */
async function bareRebuild(pool: pg.Pool): Promise<void> {
  await pool.query('DROP TABLE IF EXISTS bare; CREATE TABLE bare (LIKE order_summary INCLUDING ALL)');
  const rows = new Map<string, OrderSummaryRow>();
  let position = '0';
  while (true) {
    const page = await pool.query<{ position: string; stream: string; type: string; data: object; recorded_at: Date }>({
      name: 'page',
      text: `SELECT position, stream, type, data, recorded_at FROM event_store.events
             WHERE position > $1 AND category = 'order' ORDER BY position LIMIT ${PAGE}`,
      values: [position],
    });
    if (page.rows.length === 0) return;
    const touched = new Set<string>();
    for (const { stream, type, data, recorded_at } of page.rows) {
      const id = stream.slice('order-'.length);
      const event = {
        stream,
        type,
        data,
        recordedAt: recorded_at.toISOString(),
      } as unknown as RecordedEvent<OrderEvent>;
      rows.set(id, orderSummary.apply(rows.get(id), event)!);
      touched.add(id);
    }
    const written = [...touched].map((id) => rows.get(id)!);
    await pool.query(bareUpsert('bare', written));
    position = page.rows.at(-1)!.position;
  }
}

const ORDER_EVENTS = [
  'OrderPlaced',
  'OrderStockReserved',
  'OrderReminded',
  'OrderConfirmed',
  'OrderStockShipped',
  'OrderPaymentCaptured',
  'OrderCompleted',
  'OrderRejected',
  'OrderStockReleased',
  'OrderSettled',
];
type Document = Omit<OrderSummaryRow, 'lines'> & { lines: object };
type EmmettEvent = { type: string; data: { recordedAt: string }; metadata: { streamName: string } };

async function emmettRebuild(
  connectionString: string,
  events: number,
  pulling: { batchSize: number; pullingFrequencyInMs: number } | undefined,
): Promise<Sample> {
  const projection = pongoSingleStreamProjection<Document, any>({
    collectionName: 'order_summary',
    canHandle: ORDER_EVENTS,
    evolve: (document: Document | null, { type, data, metadata }: EmmettEvent) => {
      const event = { stream: metadata.streamName, type, data, recordedAt: data.recordedAt };
      return orderSummary.apply((document ?? undefined) as OrderSummaryRow | undefined, event as never) as Document;
    },
  });
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    // A rebuild continues from where the last one ended, and would have nothing to do: it begins at the beginning only
    // when its processor is not known.
    await client.query('DELETE FROM emt_processors; DROP TABLE IF EXISTS order_summary');
    return await timed(events, async () => {
      const consumer = rebuildPostgreSQLProjections({ connectionString, projections: [projection], pulling });
      try {
        await consumer.start();
      } finally {
        await consumer.close();
      }
      return async () => {
        const settled = `count(*) FILTER (WHERE (data ->> 'settled')::boolean)::int`;
        const { rows } = await client.query<{ settled: number }>(`SELECT ${settled} AS settled FROM order_summary`);
        if (rows[0]!.settled !== events / EVENTS_PER_ORDER) throw new Error("Emmett's projection lacks events.");
        return {};
      };
    });
  } finally {
    await client.end();
  }
}
