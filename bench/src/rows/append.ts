/** P1: many writers, each appending one event to a stream of its own. */
import pg from 'pg';
import { PostgresEventStore, type StreamWrite } from '../../../libs/event-store/src/index.js';
import { SystemClock, SystemIds } from '../../../libs/runtime/src/index.js';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';
import { load } from '../load.js';
import type { Row } from '../row.js';

const WRITERS = 16;

const data = (id: string) => ({ orderId: id, customerId: id, lines: [{ sku: 'olive-oil', quantity: 2, unitPrice: { amountMinor: 1299, currency: 'EUR' } }] });

export const row: Row = {
  id: 'P1',
  name: `Append, ${WRITERS} writers, streams of their own`,
  how: '',
  goals: [
    { name: "events per second, of Emmett's", unit: '×', atLeast: 5, value: ({ larder, emmett }) => larder!['rate']! / emmett!['rate']! },
    { name: "events per second, of bare inserts'", unit: '×', atLeast: 1.5, value: ({ larder, bare }) => larder!['rate']! / bare!['rate']! },
  ],
  async open(bench) {
    const ms = bench.quick ? 500 : 3_000;
    const ids = new SystemIds();
    const store = await PostgresEventStore.open({ url: await bench.database(), clock: new SystemClock() });
    const pool = new pg.Pool({ connectionString: await bench.database(), max: WRITERS });
    pool.on('error', () => {});
    await pool.query(`CREATE TABLE events (
      position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, stream text NOT NULL, revision int NOT NULL, id uuid NOT NULL,
      type text NOT NULL, data jsonb NOT NULL, metadata jsonb NOT NULL, recorded_at timestamptz NOT NULL DEFAULT now(), UNIQUE (stream, revision))`);
    const emmett = getPostgreSQLEventStore(await bench.database());
    await emmett.schema.migrate();
    const metadata = { correlationId: ids.next(), causationId: ids.next(), schema: 1 };
    return {
      contenders: {
        larder: () =>
          load(WRITERS, ms, () => {
            const id = ids.next();
            const write: StreamWrite = { stream: `order-${id}`, expected: 'none', events: [{ id, type: 'OrderPlaced', data: data(id), metadata }] };
            return store.append([write]);
          }),
        bare: () =>
          load(WRITERS, ms, () => {
            const id = ids.next();
            return pool.query({
              name: 'insert',
              text: 'INSERT INTO events (stream, revision, id, type, data, metadata) VALUES ($1, $2, $3, $4, $5, $6) RETURNING position',
              values: [`order-${id}`, 0, id, 'OrderPlaced', JSON.stringify(data(id)), JSON.stringify(metadata)],
            });
          }),
        emmett: () =>
          load(WRITERS, ms, () => {
            const id = ids.next();
            return emmett.appendToStream(`order-${id}`, [{ type: 'OrderPlaced', data: data(id), metadata }], {
              expectedStreamVersion: 'STREAM_DOES_NOT_EXIST',
            });
          }),
      },
      async close() {
        await store.close();
        await pool.end();
        await emmett.close();
      },
    };
  },
};
