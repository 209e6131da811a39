/** P11: a service's events on their way to Kafka, next to kafkajs alone. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Kafka, logLevel } from 'kafkajs';
import { idOf, type RecordedEvent } from '../../../libs/event-store/src/index.js';
import { PostgresEventStore } from '../../../libs/event-store/src/postgres/index.js';
import { type Message, type MessageBus, relay, wrap } from '../../../libs/message-bus/src/index.js';
import { KafkaMessageBus } from '../../../libs/message-bus/src/kafka/message-bus.js';
import { recordOf } from '../../../libs/message-bus/src/kafka/record.js';
import { MemoryLeases, silentLog, SystemClock, SystemIds, SystemRandom } from '../../../libs/runtime/src/index.js';
import { PostgresCheckpoints, postgresPool } from '../../../libs/runtime/src/postgres/index.js';
import { openBenchKafka } from '../kafka.js';
import { summary } from '../load.js';
import type { Row } from '../row.js';
import { placedOrder } from '../samples.js';

/** Messages that are sent at once: as many as the store gives to a relay that has to catch up. */
const BATCH = 1_000;
const PARTITIONS = 12;
/** Between two appends, where the way of a single event is measured. */
const PAUSE_MS = 5;

export const row: Row = {
  id: 'P11',
  name: 'Relay to Kafka',
  how: `A broker of the run's own, in memory and on the same disk as Postgres. **Larder**: the relay as a service runs it, from its stored checkpoint, here from the beginning: it reads the events from the store, makes messages of them, publishes them in order and moves its checkpoint in Postgres. **Bare kafkajs**: a producer that sends the same messages, ready in memory, in batches of ${BATCH.toLocaleString('en')} one after the other, with the same \`acks: -1\` and, like ours, not idempotent; it reads nothing and keeps no checkpoint. **The hop**: single events, appended every ${PAUSE_MS} ms, from before the append to the handler of a consumer in the same process, over store, relay and broker.`,
  goals: [
    {
      name: "messages per second, of kafkajs's",
      unit: '%',
      atLeast: 70,
      value: ({ larder, bare }) => (100 * larder!['rate']!) / bare!['rate']!,
    },
    {
      name: 'p99 from append to handler',
      unit: 'ms',
      atMost: 20,
      value: ({ hop }) => hop!['p99Ms']!,
      profiled: 'hop',
    },
  ],
  async open(bench) {
    const size = bench.quick ? 5_000 : 50_000;
    const hops = bench.quick ? 100 : 500;
    const runtime = { clock: new SystemClock(), ids: new SystemIds(), random: new SystemRandom(), log: silentLog };
    const broker = await openBenchKafka(bench);
    const kafka = new Kafka({ brokers: [new URL(broker.url).host], logLevel: logLevel.NOTHING });
    const admin = kafka.admin();
    const producer = kafka.producer();
    await Promise.all([admin.connect(), producer.connect()]);

    const url = await bench.database();
    const pool = postgresPool(url);
    await pool.query('CREATE TABLE checkpoints (name text PRIMARY KEY, position bigint NOT NULL)');
    const store = await PostgresEventStore.open({ url, clock: runtime.clock });
    for (let n = 0; n < size; n += BATCH) await Promise.all(Array.from({ length: BATCH }, () => append().done));
    const messages = await everything();
    const bus = await KafkaMessageBus.open({ url: broker.url, clock: runtime.clock, log: silentLog, topics: [] });

    function append(): { id: string; done: Promise<unknown> } {
      const { stream, event } = placedOrder();
      return { id: event.id, done: store.append([{ stream, expected: 'none', events: [event] }]) };
    }

    /** What stands in the store, as messages. */
    async function everything(): Promise<Message[]> {
      const found: Message[] = [];
      const enough = new AbortController();
      for await (const { events } of store.subscribe({ categories: ['order'], after: 0n, signal: enough.signal })) {
        found.push(...events.map(toMessage));
        if (found.length >= size) enough.abort();
      }
      return found;
    }

    async function freshTopic(): Promise<string> {
      const topic = `t-${randomUUID()}`;
      await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }], waitForLeaders: true });
      return topic;
    }

    /** Relays all events, from the first one, until `signal` aborts. Calls `published` with how many messages were acknowledged. */
    function relayUntil(topic: string, signal: AbortSignal, published: (messages: number) => void): Promise<void> {
      const publish: MessageBus['publish'] = async (to, batch) => {
        await bus.publish(to, batch);
        published(batch.length);
      };
      const countingBus = Object.assign(Object.create(bus) as MessageBus, { publish });
      const place = { checkpoints: new PostgresCheckpoints(pool), leases: new MemoryLeases() };
      const route = { name: topic, topic, store, bus: countingBus, categories: ['order'], toMessage };
      return relay({ ...place, ...route, runtime, signal });
    }

    return {
      contenders: {
        async larder() {
          const topic = await freshTopic();
          const head = Number(await store.head());
          const done = new AbortController();
          let published = 0;
          const begin = performance.now();
          await relayUntil(topic, done.signal, (more) => {
            published += more;
            if (published >= head) done.abort();
          });
          return { rate: (published * 1_000) / (performance.now() - begin) };
        },

        async bare() {
          const topic = await freshTopic();
          const begin = performance.now();
          for (let n = 0; n < messages.length; n += BATCH) {
            await producer.send({ topic, messages: messages.slice(n, n + BATCH).map(recordOf), acks: -1 });
          }
          return { rate: (messages.length * 1_000) / (performance.now() - begin) };
        },

        async hop() {
          const topic = await freshTopic();
          const head = Number(await store.head());
          const done = new AbortController();
          const begun = new Map<string, number>();
          const took: number[] = [];
          let received = 0;
          const consuming = bus.consume({
            group: topic,
            topics: [topic],
            signal: done.signal,
            async handle(batch) {
              received += batch.length;
              for (const { id } of batch) {
                const begin = begun.get(id);
                if (begin !== undefined) took.push(performance.now() - begin);
              }
            },
          });
          const relayed = relayUntil(topic, done.signal, () => {});
          await until(() => received >= head); // Events that are already in the store come first.
          for (let n = 0; n < hops; n++) {
            const begin = performance.now();
            const { id, done } = append();
            begun.set(id, begin);
            await done;
            await sleep(PAUSE_MS);
          }
          await until(() => took.length >= hops);
          done.abort();
          await Promise.all([consuming, relayed]);
          return summary(took);
        },
      },
      async close() {
        await Promise.all([bus.close(), producer.disconnect(), admin.disconnect(), store.close()]);
        await pool.end();
        await broker.stop();
      },
    };
  },
};

async function until(come: () => boolean): Promise<void> {
  while (!come()) await sleep(10);
}

function toMessage(event: RecordedEvent): Message {
  return wrap('/order', idOf(event.stream), event, event);
}
