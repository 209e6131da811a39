/** P1: many writers, each appending one event to a stream of its own. */
import { PostgresEventStore } from '../../../libs/event-store/src/postgres/index.js';
import { SystemClock } from '../../../libs/runtime/src/index.js';
import { load } from '../load.js';
import { openBareEvents, openEmmett } from '../peers.js';
import type { Row } from '../row.js';
import { placedOrder } from '../samples.js';

const WRITERS = 16;

export const row: Row = {
  id: 'P1',
  name: `Append, ${WRITERS} writers, streams of their own`,
  how: `Each writer appends one event (an order of one line, with its metadata) to a new stream, waits until it is durable, and continues with the next. **Larder**: \`PostgresEventStore\` as a service opens it, expecting that the stream does not exist. **Emmett**: \`getPostgreSQLEventStore\` with its schema migrated ahead, \`appendToStream\` with \`STREAM_DOES_NOT_EXIST\`, and a pool of ${WRITERS} connections given in its options, which is faster here than its own of ten. **Bare inserts**: \`pg\` with ${WRITERS} connections and a prepared \`INSERT\` of one row into a table with the columns and the two indexes that an event store needs (the position, and the revision in its stream), each in a transaction of its own; with json rather than jsonb, which is faster to write.`,
  goals: [
    {
      name: "events per second, of Emmett's",
      unit: '×',
      atLeast: 5,
      value: ({ larder, emmett }) => larder!['rate']! / emmett!['rate']!,
    },
    {
      name: "events per second, of bare inserts'",
      unit: '×',
      atLeast: 1.5,
      value: ({ larder, bare }) => larder!['rate']! / bare!['rate']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 300 : 3_000;
    const store = await PostgresEventStore.open({ url: await bench.database(), clock: new SystemClock() });
    const bare = await openBareEvents(await bench.database(), WRITERS);
    const emmett = await openEmmett(await bench.database(), WRITERS);
    return {
      contenders: {
        larder: () =>
          load(WRITERS, ms, () => {
            const { stream, event } = placedOrder();
            return store.append([{ stream, expected: 'none', events: [event] }]);
          }),
        bare: () =>
          load(WRITERS, ms, () => {
            const { stream, event } = placedOrder();
            return bare.insert(stream, event);
          }),
        emmett: () =>
          load(WRITERS, ms, () => {
            const { stream, event } = placedOrder();
            const { type, data, metadata } = event;
            return emmett.store.appendToStream(stream, [{ type, data, metadata }], {
              expectedStreamVersion: 'STREAM_DOES_NOT_EXIST',
            });
          }),
      },
      async close() {
        await store.close();
        await bare.close();
        await emmett.close();
      },
    };
  },
};
