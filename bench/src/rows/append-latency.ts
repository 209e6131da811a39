/** P2: what a single writer waits for one event to be durable. */
import { PostgresEventStore } from '../../../libs/event-store/src/postgres/index.js';
import { SystemClock } from '../../../libs/runtime/src/index.js';
import { alternately, load } from '../load.js';
import { openBareEvents } from '../peers.js';
import type { Row } from '../row.js';
import { placedOrder } from '../samples.js';

export const row: Row = {
  id: 'P2',
  name: 'Append, one writer',
  how: 'As in P1, with one writer, so that there is nobody to share a commit with: what remains is the way to the disk and back. The two sides alternate, append by append. **Larder**: `PostgresEventStore`. **Bare insert**: one connection and a prepared `INSERT` of one row, in a transaction of its own.',
  goals: [
    {
      name: "p50 of an append, of a bare insert's",
      unit: '×',
      atMost: 1.25,
      value: ({ larder, bare }) => larder!['p50Ms']! / bare!['p50Ms']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 300 : 3_000;
    const store = await PostgresEventStore.open({ url: await bench.database(), clock: new SystemClock() });
    const bare = await openBareEvents(await bench.database(), 1);
    const operations = {
      larder: () => {
        const { stream, event } = placedOrder();
        return store.append([{ stream, expected: 'none', events: [event] }]);
      },
      bare: () => {
        const { stream, event } = placedOrder();
        return bare.insert(stream, event);
      },
    };
    return {
      contenders: {
        larder: () => load(1, ms, operations.larder),
        bare: () => load(1, ms, operations.bare),
      },
      together: () => alternately(2 * ms, operations),
      async close() {
        await store.close();
        await bare.close();
      },
    };
  },
};
