/** A real Kafka for a spec: a broker of its own, in a temporary folder. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { freePort } from '../../scripts/lib/embedded-postgres.js';
import {
  type KafkaBroker,
  type KafkaOptions,
  missingForKafka,
  startKafka,
  startKafkaCluster,
} from '../../scripts/lib/kafka-broker.js';
import { SilentProxy } from './silent-proxy.js';

/** Why no broker is available here, as a clause; undefined when one can: `describe.skipIf(kafkaMissing)(…)`. */
export const kafkaMissing = missingForKafka();

/** How long a broker may take to start, the first time with its download: the timeout of the hook that starts one. */
export const KAFKA_STARTS_MS = 120_000;

/** Starts a broker without topics. It ends with this process at the latest, and `stop` leaves nothing of it. */
export function kafkaForTests(options: Omit<KafkaOptions, 'folder' | 'disposable'> = {}): Promise<KafkaBroker> {
  return startKafka({ ...options, folder: newFolder(), disposable: true });
}

/** Starts a broker that its clients reach through a proxy alone: it names the proxy's port as its own. */
export async function kafkaBehindProxy(): Promise<{ broker: KafkaBroker; proxy: SilentProxy }> {
  const port = await freePort();
  const proxy = new SilentProxy(`kafka://127.0.0.1:${port}`);
  await proxy.open();
  return { broker: await kafkaForTests({ port, advertisedPort: proxy.port }), proxy };
}

/** Starts a cluster of three brokers without topics. They end with this process at the latest, and `stop` leaves nothing of them. */
export function kafkaClusterForTests(): Promise<KafkaBroker[]> {
  return startKafkaCluster([newFolder(), newFolder(), newFolder()]);
}

/** With a name that Java finds only where it is told how such letters are written. */
function newFolder(): string {
  return mkdtempSync(join(tmpdir(), 'larder-kafka-Łódź-'));
}

/** A client that has nothing of our adapter, to look at what the adapter left. */
export function plainKafka(url: string): Kafka {
  return new Kafka({ brokers: url.slice('kafka://'.length).split(','), logLevel: logLevel.NOTHING });
}

export interface PlainRecord {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  /** CloudEvents' id: of the event that the message reports. */
  readonly id: string;
}

/** Everything that stands on these topics now, in the order of each partition. */
export async function recordsOf(url: string, topics: readonly string[]): Promise<PlainRecord[]> {
  const kafka = plainKafka(url);
  const admin = kafka.admin();
  await admin.connect();
  const unread = new Map<string, bigint>();
  for (const topic of topics) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      if (BigInt(high) > BigInt(low)) unread.set(`${topic} ${partition}`, BigInt(high) - 1n);
    }
  }
  await admin.disconnect();
  const records: PlainRecord[] = [];
  if (unread.size === 0) return records;

  const consumer = kafka.consumer({ groupId: randomUUID() });
  await consumer.connect();
  await consumer.subscribe({ topics: [...topics], fromBeginning: true });
  await new Promise<void>((allRead, failed) => {
    consumer.on(consumer.events.CRASH, ({ payload }) => failed(payload.error));
    void consumer.run({
      eachMessage: async ({ topic, partition, message }) => {
        const last = unread.get(`${topic} ${partition}`);
        if (last === undefined) return;
        records.push({ topic, partition, key: `${message.key}`, id: `${message.headers?.['ce_id']}` });
        if (BigInt(message.offset) >= last) unread.delete(`${topic} ${partition}`);
        if (unread.size === 0) allRead();
      },
    });
  });
  await consumer.disconnect();
  return records;
}
