/** Connections to a broker that fall silent: nothing more arrives, and nobody says that they are closed. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KafkaBroker } from '../../../../scripts/lib/kafka-broker.js';
import { KAFKA_STARTS_MS, kafkaBehindProxy, kafkaMissing, plainKafka } from '#test/kafka';
import { type Silence, type SilentProxy, SILENCES } from '#test/silent-proxy';
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
    ({ broker, proxy } = await kafkaBehindProxy());
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await broker?.stop();
    proxy?.close();
  });

  /** Consumes into a list, and begins again after an error, until `stop()`. */
  function collect(bus: KafkaMessageBus, topic: string) {
    const seen: Delivered[] = [];
    const group = randomUUID();
    const stop = new AbortController();
    const handle = async (batch: readonly Delivered[]) => void seen.push(...batch);
    const ended = supervise(group, runtime, stop.signal, (signal) =>
      bus.consume({ group, topics: [topic], handle, signal }),
    );
    return { seen, group, stop: () => (stop.abort(), ended) };
  }

  test.each(silences)(
    'when all connections fall silent (%s), publishing, consuming and questions go on within 15 seconds',
    { timeout: 120_000 },
    async (how) => {
      const topic = `t-${randomUUID()}`;
      await createTopics(broker.url, [topic], runtime);
      const open = () => KafkaMessageBus.open({ ...runtime, url: proxy.through(broker.url), topics: [topic] });
      const [one, two] = [await open(), await open()];
      const { seen, group, stop } = collect(two, topic);
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
      await stop();
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
    const { seen, stop } = collect(bus, topic);
    await until(() => expect(new Set(seen.map(numberOf))).toEqual(new Set([0, 1, 2])));
    await stop();
    await Promise.all([bus.close(), admin.disconnect()]);
    await until(() => expect(proxy.silence()).toBe(0)); // Nothing is left open.
  });

  test('connections that end amid an answer cost nothing but themselves', { timeout: 60_000 }, async () => {
    const topic = `t-${randomUUID()}`;
    await createTopics(broker.url, [topic], runtime);
    const bus = await KafkaMessageBus.open({ ...runtime, url: proxy.through(broker.url), topics: [topic] });
    const { seen, stop } = collect(bus, topic);
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
    await stop();
    await bus.close();
  });
});
