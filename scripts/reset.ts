/** `npm run reset`: empties the shop, deleting all its data. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { withoutPasswords } from '#service';
import { Advice } from './lib/advice.js';
import { deleteData, notedStore } from './lib/data-folder.js';
import { isTaken, serverIn } from './lib/embedded-postgres.js';
import { dataFolder, shortPath } from './lib/addresses.js';

export const usage = 'npm run reset. It deletes all data of the shop in LARDER_DATA, or in .data.';

export async function main(): Promise<void> {
  const data = dataFolder();
  const server = await serverIn(join(data, 'postgres'));
  if (server)
    throw new Advice(
      `The shop is open (process ${server.pid} uses ${shortPath(data)}). Close it first: Ctrl-C in its terminal.`,
    );
  const kafka = await openKafkaIn(join(data, 'kafka'));
  if (kafka)
    throw new Advice(`Kafka is open (port ${kafka}, \`npm run kafka\`). Close it first: Ctrl-C in its terminal.`);
  const store = notedStore(data);
  for (const folder of deleteData(data))
    console.log(`${shortPath(folder)} is left alone: it is not of the shop's making.`);
  if (store)
    console.log(
      `Its events are in ${withoutPasswords(store)} and are left alone: a new shop needs another store, or that one emptied.`,
    );
  console.log('The shop is empty. `npm start` opens a new one.');
}

/** The port of the broker that is running on this folder, or undefined. */
async function openKafkaIn(folder: string): Promise<number | undefined> {
  const properties = join(folder, 'server.properties');
  if (!existsSync(properties)) return undefined;
  const port = Number(/^listeners=\w+:\/\/[^:]+:(\d+)/m.exec(readFileSync(properties, 'utf8'))?.[1]);
  return port > 0 && (await isTaken(port)) ? port : undefined;
}
