/**
 * `npm run topics` makes the topics of the shop in Kafka: 12 partitions each, and never fewer, because a key's partition
 * depends on their number. Services make none: one that is missing is a mistake that they name.
 */
import { topics } from '#contracts';
import { createTopics as createIn } from '#message-bus/kafka';
import { ServerRefusal, ServerUnavailable, silentLog, SystemClock } from '#runtime';
import { Advice } from './lib/advice.js';

export async function main(): Promise<void> {
  const { MESSAGE_BUS_URL: url, TOPIC_REPLICATION_FACTOR: replicas } = process.env;
  if (!url) throw new Advice('MESSAGE_BUS_URL is not set: it is where Kafka is, for example kafka://localhost:9092.');
  if (!/^kafkas?:/.test(url)) throw new Advice('MESSAGE_BUS_URL is not a kafka:// URL: only Kafka needs topics made.');
  if (replicas && !/^[1-9]\d?$/.test(replicas)) {
    throw new Advice(`TOPIC_REPLICATION_FACTOR=${replicas} is not a number of brokers: 1 to 99.`);
  }
  const made = await createTopics(url, replicas ? Number(replicas) : undefined);
  console.log(made.length > 0 ? `Made ${made.join(', ')}.` : 'All topics are there.');
}

/** Makes what is missing, and returns the names. @throws Advice when Kafka cannot be reached or refuses */
export async function createTopics(url: string, replicationFactor?: number): Promise<string[]> {
  const names = topics.map(({ name }) => name);
  try {
    const replicas = replicationFactor === undefined ? {} : { replicationFactor };
    return await createIn(url, names, { ...replicas, clock: new SystemClock(), log: silentLog });
  } catch (error) {
    if (error instanceof ServerRefusal || error instanceof ServerUnavailable) {
      throw new Advice(`MESSAGE_BUS_URL: ${error.message}`);
    }
    throw error;
  }
}
