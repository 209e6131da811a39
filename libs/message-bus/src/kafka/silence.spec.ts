/** Connections to a broker that fall silent: nothing more arrives, and nobody says that they are closed. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import type { KafkaBroker } from '../../../../scripts/lib/kafka-broker.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing, plainKafka } from '#test/kafka';
import { type Silence, SilentProxy, SILENCES } from '#test/silent-proxy';
import { silentLog, supervise, SystemClock } from '#runtime';
import { SeededRandom } from '#runtime/testing';
import { message, numberOf, until } from '../contract.js';
import { createTopics, KafkaMessageBus } from './message-bus.js';
import type { Delivered } from '../port.js';

/** All of them with `SILENCE=all`: each takes some eleven seconds. */
const silences: readonly Silence[] = process.env['SILENCE'] === 'all' ? SILENCES : ['both'];

describe.skipIf(kafkaMissing)('on Kafka', () => {
  const runtime = { clock: new SystemClock(), random: new SeededRandom(1), log: silentLog };
  let proxy: SilentProxy;
  let broker: KafkaBroker;
  beforeAll(async () => {
    const port = await freePort();
    proxy = new SilentProxy(`kafka://127.0.0.1:${port}`);
    await proxy.open();
    broker = await kafkaForTests({ port, advertisedPort: proxy.port });
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await broker?.stop();
    proxy?.close();
  });

  test.each(silences)(
    'when all connections fall silent (%s), publishing, consuming and questions go on within 15 seconds',
    { timeout: 120_000 },
    async (how) => {
      const topic = `t-${randomUUID()}`;
      await createTopics(broker.url, [topic], runtime);
      const open = () => KafkaMessageBus.open({ ...runtime, url: proxy.through(broker.url), topics: [topic] });
      const [one, two] = [await open(), await open()];
      const seen: Delivered[] = [];
      const stop = new AbortController();
      const group = randomUUID();
      const handle = async (batch: readonly Delivered[]) => void seen.push(...batch);
      const consuming = supervise(group, runtime, stop.signal, (signal) =>
        two.consume({ group, topics: [topic], handle, signal }),
      );
      await one.publish(topic, [message('a', 0)]);
      await until(() => expect(seen.map(numberOf)).toContain(0));

      expect(proxy.silence({ how })).toBeGreaterThan(3);
      const beganMs = performance.now();
      const seconds = () => Math.round((performance.now() - beganMs) / 100) / 10;
      const after = async (work: () => unknown) => {
        await until(work, 90_000);
        return seconds();
      };
      const [published, asked, consumed] = await Promise.all([
        after(() => one.publish(topic, [message('a', 1)])),
        after(() => Promise.all([one.ping(), two.unread(group, [topic])])),
        after(() => expect(seen.map(numberOf)).toContain(1)),
      ]);
      console.log(`${how}: published after ${published} s, asked after ${asked} s, consumed after ${consumed} s.`);
      expect(Math.max(published, asked, consumed)).toBeLessThan(15);
      stop.abort();
      await consuming;
      await Promise.all([one.close(), two.close()]);
    },
  );

  test('when an acknowledgement is lost, what is published at the same time is not taken for its repetition', async () => {
    const topic = `t-${randomUUID()}`;
    await createTopics(broker.url, [topic], runtime);
    const bus = await KafkaMessageBus.open({ ...runtime, url: proxy.through(broker.url), topics: [topic] });
    const admin = plainKafka(broker.url).admin();
    await admin.connect();
    const written = async () => (await admin.fetchTopicOffsets(topic)).reduce((sum, { high }) => sum + Number(high), 0);
    await bus.publish(topic, [message('a', 0)]);
    proxy.silence({ how: 'to-client' });
    const first = bus.publish(topic, [message('a', 1)]);
    await until(async () => expect(await written()).toBe(2));
    const second = bus.publish(topic, [message('a', 2)]);
    proxy.cutSilent();
    await Promise.all([first, second]);
    const seen = new Set<number>();
    const group = randomUUID();
    const stop = new AbortController();
    const handle = async (batch: readonly Delivered[]) => batch.forEach((each) => seen.add(numberOf(each)));
    const consuming = supervise(group, runtime, stop.signal, (signal) =>
      bus.consume({ group, topics: [topic], handle, signal }),
    );
    await until(() => expect(seen).toEqual(new Set([0, 1, 2])));
    stop.abort();
    await consuming;
    await Promise.all([bus.close(), admin.disconnect()]);
    await until(() => expect(proxy.silence()).toBe(0)); // Nothing is left open.
  });

  test('connections that end amid an answer cost nothing but themselves', { timeout: 60_000 }, async () => {
    const topic = `t-${randomUUID()}`;
    await createTopics(broker.url, [topic], runtime);
    const bus = await KafkaMessageBus.open({ ...runtime, url: proxy.through(broker.url), topics: [topic] });
    const seen: Delivered[] = [];
    const stop = new AbortController();
    const group = randomUUID();
    const handle = async (batch: readonly Delivered[]) => void seen.push(...batch);
    const consuming = supervise(group, runtime, stop.signal, (signal) =>
      bus.consume({ group, topics: [topic], handle, signal }),
    );
    for (const [i, bytes] of [1, 6, 20].entries()) {
      await bus.publish(topic, [message('a', 2 * i)]);
      await until(() => expect(seen.map(numberOf)).toContain(2 * i));
      proxy.cutOff(bytes);
      await Promise.all([
        until(() => bus.publish(topic, [message('a', 2 * i + 1)])),
        until(() => bus.ping()),
        until(() => expect(seen.map(numberOf)).toContain(2 * i + 1)),
      ]);
    }
    stop.abort();
    await consuming;
    await bus.close();
  });
});
