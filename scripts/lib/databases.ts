/** The addresses of the shop's databases and event stores, for the commands that read them. */
import { join } from 'node:path';
import type { EventStore } from '#event-store';
import { openEventStore } from '#service/adapters';
import { readVariables, withoutPasswords } from '#service';
import type { Clock } from '#runtime';
import { perService, type Service } from '../../apps/shop.js';
import { Advice } from './advice.js';
import { notedStore } from './data-folder.js';
import { serverIn } from './embedded-postgres.js';
import { dataFolder } from './addresses.js';

export interface Database {
  readonly databaseUrl: string;
  readonly storeUrl: string;
}

/**
 * The databases that the environment names (`ORDER_DATABASE_URL`, …), or those of the shop that is open here. Events are
 * where `ORDER_EVENT_STORE_URL` and so on say, or `EVENT_STORE_URL` for all services; else where the open shop has them.
 * Beside databases of one's own, an `EVENT_STORE_URL` of Postgres is not used: it is one service's, and a read model of
 * another would be rebuilt from its events.
 * @throws Advice when there is neither
 */
export async function databasesOfTheShop(): Promise<Record<Service, Database>> {
  const data = dataFolder();
  const server = await serverIn(join(data, 'postgres'));
  return perService((service): Database => {
    const database = `${service.toUpperCase()}_DATABASE_URL`;
    const store = `${service.toUpperCase()}_EVENT_STORE_URL`;
    const env = readVariables([database, store, 'EVENT_STORE_URL']);
    const { [database]: own, [store]: ownStore, EVENT_STORE_URL: everyStore } = env;
    const url = own || server?.url(service);
    const sharedStore = own && isPostgres(everyStore) ? undefined : everyStore;
    const storeUrl = ownStore || sharedStore || (own ? undefined : notedStore(data)) || url;
    if (!url || !storeUrl) {
      throw new Advice(
        `The shop is not open. Open it with \`npm start\`; for servers of your own, set ${database} and ${store}.`,
      );
    }
    return { databaseUrl: url, storeUrl };
  });
}

/** Whether the events at this URL are in a Postgres. */
export function isPostgres(storeUrl = ''): boolean {
  return /^postgres(ql)?:/.test(storeUrl);
}

/**
 * Opens the events of a service, to be read only.
 * @throws Advice, one line, when they cannot be opened
 */
export async function openEvents(service: Service, { storeUrl }: Database, clock: Clock): Promise<EventStore> {
  try {
    return await openEventStore(storeUrl, clock, { readOnly: true });
  } catch (error) {
    throw eventsAdvice(service, error);
  }
}

/** What a person is told, in one line, when a service's events cannot be had. */
export function eventsAdvice(service: Service, error: unknown): Advice {
  const { message, code = '' } = error as { message?: string; code?: string };
  return new Advice(`The events of ${service} cannot be opened: ${withoutPasswords(message || code)}`, {
    cause: error,
  });
}
