/** What `npm run erasure:proof` looks into on a Kafka: a name in a compressed batch is in no file, and is found on its topic. */
import { CompressionTypes } from 'kafkajs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SeededRandom } from '#runtime/testing';
import { newPerson } from '../proof/erasure/people.js';
import { searchTopics, Sweep } from '../proof/erasure/places.js';
import { Search } from '../proof/erasure/search.js';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing, plainKafka } from './support/kafka.js';

describe.skipIf(kafkaMissing)('on Kafka', () => {
  let broker: KafkaBroker;
  beforeAll(async () => {
    broker = await kafkaForTests();
  }, KAFKA_STARTS_MS);
  afterAll(() => broker?.stop());

  test('a name is found in the key, the value and a header of a record, of any topic, also in a compressed batch', async () => {
    const { recipient, secrets } = newPerson('here', new SeededRandom(1));
    const [name, email, { city }] = [recipient.name, recipient.email, recipient.address];
    const kafka = plainKafka(broker.url);
    const admin = kafka.admin();
    await admin.connect();
    const topics = ['first', 'second', 'empty'].map((topic) => ({ topic, numPartitions: 3 }));
    await admin.createTopics({ topics, waitForLeaders: true });
    await admin.disconnect();
    const producer = kafka.producer();
    await producer.connect();
    const filling = Array.from({ length: 200 }, () => ({ key: 'a', value: 'the same again' }));
    const messages = [...filling, { key: email, value: JSON.stringify({ name }), headers: { city } }];
    await producer.send({ topic: 'first', messages, compression: CompressionTypes.GZIP });
    await producer.send({ topic: 'second', messages: [{ key: 'a', value: name }] });
    await producer.disconnect();

    const sweep = new Sweep(new Search(secrets));
    await searchTopics(sweep, broker.url);
    const found = sweep.findings.map(({ place, secret }) => `${place}: ${secret.text}`);
    const inFirst = [...name.split(' '), ...email.split(/[@.]/).slice(0, 2), city].map(
      (word) => `topic first: ${word}`,
    );
    const inSecond = name.split(' ').map((word) => `topic second: ${word}`);
    expect(found.sort()).toEqual([...inFirst, ...inSecond].sort());
    expect(sweep.looked.get('records')).toBe(200 * 2 + 3 + 2);
  });
});
