/**
 * The message bus on Kafka, by kafkajs. Only this folder knows it:
 *
 *   url.ts      where the brokers are, and how to authenticate
 *   client.ts   the client, and its topics
 *   record.ts   messages as records: CloudEvents in binary mode
 *   codecs.ts   records that are compressed
 *   member.ts   one instance of a consumer group
 *   errors.ts   what kafkajs's errors mean
 */
import type { Admin, Kafka, Producer, TopicPartitionOffset } from 'kafkajs';
import { type Clock, type Log, ServerUnavailable, within } from '#runtime';
import { assertTopics, kafkaAt } from './client.js';
import { translateError } from './errors.js';
import { KafkaMember } from './member.js';
import { type KafkaRecord, MAX_VALUE_BYTES, recordOf } from './record.js';
import { partitionOf } from '../partitions.js';
import { type ConsumeOptions, type Grown, type Message, MessageBus, redeliveryPauseMs, type Unread } from '../port.js';

export { createTopics } from './client.js';

export interface KafkaMessageBusOptions {
  /** `kafka://host:port,host:port`, or `kafkas://` for TLS: see `url.ts`. */
  readonly url: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Topics that must exist. */
  readonly topics: readonly string[];
}

/** How long the brokers may take to acknowledge messages: less than a service may take to stop. */
const SEND_MS = 8_000;
/** How often they are sent again within that time: some of the leaders may have moved to other brokers. */
const RESENDS = 4;

/** The approximate size of a record's headers and key; MAX_VALUE_BYTES leaves room for it below the brokers' limit. */
const RECORD_OVERHEAD_BYTES = 500;

const GROWN =
  'The topic has got more partitions, so keys have changed theirs: messages of orders under way may overtake each other.';

export class KafkaMessageBus extends MessageBus {
  private readonly kafka: Kafka;
  private readonly admin: Admin;
  private readonly members = new Map<KafkaMember, Promise<void>>();
  private producer: Promise<Producer> | undefined;
  /** How many partitions each topic had when it was first seen, and those that have more by now. */
  private readonly partitions = new Map<string, number>();
  private readonly grown = new Map<string, Grown>();
  private closed = false;

  private constructor(private readonly options: KafkaMessageBusOptions) {
    super();
    this.kafka = kafkaAt(options.url, options.log);
    this.admin = this.kafka.admin();
  }

  /** @throws ServerRefusal when the URL, the credentials or the topics are not right; ServerUnavailable */
  static async open(options: KafkaMessageBusOptions): Promise<KafkaMessageBus> {
    const bus = new KafkaMessageBus(options);
    try {
      await bus.admin.connect();
      await bus.ping();
      return bus;
    } catch (error) {
      await bus.close();
      throw translateError(error);
    }
  }

  /** @throws ServerUnavailable after some seconds without the brokers; some of the messages may have been written then */
  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    for (const records of batchesOf(messages.map(recordOf))) await this.send(topic, records);
  }

  /**
   * When a broker has not acknowledged its part, all of them are sent again, by a new producer: some are written twice then,
   * in the same order.
   */
  private async send(topic: string, messages: KafkaRecord[]): Promise<void> {
    const { clock } = this.options;
    const giveUpAtMs = clock.monotonicMs() + SEND_MS;
    const tooLate = () => {
      throw new ServerUnavailable(`Kafka has acknowledged nothing for ${SEND_MS} ms.`);
    };
    for (let failures = 0; ; failures++) {
      this.assertOpen();
      const producer = (this.producer ??= this.openProducer());
      let isOpen = false;
      const sending = producer.then((opened) => {
        isOpen = true;
        return opened.send({ topic, messages, acks: -1 });
      });
      try {
        await within(clock, giveUpAtMs - clock.monotonicMs(), () => sending, tooLate);
        return;
      } catch (error) {
        if (this.producer === producer) this.producer = undefined;
        void discard(producer, sending);
        const failure = translateError(error);
        const pauseMs = redeliveryPauseMs(failures);
        const isInTime = failures < RESENDS && clock.monotonicMs() + pauseMs < giveUpAtMs;
        // Connecting is not tried again here: the client has done that.
        if (!isOpen || !isInTime || !(failure instanceof ServerUnavailable)) throw failure;
        await clock.sleep(pauseMs);
      }
    }
  }

  private async openProducer(): Promise<Producer> {
    const producer = this.kafka.producer({
      // A send that fails is repeated by us, as a whole. kafkajs would lose messages: it skips those of a partition that has
      // moved to a broker which has acknowledged its own part (tulios/kafkajs#1303). And as it takes sequence numbers back,
      // an idempotent producer lets brokers take what is published at the same time for a repetition, and drop it.
      idempotent: false,
      retry: { retries: 0 },
      allowAutoTopicCreation: false,
      createPartitioner:
        () =>
        ({ topic, message, partitionMetadata }) => {
          this.notice(topic, partitionMetadata.length);
          return partitionOf(String(message.key), partitionMetadata.length);
        },
    });
    await producer.connect();
    return producer;
  }

  override async consume(options: ConsumeOptions): Promise<void> {
    this.assertOpen();
    const member = new KafkaMember(this.kafka, options, this.options.clock, this.options.log);
    const consuming = member.consume();
    this.members.set(member, consuming);
    try {
      await consuming;
    } finally {
      this.members.delete(member);
    }
  }

  override async rewind(group: string, topics: readonly string[]): Promise<void> {
    this.assertOpen();
    try {
      const { groups } = await this.admin.describeGroups([group]);
      const state = groups[0]?.state;
      if (state === 'Dead') return; // Kafka's word for a group that does not exist.
      if (state !== 'Empty') throw new Error(`The group ${group} is consuming: stop its instances, then rewind it.`);
      await this.commit(group, (await Promise.all(topics.map((topic) => this.beginningOf(topic)))).flat());
    } catch (error) {
      throw translateError(error);
    }
  }

  private async beginningOf(topic: string): Promise<TopicPartitionOffset[]> {
    const partitions = await this.admin.fetchTopicOffsets(topic);
    return partitions.map(({ partition, low }) => ({ topic, partition, offset: low }));
  }

  /** Commits as a short-lived member of the group: kafkajs's admin can do it too, but takes five seconds for each topic. */
  private async commit(group: string, offsets: TopicPartitionOffset[]): Promise<void> {
    const member = this.kafka.consumer({ groupId: group, maxWaitTimeInMs: 10 });
    try {
      await member.connect();
      await member.subscribe({ topics: [...new Set(offsets.map(({ topic }) => topic))] });
      await member.run({ autoCommit: false, eachBatchAutoResolve: false, eachBatch: async () => {} });
      await member.commitOffsets(offsets);
    } finally {
      await member.disconnect();
    }
  }

  override async unread(group: string, topics: readonly string[]): Promise<readonly Unread[]> {
    this.assertOpen();
    try {
      const committed = await this.admin.fetchOffsets({ groupId: group, topics: [...topics] });
      const found = committed.map(async ({ topic, partitions }) => {
        const ends = await this.admin.fetchTopicOffsets(topic);
        return ends.flatMap(({ partition, low, high }) => {
          const offset = partitions.find((it) => it.partition === partition)?.offset ?? '-1';
          // What a group has not begun, it begins at the beginning; Kafka's word for that is -1.
          const next = BigInt(offset) < BigInt(low) ? BigInt(low) : BigInt(offset);
          const unread = Number(BigInt(high) - next);
          return unread > 0 ? [{ topic, partition, done: next - 1n, unread }] : [];
        });
      });
      return (await Promise.all(found)).flat();
    } catch (error) {
      throw translateError(error);
    }
  }

  override async ping(): Promise<{ grown?: readonly Grown[] }> {
    this.assertOpen();
    const known = await assertTopics(this.admin, this.options.topics);
    for (const [topic, partitions] of known) this.notice(topic, partitions);
    return this.grown.size > 0 ? { grown: [...this.grown.values()] } : {};
  }

  /** A topic can get more partitions at any time, and nobody asks the shop. */
  private notice(topic: string, partitions: number): void {
    const before = this.partitions.get(topic);
    if (before === undefined) this.partitions.set(topic, partitions);
    else if (partitions > (this.grown.get(topic)?.partitions ?? before)) {
      const grown = { topic, before, partitions };
      this.grown.set(topic, grown);
      this.options.log.error(grown, GROWN);
    }
  }

  /** The offsets of batches under way are not stored, and their partitions are free for other instances at once. */
  override async close(): Promise<void> {
    this.closed = true;
    const members = [...this.members];
    members.forEach(([member]) => member.giveUp(new Error('This message bus is closed.')));
    await Promise.allSettled([
      ...members.map(([, consuming]) => consuming),
      this.producer?.then((producer) => producer.disconnect()),
      this.admin.disconnect(),
    ]);
  }

  private assertOpen(): void {
    if (this.closed) throw new Error('This message bus is closed.');
  }
}

/** Disconnects twice: a send that is still under way fails at the first time, and makes the client connect once more. */
async function discard(producer: Promise<Producer>, sending: Promise<unknown>): Promise<void> {
  const disconnect = () => producer.then((opened) => opened.disconnect()).catch(() => {});
  await disconnect();
  await sending.catch(() => {});
  await disconnect();
}

/** Splits records into batches that a broker accepts: its limit for a single record applies to a batch as well. */
function* batchesOf(records: readonly KafkaRecord[]): Iterable<KafkaRecord[]> {
  let batch: KafkaRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    const size = record.value.length + RECORD_OVERHEAD_BYTES;
    if (batch.length > 0 && bytes + size > MAX_VALUE_BYTES) {
      yield batch;
      batch = [];
      bytes = 0;
    }
    batch.push(record);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
