/** A broker that wants TLS and a password, and what a service says of a Kafka that it cannot use. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import { rootCertificates } from 'node:tls';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { createTopics } from '../scripts/topics.js';
import { freshDatabase } from './support/database.js';
import { expectInvariants } from './support/invariants.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing, plainKafka } from './support/kafka.js';
import { openShop } from './support/shop.js';

const USER = 'larder';
const PASSWORD = 'p@ss:w/rd 100%';

describe.skipIf(kafkaMissing)('a service and a Kafka that is', () => {
  let kafka: KafkaBroker;
  beforeAll(async () => {
    kafka = await kafkaForTests({ secure: { user: USER, password: PASSWORD } });
  }, KAFKA_STARTS_MS);
  afterAll(() => kafka?.stop());

  /** What the order service, which must not start, says on stderr, and its exit code. */
  async function refusal(busUrl: string): Promise<{ stderr: string; code: number }> {
    const database = await freshDatabase('order');
    const urls = {
      EVENT_STORE_URL: database,
      DATABASE_URL: database,
      MESSAGE_BUS_URL: busUrl,
      CUSTOMER_KEYS_URL: database,
      AUTH_ISSUER: 'http://localhost:3000',
    };
    // As the image and `npm start` run it: kafkajs sets a timer in the past, of which Node 24 would warn on stderr.
    const service = spawn(
      process.execPath,
      ['--disable-warning=TimeoutNegativeWarning', 'dist/apps/order/src/main.js'],
      {
        env: { ...process.env, ...urls, PORT: '0' },
        stdio: ['ignore', 'ignore', 'pipe'],
        timeout: 15_000,
      },
    );
    const [stderr, [code]] = await Promise.all([text(service.stderr), once(service, 'exit') as Promise<[number]>]);
    return { stderr, code };
  }

  const oneLine = (remedy: string) =>
    expect.stringMatching(new RegExp(`^order cannot start: MESSAGE_BUS_URL: [^\\n]*${remedy}[^\\n]*\\n$`));

  describe('not set up', () => {
    afterEach(async () => {
      const admin = plainKafka(kafka.url).admin();
      await admin.connect();
      await admin.deleteTopics({ topics: (await admin.listTopics()).filter((topic) => topic.endsWith('.v1')) });
      await admin.disconnect();
    });

    test('the error names a missing topic and the command that creates it', async () => {
      const { stderr, code } = await refusal(kafka.url);
      expect({ stderr, code }).toEqual({ stderr: oneLine('order\\.events\\.v1.*npm run topics'), code: 78 });
    });

    test('the error names a topic with too few partitions and how to recreate it', async () => {
      const admin = plainKafka(kafka.url).admin();
      await admin.connect();
      const narrow = ['order.events.v1', 'inventory.events.v1', 'payment.events.v1'].map((topic) => ({
        topic,
        numPartitions: topic.startsWith('payment') ? 3 : 12,
      }));
      await admin.createTopics({ topics: narrow, waitForLeaders: false });
      await vi.waitFor(() => admin.fetchTopicMetadata({ topics: narrow.map(({ topic }) => topic) }), 10_000);
      await admin.disconnect();
      const { stderr, code } = await refusal(kafka.url);
      expect({ stderr, code }).toEqual({ stderr: oneLine('payment\\.events\\.v1.*\\b3\\b.*npm run topics'), code: 78 });
    });
  });

  describe('behind TLS and a password', () => {
    beforeAll(async () => void (await createTopics(kafka.url)));

    test('a checkout completes', async () => {
      const shop = await openShop({ busUrl: kafka.secureUrl() });
      try {
        await shop.setPrices({ honey: 895 });
        await shop.stockUp({ honey: 1 });
        const orderId = await shop.place({ lines: [{ sku: 'honey', quantity: 1 }] });
        expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
        await expectInvariants(shop, [orderId], { honey: 1 });
      } finally {
        await shop.close();
      }
    });

    test.for(['scram-sha-512', 'scram-sha-256', 'plain'])('%s works', async (mechanism) => {
      expect(await createTopics(kafka.secureUrl({ mechanism }))).toEqual([]);
    });

    test('a wrong password', async () => {
      const { stderr, code } = await refusal(kafka.secureUrl({ password: 'wr0ng' }));
      expect({ stderr, code }).toEqual({ stderr: oneLine('[Cc]orrect the user, the password'), code: 78 });
      expect(stderr).not.toContain('wr0ng');
    });

    test('a CA that did not sign its certificate', async () => {
      const ca = `${kafka.ca}.other`;
      writeFileSync(ca, rootCertificates[0]!);
      const { stderr, code } = await refusal(kafka.secureUrl({ ca }));
      expect({ stderr, code }).toEqual({ stderr: oneLine('\\?ca='), code: 78 });
      expect(stderr).not.toContain(encodeURIComponent(PASSWORD));
    });
  });

  test('behind TLS that asks for a certificate of the client', { timeout: KAFKA_STARTS_MS }, async () => {
    const strict = await kafkaForTests({ secure: { user: USER, password: PASSWORD, mutualTls: true } });
    try {
      expect(await createTopics(strict.secureUrl())).toHaveLength(3);
      const { stderr, code } = await refusal(strict.secureUrl({ cert: undefined, key: undefined }));
      expect({ stderr, code }).toEqual({ stderr: oneLine('certificate'), code: 78 });
    } finally {
      await strict.stop();
    }
  });
});
