/** A cluster of three brokers that lose and get back one of them: its partitions and groups are led by others meanwhile. */
import { randomUUID } from 'node:crypto';
import type { Admin } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KafkaBroker } from '../../../../scripts/lib/kafka-broker.js';
import { KAFKA_STARTS_MS, kafkaClusterForTests, kafkaMissing, plainKafka } from '#test/kafka';
import { silentLog, supervise, SystemClock } from '#runtime';
import { SeededRandom } from '#runtime/testing';
import { message, numberOf, until } from '../contract.js';
import { createTopics, KafkaMessageBus } from './message-bus.js';
import type { Delivered } from '../port.js';

/** All of them with `LEADERS=all`: one that is started again takes a while to have everything. */
const kills = process.env['LEADERS'] === 'all' ? 3 : 1;

describe.skipIf(kafkaMissing)('on a cluster of three', () => {
  const random = new SeededRandom(1);
  const runtime = { clock: new SystemClock(), random, log: silentLog };
  let nodes: KafkaBroker[] = [];
  let url: string;
  let admin: Admin;
  beforeAll(async () => {
    nodes = await kafkaClusterForTests();
    url = `kafka://${nodes.map((node) => new URL(node.url).host).join()}`;
    admin = plainKafka(url).admin();
    await admin.connect();
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await admin?.disconnect();
    await Promise.all(nodes.map((node) => node.stop()));
  });

  test('one broker after the other is killed: what was acknowledged is delivered, each key keeps its order, and nobody has to start again', async () => {
    const topic = `t-${randomUUID()}`;
    await createTopics(url, [topic], runtime);
    const partitionsOf = async (name: string) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
      return topics[0]!.partitions;
    };
    for (const { replicas } of await partitionsOf(topic)) expect(replicas).toHaveLength(3);

    const open = () => KafkaMessageBus.open({ ...runtime, url, topics: [topic] });
    const [sending, one, two] = [await open(), await open(), await open()];
    const seen: Delivered[] = [];
    const group = randomUUID();
    const stop = new AbortController();
    const members = [one, two].map((bus) =>
      supervise(group, runtime, stop.signal, (signal) =>
        bus.consume({ group, topics: [topic], signal, handle: async (batch) => void seen.push(...batch) }),
      ),
    );

    const acknowledged = new Map<string, number>();
    let publishing = true;
    let longestPauseMs = 0;
    /** A relay, and what is published again beside it, share a bus. Each repeats what was not acknowledged. */
    const publishers = ['relay', 'again'].map(async (name) => {
      const keys = Array.from({ length: 20 }, (_, i) => `${name}-${i}`);
      for (let lastMs = performance.now(); publishing;) {
        const some = keys.filter(() => random.next() < 0.5);
        const batch = some.map((key) => message(key, acknowledged.get(key) ?? 0));
        await until(() => sending.publish(topic, batch), 60_000);
        for (const key of some) acknowledged.set(key, (acknowledged.get(key) ?? 0) + 1);
        longestPauseMs = Math.max(longestPauseMs, performance.now() - lastMs);
        lastMs = performance.now();
        await runtime.clock.sleep(50);
      }
    });
    const total = () => [...acknowledged.values()].reduce((sum, n) => sum + n, 0);
    const workGoesOn = async () => {
      const [published, handled] = [total(), seen.length];
      await until(() => expect(Math.min(total() - published, seen.length - handled)).toBeGreaterThan(100), 60_000);
    };

    await workGoesOn();
    for (const [i, node] of nodes.slice(0, kills).entries()) {
      const leads = async () => (await partitionsOf(topic)).filter(({ leader }) => leader === i + 1).length;
      await until(async () => expect(await leads()).toBeGreaterThan(0));
      await node.kill();
      await until(async () => expect(await leads()).toBe(0), 60_000);
      await workGoesOn();
      if (i + 1 === kills) break;
      await node.start();
      await until(async () => {
        const partitions = (await Promise.all([topic, '__consumer_offsets'].map(partitionsOf))).flat();
        for (const { isr } of partitions) expect(isr).toHaveLength(3);
      }, 60_000);
    }
    publishing = false;
    await Promise.all(publishers);
    console.log(`${total()} messages; publishing paused for at most ${(longestPauseMs / 1_000).toFixed(1)} s.`);

    const distinct = () => new Set(seen.map(({ id }) => id)).size;
    await until(() => expect(distinct()).toBe(total()), 60_000);
    for (const [key, count] of acknowledged) {
      const firsts = [...new Set(seen.filter((each) => each.key === key).map(numberOf))];
      expect(firsts, `messages of ${key}`).toEqual(Array.from({ length: count }, (_, n) => n));
    }
    expect(longestPauseMs).toBeLessThan(20_000);
    stop.abort();
    await Promise.all(members);
    await Promise.all([sending, one, two].map((bus) => bus.close()));
  }, 180_000);
});
