/**
 * `npm run topics` creates the shop's topics in Kafka: 12 partitions each, and never fewer, because a key's partition
 * depends on their number. Services create none: a missing topic is a mistake, which they report.
 */
import { topics } from '#contracts';
import { createTopics as createIn } from '#message-bus/kafka';
import { ServerRefusal, ServerUnavailable, silentLog, SystemClock } from '#runtime';
import { readVariables } from '#service';
import { Advice } from './lib/advice.js';

export const usage =
  "npm run topics, with MESSAGE_BUS_URL=kafka://… and, if it is to be another than the server's, TOPIC_REPLICATION_FACTOR.";

export async function main(): Promise<void> {
  const env = readVariables(['MESSAGE_BUS_URL', 'TOPIC_REPLICATION_FACTOR']);
  const { MESSAGE_BUS_URL: url, TOPIC_REPLICATION_FACTOR: replicas } = env;
  if (!url)
    throw new Advice('MESSAGE_BUS_URL is not set. Set it to the address of Kafka, for example kafka://localhost:9092.');
  if (!/^kafkas?:/.test(url))
    throw new Advice(
      'MESSAGE_BUS_URL is not a kafka:// URL. Only Kafka needs its topics created: with Postgres, leave this step out.',
    );
  if (replicas && !/^[1-9]\d?$/.test(replicas)) {
    throw new Advice(
      `TOPIC_REPLICATION_FACTOR=${replicas} is not a number of brokers: set it to a number from 1 to 99.`,
    );
  }
  const made = await createTopics(url, replicas ? Number(replicas) : undefined);
  console.log(made.length > 0 ? `Created ${made.join(', ')}.` : 'All topics exist already.');
}

/** Creates the missing topics and returns their names. @throws Advice when Kafka cannot be reached or refuses */
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
