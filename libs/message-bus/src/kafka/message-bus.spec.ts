/** On a real broker: see test/support/kafka.ts for what that takes. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admin, Kafka, KafkaMessage } from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import type { KafkaBroker } from '../../../../scripts/lib/kafka-broker.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing, plainKafka } from '#test/kafka';
import { type Clock, silentLog, supervise, SystemClock } from '#runtime';
import { ManualClock, SeededRandom } from '#runtime/testing';
import { message, messageBusContract, numberOf, until } from '../contract.js';
import { createTopics, KafkaMessageBus } from './message-bus.js';
import { partitionOf } from '../partitions.js';
import { type Delivered, MALFORMED } from '../port.js';

describe.skipIf(kafkaMissing)('on Kafka', () => {
  const runtime = { clock: new SystemClock(), random: new SeededRandom(1), log: silentLog };
  let broker: KafkaBroker;
  let kafka: Kafka;
  let admin: Admin;
  beforeAll(async () => {
    broker = await kafkaForTests();
    kafka = plainKafka(broker.url);
    admin = kafka.admin();
    await admin.connect();
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await admin?.disconnect();
    await broker?.stop();
  });

  let stop: AbortController;
  beforeEach(() => void (stop = new AbortController()));
  afterEach(() => stop.abort());

  const open = (topics: string[] = [], clock: Clock = runtime.clock) =>
    KafkaMessageBus.open({ url: broker.url, clock, log: silentLog, topics });

  async function freshTopic(numPartitions = 12): Promise<string> {
    const topic = `t-${randomUUID()}`;
    await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: false });
    await until(() => admin.fetchTopicOffsets(topic)); // Every partition has a leader that answers.
    return topic;
  }

  messageBusContract('KafkaMessageBus', async () => ({ open, topic: freshTopic }));

  test('offsets are committed together: in a moment, and at once when the group shares its partitions anew', async () => {
    const [topic, group, clock, keys] = [await freshTopic(), randomUUID(), new ManualClock(), ['a', 'b', 'c', 'd']];
    const [member, joining] = [await open([], clock), await open()];
    const seen: string[] = [];
    const consume = (bus: KafkaMessageBus) => {
      const handle = async (batch: readonly Delivered[]) => void seen.push(...batch.map(({ id }) => id));
      return bus.consume({ group, topics: [topic], signal: stop.signal, handle });
    };
    const publish = async (n: number) => {
      for (const key of keys) await member.publish(topic, [message(key, n)]);
      await until(() => expect(seen).toHaveLength((n + 1) * keys.length));
    };
    const unread = async () => (await member.unread(group, [topic])).map((partition) => partition.unread);
    const consuming = consume(member);
    await publish(0);
    expect(await unread()).toEqual(keys.map(() => 1));
    await until(async () => {
      await clock.advance(500);
      expect(await unread()).toEqual([]);
    });

    await publish(1);
    expect(await unread()).toEqual(keys.map(() => 1));
    const too = consume(joining);
    await until(async () => expect(await unread()).toEqual([]));
    await publish(2);
    expect(new Set(seen).size).toBe(seen.length);
    stop.abort();
    await Promise.all([consuming, too]);
    await Promise.all([member.close(), joining.close()]);
  });

  test("records are CloudEvents in binary mode, in the partitions that Kafka's own clients choose", async () => {
    const topic = await freshTopic();
    const bus = await open();
    const keys = Array.from({ length: 30 }, (_, i) => `order-${i}`);
    await bus.publish(
      topic,
      keys.map((key) => message(key, 1)),
    );
    const reader = kafka.consumer({ groupId: randomUUID(), maxWaitTimeInMs: 100 });
    const read: (KafkaMessage & { partition: number })[] = [];
    await reader.connect();
    await reader.subscribe({ topics: [topic], fromBeginning: true });
    await reader.run({ eachMessage: async ({ partition, message }) => void read.push({ ...message, partition }) });
    await until(() => expect(read).toHaveLength(keys.length));
    await Promise.all([reader.disconnect(), bus.close()]);
    for (const { key, headers, value, partition } of read) {
      const texts = Object.fromEntries(Object.entries(headers!).map(([name, text]) => [name, String(text)]));
      expect(texts).toMatchObject({
        ce_specversion: '1.0',
        ce_id: `${key}/1`,
        ce_type: 'Tested',
        ce_subject: `${key}`,
      });
      expect(String(value)).toBe('{"n":1}');
      expect(partition).toBe(partitionOf(String(key), 12));
    }
  });

  test('a malformed record is delivered as such, and so is the message after it', async () => {
    const topic = await freshTopic(1);
    const bus = await open();
    const producer = kafka.producer();
    await producer.connect();
    await producer.send({ topic, messages: [{ key: 'a', value: 'hello' }] });
    await producer.disconnect();
    await bus.publish(topic, [message('a', 1)]);
    const seen = collect(bus, topic);
    await until(() => expect(seen.map(({ type }) => type)).toEqual([MALFORMED, 'Tested']));
    await bus.close();
  });

  test('many large messages are more than one batch of records, and arrive in order', async () => {
    const topic = await freshTopic();
    const bus = await open();
    const large = Array.from({ length: 40 }, (_, n) => ({
      ...message('a', n),
      data: { n, text: 'x'.repeat(100_000) },
    }));
    await bus.publish(topic, large);
    const seen = collect(bus, topic);
    await until(() => expect(seen.map(numberOf)).toEqual(large.map((_, n) => n)));
    await bus.close();
  });

  test.for(['gzip', 'snappy', 'lz4', 'zstd'])('a topic whose records are compressed with %s is read', async (codec) => {
    const topic = `t-${randomUUID()}`;
    // The brokers compress what they are sent.
    const configEntries = [{ name: 'compression.type', value: codec }];
    await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }], waitForLeaders: false });
    await until(() => admin.fetchTopicMetadata({ topics: [topic] }));
    const bus = await open();
    // Several blocks of each codec, of what compresses well and of what does not.
    const random = new SeededRandom(7);
    const noise = Array.from({ length: 200_000 }, () => Math.floor(random.next() * 36).toString(36)).join('');
    const texts = ['', 'ä€😀', 'x'.repeat(400_000), noise];
    await bus.publish(
      topic,
      texts.map((text, n) => ({ ...message('a', n), data: { n, text } })),
    );
    const seen = collect(bus, topic);
    await until(() => expect(seen.map(({ data }) => (data as { text: string }).text)).toEqual(texts));
    await bus.close();
  });

  test('topics are made by a command, and a missing or a narrow one is named', async () => {
    const [one, narrow] = [`t-${randomUUID()}`, await freshTopic(3)];
    await expect(open([one])).rejects.toThrow(`Kafka lacks the topic ${one}. Run \`npm run topics\`.`);
    expect(await createTopics(broker.url, [one], runtime)).toEqual([one]);
    expect(await createTopics(broker.url, [one], runtime)).toEqual([]);
    await (await open([one])).close();
    await expect(createTopics(broker.url, [narrow], runtime)).rejects.toMatchObject({
      name: 'ServerRefusal',
      message: expect.stringMatching(/has 3 partitions, and 12 are needed/),
    });
    await expect(open([one, narrow])).rejects.toThrow(`${narrow} has 3 partitions`);

    const bus = await open();
    const nowhere = `t-${randomUUID()}`;
    await expect(bus.publish(nowhere, [message('a', 0)])).rejects.toThrow();
    await expect(
      bus.consume({ group: 'g', topics: [nowhere], handle: async () => {}, signal: new AbortController().signal }),
    ).rejects.toThrow();
    expect(await admin.listTopics()).not.toContain(nowhere);
    await bus.close();
  });

  test('one of several brokers in the URL that is down at the start holds nothing up', async () => {
    const topic = await freshTopic();
    const down = `127.0.0.1:${await freePort()}`;
    const bus = await KafkaMessageBus.open({
      url: `kafka://${down},${new URL(broker.url).host}`,
      clock: runtime.clock,
      log: silentLog,
      topics: [topic],
    });
    await bus.publish(topic, [message('a', 0)]);
    const seen = collect(bus, topic);
    await until(() => expect(seen.map(numberOf)).toEqual([0]));
    await bus.close();
  });

  test('a topic that grows is noticed, once, and told at every ping', async () => {
    const topic = await freshTopic();
    const errors: object[] = [];
    const log = { ...silentLog, error: (fields: object) => void errors.push(fields) };
    const bus = await KafkaMessageBus.open({ url: broker.url, clock: runtime.clock, log, topics: [topic] });
    expect(await bus.ping()).toEqual({});
    await admin.createPartitions({ topicPartitions: [{ topic, count: 24 }] });
    const grown = { topic, before: 12, partitions: 24 };
    await until(async () => expect(await bus.ping()).toEqual({ grown: [grown] }));
    await bus.ping();
    await bus.publish(topic, [message('a', 0)]);
    expect(errors).toEqual([grown]);
    await bus.close();
  });

  describe('while the broker is away', () => {
    const clock = new ManualClock();
    const ending = new AbortController();
    let topic: string;
    let bus: KafkaMessageBus;
    let consuming: KafkaMessageBus;
    /** Of a batch that was begun before, and does not end. */
    let lost: AbortSignal | undefined;
    beforeAll(async () => {
      topic = await freshTopic();
      [bus, consuming] = await Promise.all([open([topic]), open([], clock)]);
      const ended = consuming.consume({
        group: randomUUID(),
        topics: [topic],
        signal: ending.signal,
        handle: (_, signal) => {
          lost = signal;
          return new Promise(() => {});
        },
      });
      ended.catch(() => {}); // The broker is gone: how it ends is of no interest.
      await bus.publish(topic, [message('a', 0)]);
      await until(() => expect(lost).toBeDefined());
      await broker.kill();
    });
    afterAll(async () => {
      ending.abort();
      await Promise.all([bus?.close(), consuming?.close()]);
    });

    test('a batch is given up when the member has sent no heartbeat for a session', async () => {
      await clock.advance(9_000);
      await sleep(50); // Time for a wrong abort to happen.
      expect(lost!.aborted).toBe(false);
      await until(async () => {
        await clock.advance(500);
        expect(lost!.aborted).toBe(true);
      });
    });

    test('publish and ping fail after some seconds; both work again when it is back', async () => {
      const unavailable = { name: 'ServerUnavailable' };
      await Promise.all([
        expect(bus.publish(topic, [message('a', 1)])).rejects.toMatchObject(unavailable),
        expect(bus.ping()).rejects.toMatchObject(unavailable),
      ]);
      await broker.start();
      await until(() => bus.ping());
      await until(() => bus.publish(topic, [message('a', 1)]));
      const seen = collect(bus, topic);
      await until(() => expect(new Set(seen.map(numberOf))).toEqual(new Set([0, 1])));
    }, 60_000);
  });

  test('the broker is killed twice under load: nothing is lost, and each key keeps its order', async () => {
    const topic = await freshTopic();
    const [sending, one, two] = [await open(), await open(), await open()];
    const seen: Delivered[] = [];
    const group = randomUUID();
    const members = [one, two].map((bus) =>
      supervise(group, runtime, stop.signal, (signal) =>
        bus.consume({ group, topics: [topic], signal, handle: async (batch) => void seen.push(...batch) }),
      ),
    );
    const keys = Array.from({ length: 40 }, (_, i) => `order-${i}`);
    let kills = 0;
    let rounds = 0;
    const publishing = (async () => {
      for (; kills < 2 || rounds % 50 > 0; rounds++) {
        const batch = keys.map((key) => message(key, rounds));
        // As the relay does it: what was not acknowledged is sent again.
        await until(() => sending.publish(topic, batch), 60_000);
        await sleep(5);
      }
    })();
    for (; kills < 2; kills++) {
      const before = seen.length;
      await until(() => expect(seen.length).toBeGreaterThan(before + 400), 60_000);
      await broker.kill();
      await broker.start();
    }
    await publishing;
    const ids = () => new Set(seen.map(({ id }) => id));
    await until(() => expect(ids().size).toBe(rounds * keys.length), 60_000);
    stop.abort();
    await Promise.all(members);
    await Promise.all([sending, one, two].map((bus) => bus.close()));
    for (const key of keys) {
      const firsts = [...new Set(seen.filter((each) => each.key === key).map(numberOf))];
      expect(firsts, `messages of ${key}`).toEqual(Array.from({ length: rounds }, (_, n) => n));
    }
  }, 180_000);

  /** Collects what a new group is given, until the test ends. */
  function collect(bus: KafkaMessageBus, topic: string): Delivered[] {
    const seen: Delivered[] = [];
    const group = randomUUID();
    const handle = async (batch: readonly Delivered[]) => void seen.push(...batch);
    void supervise(group, runtime, stop.signal, (signal) => bus.consume({ group, topics: [topic], handle, signal }));
    return seen;
  }
});
