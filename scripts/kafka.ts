/**
 * `npm run kafka`: a Kafka broker with the shop's topics, on this machine, with Java and without Docker.
 *
 *   broker ─▶ topics ─▶ open ─▶ … ─▶ Ctrl-C: closed, its data is kept
 */
import { join } from 'node:path';
import { Advice } from './lib/advice.js';
import { isTaken } from './lib/embedded-postgres.js';
import { type KafkaBroker, missingForKafka, startKafka } from './lib/kafka-broker.js';
import { bold, cyan, Screen } from './lib/screen.js';
import { dataFolder, portOf, shortPath, whoUses } from './lib/addresses.js';
import { createTopics } from './topics.js';

const screen = new Screen();

export const usage = 'npm run kafka. Variables change it: LARDER_DATA, KAFKA_PORT.';

export async function main(): Promise<void> {
  const missing = missingForKafka();
  if (missing) {
    const remedy =
      'Debian: `apt install default-jre-headless maven`; macOS: `brew install maven`, which includes Java.';
    throw new Advice(`Kafka cannot run here: ${missing}. Install it: ${remedy}`);
  }
  const port = portOf('kafka');
  if (await isTaken(port))
    throw new Advice(
      `Port ${port} is in use (\`${whoUses(port)}\` shows by what). Free it, or set KAFKA_PORT to another port.`,
    );

  const stopped = untilStopped();
  const kafka = await Promise.race([open(port), stopped]);
  if (kafka) {
    await Promise.race([
      kafka.ended.then(() => Promise.reject(new Advice(`Kafka ended unexpectedly. See ${kafka.log}.`))),
      stopped,
    ]);
    console.log('Closing …');
    await kafka.stop();
  }
  screen.end();
  console.log('Closed. Its data is kept: `npm run kafka` starts it again.');
  process.exit(0); // The guard stops a broker that is still starting.
}

async function open(port: number): Promise<KafkaBroker> {
  const folder = join(dataFolder(), 'kafka');
  const kafka = await screen.step('starting Kafka', async (done) => {
    const kafka = await startKafka({ folder, port });
    done('Kafka', `port ${port}, data in ${shortPath(folder)}`);
    return kafka;
  });
  await screen.step('creating the topics', async (done) => {
    const made = await createTopics(kafka.url);
    done('topics', made.length > 0 ? `${made.length} created` : 'already exist');
  });
  screen.print(`
${bold('Kafka is open.')}

  broker      ${new URL(kafka.url).host}
  log         ${shortPath(kafka.log)}

${bold('What to try next, in another terminal')}

  The shop, with its messages on Kafka:

${cyan(`    MESSAGE_BUS_URL=${kafka.url} npm start`)}

Ctrl-C closes Kafka; its data is kept.
`);
  return kafka;
}

/** Resolves at the first signal to stop. */
function untilStopped(): Promise<undefined> {
  return new Promise((stopped) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => stopped(undefined));
  });
}
