/** Every ending of a checkout, with messages on Kafka. */
import { afterAll, beforeAll, describe } from 'vitest';
import type { KafkaBroker } from '../scripts/kafka-broker.js';
import { createTopics } from '../scripts/topics.js';
import { endings } from './endings.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing } from './kafka.js';
import { openShop } from './shop.js';

describe.skipIf(kafkaMissing)('on Kafka', () => {
  let kafka: KafkaBroker;
  beforeAll(async () => {
    kafka = await kafkaForTests();
    await createTopics(kafka.url);
  }, KAFKA_STARTS_MS);
  afterAll(() => kafka?.stop());

  endings(() => openShop({ busUrl: kafka.url }));
});
