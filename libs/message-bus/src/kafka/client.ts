/** kafkajs as Larder uses it. */
import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import {
  type Admin,
  type AdminConfig,
  type Consumer,
  type ConsumerConfig,
  type ISocketFactory,
  Kafka,
  type KafkaConfig,
  type logCreator,
  logLevel,
  type Producer,
  type ProducerConfig,
} from 'kafkajs';
import { type Clock, type Log, ServerRefusal } from '#runtime';
import { deliverWholeAnswers } from './answers.js';
import { readEveryCompression } from './codecs.js';
import { translateError, typeOf } from './errors.js';
import { PARTITIONS } from '../partitions.js';
import { connectionOf } from './url.js';

/** @throws ServerRefusal when the URL cannot be used */
export function kafkaAt(url: string, log: Log): Kafka {
  readEveryCompression();
  return new PromptKafka({
    ...connectionOf(url),
    clientId: 'larder',
    connectionTimeout: 3_000,
    authenticationTimeout: 5_000,
    requestTimeout: 10_000,
    // A broker that restarts is back in 4 to 10 s. Our callers retry, so a few seconds are enough here.
    retry: { initialRetryTime: 100, maxRetryTime: 1_000, retries: 4 },
    logLevel: logLevel.ERROR,
    logCreator: logDeletedMessages(log),
  });
}

/**
 * kafkajs repeats a request that was not answered over the same connection, for as long as that says nothing. Here the
 * broker that left it unanswered loses all of our connections: what makes one of them fall silent rarely hits it alone, and
 * what is to be repeated goes over new ones.
 */
class PromptKafka extends Kafka {
  /** The brokers at the other ends. */
  private readonly brokers: ReadonlyMap<Socket, string>;

  constructor(config: KafkaConfig) {
    const brokers = new Map<Socket, string>();
    const socketFactory: ISocketFactory = (options) => {
      const socket = deliverWholeAnswers(promptSocket(options));
      // Each attempt to reach a broker that is down adds a listener to the last connection with it, and Node would warn.
      socket.setMaxListeners(0);
      brokers.set(socket, `${options.host}:${options.port}`);
      return socket.once('close', () => brokers.delete(socket));
    };
    super({ ...config, socketFactory });
    this.brokers = brokers;
  }

  override producer(config?: ProducerConfig): Producer {
    const producer = super.producer(config);
    producer.on(producer.events.REQUEST_TIMEOUT, ({ payload }) => this.giveUp(payload.broker));
    return producer;
  }

  override consumer(config: ConsumerConfig): Consumer {
    const consumer = super.consumer(config);
    consumer.on(consumer.events.REQUEST_TIMEOUT, ({ payload }) => this.giveUp(payload.broker));
    return consumer;
  }

  override admin(config?: AdminConfig): Admin {
    const admin = super.admin(config);
    admin.on(admin.events.REQUEST_TIMEOUT, ({ payload }) => this.giveUp(payload.broker));
    return admin;
  }

  private giveUp(broker: string): void {
    for (const [socket, other] of this.brokers) {
      if (other === broker) socket.destroy(new Error('The broker left a request unanswered.'));
    }
  }
}

/**
 * kafkajs leaves Nagle's algorithm on. A consumer's commits share the connection with a waiting fetch, and each would be
 * held back until the broker acknowledges the fetch, for some 40 ms.
 */
const promptSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const options = { host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
  if (!ssl) return connect(options, onConnect);
  return connectTls({ ...options, ...(isIP(host) ? {} : { servername: host }), ...ssl }, onConnect);
};

/**
 * kafkajs logs each of its retries, and failures reach us as errors anyway. One thing is only logged: that it skips
 * messages which were deleted before the group had read them.
 */
function logDeletedMessages(log: Log): logCreator {
  return () =>
    ({ log: { message, ...fields } }) => {
      if (/out of range/i.test(message))
        log.error(fields, `Kafka has deleted messages before we read them. ${message}`);
    };
}

/**
 * Checks that the topics exist with enough partitions, and returns how many each has.
 * @throws ServerRefusal that names the topic that is missing or has too few partitions; ServerUnavailable
 */
export async function assertTopics(admin: Admin, topics: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const known = await partitionsOf(admin, topics);
  assertPartitions(known, topics);
  return known;
}

/** @throws ServerRefusal */
function assertPartitions(known: ReadonlyMap<string, number>, topics: readonly string[]): void {
  const missing = topics.filter((topic) => !known.has(topic));
  if (missing.length > 0) {
    throw new ServerRefusal(`Kafka lacks the topic ${missing.join(', ')}. Run \`npm run topics\`.`);
  }
  const narrow = topics.find((topic) => known.get(topic)! < PARTITIONS);
  if (narrow) {
    throw new ServerRefusal(
      `The topic ${narrow} has ${known.get(narrow)} partitions, and ${PARTITIONS} are needed. When all orders are ` +
        'settled, delete it and run `npm run topics`: with another number of partitions, keys change their partitions.',
    );
  }
}

/** The number of partitions of each of these topics that exists. */
async function partitionsOf(admin: Admin, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
  try {
    const { topics } = await admin.fetchTopicMetadata({ topics: [...names] });
    return new Map(topics.map(({ name, partitions }) => [name, partitions.length]));
  } catch (error) {
    if (typeOf(error) !== 'UNKNOWN_TOPIC_OR_PARTITION') throw translateError(error);
    const existing = await admin.listTopics();
    const there = names.filter((name) => existing.includes(name));
    if (there.length === names.length) throw translateError(error); // Some brokers do not know a new topic yet.
    return partitionsOf(admin, there);
  }
}

/** Any broker may answer: so many answers in a row that know a new topic are taken for those of all. */
const ANSWERS = 10;

/**
 * Creates the topics that do not exist yet, and returns their names. `replicationFactor` is how many brokers keep a copy
 * of each; by default the brokers' own `default.replication.factor`.
 * @throws ServerRefusal when one exists with too few partitions, or cannot be created; ServerUnavailable
 */
export async function createTopics(
  url: string,
  names: readonly string[],
  { replicationFactor, clock, log }: { replicationFactor?: number; clock: Clock; log: Log },
): Promise<string[]> {
  const admin = kafkaAt(url, log).admin();
  try {
    await admin.connect();
    const existing = await admin.listTopics();
    const missing = names.filter((name) => !existing.includes(name));
    if (missing.length > 0) {
      const replicas = replicationFactor === undefined ? {} : { replicationFactor };
      const topics = missing.map((topic) => ({ topic, numPartitions: PARTITIONS, ...replicas }));
      await admin.createTopics({ topics, waitForLeaders: false });
    }
    // A new topic takes a moment to reach all brokers; until then, some answer that it does not exist.
    let known = missing.length === 0 ? await partitionsOf(admin, names) : new Map<string, number>();
    for (let patience = 100, inARow = 0; missing.length > 0 && patience > 0 && inARow < ANSWERS;) {
      known = await partitionsOf(admin, names).catch(() => new Map<string, number>());
      if (known.size === names.length) inARow++;
      else {
        inARow = 0;
        patience--;
        await clock.sleep(100);
      }
    }
    assertPartitions(known, names);
    return missing;
  } catch (error) {
    throw translateError(error);
  } finally {
    await admin.disconnect();
  }
}
