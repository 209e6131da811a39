/** P10, the store's half: an append, when there are many events already. */
import pg from 'pg';
import { PostgresEventStore } from '../../../libs/event-store/src/postgres/index.js';
import { SystemClock, SystemIds } from '../../../libs/runtime/src/index.js';
import { EVENTS_PER_ORDER, fillOrders, orderId } from '../events.js';
import { summary } from '../load.js';
import type { Bench, Goal, Row, Sample } from '../row.js';

const SMALL = 100_000;
const LARGE = 10_000_000;
const WRITERS = 16;
const TURNS = 25;

export const row: Row = {
  id: 'P10',
  name: `Append with ${LARGE.toLocaleString('en')} events in the store`,
  how: `**Larder**, twice on one server: a store with ${SMALL.toLocaleString('en')} events, which grows by half of that meanwhile, and one with ${LARGE.toLocaleString('en')}. They were written into the store's own table by SQL, with streams and sizes as the order service has them, and the index by stream as full as random ids leave it. Every other append begins a stream, and every other adds to one that is drawn from all over the log. The stores take turns within each round, some milliseconds each.`,
  goals: [goal('one writer'), goal(`${WRITERS} writers`)],
  async open(bench) {
    const small = await openStore(bench, bench.quick ? SMALL / 5 : SMALL);
    const large = await openStore(bench, bench.quick ? LARGE / 50 : LARGE);
    return {
      contenders: {
        'one writer': () => inTurn(small, large, 1),
        [`${WRITERS} writers`]: () => inTurn(small, large, WRITERS),
      },
      async close() {
        await small.close();
        await large.close();
      },
    };
  },
};

function goal(writers: string): Goal {
  return {
    name: `p50 of an append with ${writers}, of that in the small store`,
    unit: '×',
    atMost: 1.3,
    profiled: writers,
    value: (samples) => samples[writers]!['largeP50Ms']! / samples[writers]!['smallP50Ms']!,
  };
}

/**
 * The two stores take turns, some milliseconds each: what disturbs the disk disturbs both. A number of appends rather
 * than a time, so that the small store stays small.
 */
async function inTurn(small: Store, large: Store, writers: number): Promise<Sample> {
  const latencies = { small: [] as number[], large: [] as number[] };
  for (let turn = 0; turn < TURNS; turn++) {
    for (const size of turn % 2 === 0 ? (['small', 'large'] as const) : (['large', 'small'] as const)) {
      const store = size === 'small' ? small : large;
      await Promise.all(
        Array.from({ length: writers }, async () => {
          for (let call = 0; call < 20; call++) {
            const started = performance.now();
            await store.append(call % 2 === 0);
            latencies[size].push(performance.now() - started);
          }
        }),
      );
    }
  }
  const [little, much] = [summary(latencies.small), summary(latencies.large)];
  return { smallP50Ms: little.p50Ms, largeP50Ms: much.p50Ms, smallP99Ms: little.p99Ms, largeP99Ms: much.p99Ms };
}

interface Store {
  /** Appends one event, to a stream of its own or to one that is there. */
  append(opening: boolean): Promise<bigint>;
  close(): Promise<void>;
}

async function openStore(bench: Bench, atLeast: number): Promise<Store> {
  const url = await bench.database();
  const begin = performance.now();
  const events = await fillOrders(url, { atLeast, readModel: false });
  const seconds = ((performance.now() - begin) / 1_000).toFixed(0);
  const { sizes, streams } = await look(url, events / EVENTS_PER_ORDER);
  bench.note(`P10: ${events.toLocaleString('en')} events, written in ${seconds} s: ${sizes}`);
  const ids = new SystemIds();
  const store = await PostgresEventStore.open({ url, clock: new SystemClock() });
  let round = 0;
  return {
    append(opening) {
      const id = ids.next();
      // Each stream of the lot has its turn before one has its second: writers never meet in one.
      const turn = opening ? 0 : round++;
      const [stream, expected] = opening
        ? ([`order-${id}`, 'none'] as const)
        : ([streams[turn % streams.length]!, EVENTS_PER_ORDER - 1 + Math.floor(turn / streams.length)] as const);
      const metadata = { correlationId: id, causationId: id, schema: 1 };
      return store.append([{ stream, expected, events: [{ id, type: 'OrderPaymentCaptured', data: {}, metadata }] }]);
    },
    close: () => store.close(),
  };
}

/** The size of a store in words, and streams drawn from all over it. */
async function look(url: string, orders: number): Promise<{ sizes: string; streams: string[] }> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows: sizes } = await client.query<{ events: string; stream: string; position: string }>(
      `SELECT pg_size_pretty(pg_relation_size('event_store.events')) AS events,
              pg_size_pretty(pg_relation_size('event_store.events_stream_revision_key')) AS stream,
              pg_size_pretty(pg_relation_size('event_store.events_pkey')) AS position`,
    );
    const { rows: streams } = await client.query<{ stream: string }>(
      `SELECT 'order-' || ${orderId('n')} AS stream FROM generate_series(0, ${orders - 1}) AS n
       ORDER BY md5(n::text) LIMIT 200000`,
    );
    const { events, stream, position } = sizes[0]!;
    return {
      sizes: `${events}, index by stream ${stream}, index by position ${position}`,
      streams: streams.map((row) => row.stream),
    };
  } finally {
    await client.end();
  }
}
