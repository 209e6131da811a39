/** Every ending of a checkout, with messages on Kafka. */
import { afterAll, beforeAll, describe } from 'vitest';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { createTopics } from '../scripts/topics.js';
import { endings } from './support/endings.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing } from './support/kafka.js';
import { openShop } from './support/shop.js';

describe.skipIf(kafkaMissing)('on Kafka', () => {
  let kafka: KafkaBroker;
  beforeAll(async () => {
    kafka = await kafkaForTests();
    await createTopics(kafka.url);
  }, KAFKA_STARTS_MS);
  afterAll(() => kafka?.stop());

  endings(() => openShop({ busUrl: kafka.url }));
});
