/** Yesterday's backups: copies of databases as they were, made and restored while the services do not run. */
import { escapeIdentifier as name } from 'pg';
import { services } from '../../apps/shop.js';
import { topics } from '#contracts';
import { createTopics } from '../../scripts/topics.js';
import type { Databases, Shop } from '../shop/open-shop.js';
import { backupOf, inDatabase, nameOf, plainKafka } from './places.js';

const STORES = [...services, 'customer_keys'] as const;
type Store = (typeof STORES)[number];

/** Copied as files: the write-ahead log then holds no second copy. */
const COPY = 'STRATEGY FILE_COPY';

/** Copies all that a shop keeps. The bus has no backup: messages are made again from events. */
export async function backUp({ databases }: Shop): Promise<void> {
  for (const store of STORES) {
    const database = nameOf(databases[store]);
    await statements(databases, `CREATE DATABASE ${name(backupOf(database))} TEMPLATE ${name(database)} ${COPY}`);
  }
}

/** Puts the backups of these in place of what is there. */
export async function restore({ databases }: Shop, stores: readonly Store[]): Promise<void> {
  for (const store of stores) {
    const database = nameOf(databases[store]);
    await statements(
      databases,
      `DROP DATABASE ${name(database)} WITH (FORCE)`,
      `CREATE DATABASE ${name(database)} TEMPLATE ${name(backupOf(database))} ${COPY}`,
    );
  }
}

/** What a restore of the services takes besides: an empty bus, and relays that send everything again. */
export async function startOverWithMessages({ databases }: Shop): Promise<void> {
  for (const service of services) {
    const again = `DELETE FROM checkpoints WHERE name NOT LIKE 'projection:%'`;
    await inDatabase(databases, nameOf(databases[service]), (client) => client.query(again));
  }
  if (!databases.bus.startsWith('kafka:')) {
    const bus = name(nameOf(databases.bus));
    return statements(databases, `DROP DATABASE ${bus} WITH (FORCE)`, `CREATE DATABASE ${bus}`);
  }
  const admin = plainKafka(databases.bus).admin();
  await admin.connect();
  const { groups } = await admin.listGroups();
  await admin.deleteGroups(groups.map(({ groupId }) => groupId));
  await admin.deleteTopics({ topics: topics.map((topic) => topic.name) });
  await admin.disconnect();
  await createTopics(databases.bus);
}

/** Each by itself: databases are not made in transactions. */
async function statements(databases: Databases, ...all: readonly string[]): Promise<void> {
  await inDatabase(databases, 'postgres', async (client) => {
    for (const statement of all) await client.query(statement);
  });
}

/** Stops the services, does the work, and starts them again. */
export async function whileClosed(shop: Shop, work: () => Promise<void>): Promise<void> {
  await Promise.all(services.flatMap((service) => shop.urls[service].map((_, i) => shop.stop(service, i))));
  await work();
  await shop.revive();
}
