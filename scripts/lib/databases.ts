/** The addresses of the shop's databases, for the commands that read them. */
import { join } from 'node:path';
import { perService, type Service } from '../../apps/shop.js';
import { Advice } from './advice.js';
import { databaseUrl, serverIn } from './embedded-postgres.js';
import { dataFolder } from './addresses.js';

export interface Database {
  readonly databaseUrl: string;
  readonly storeUrl: string;
}

/**
 * The databases that the environment names (`ORDER_DATABASE_URL`, …), or those of the shop that is open here.
 * @throws Advice when there is neither
 */
export async function databasesOfTheShop(): Promise<Record<Service, Database>> {
  const server = await serverIn(join(dataFolder(), 'postgres'));
  return perService((service): Database => {
    const database = `${service.toUpperCase()}_DATABASE_URL`;
    const store = `${service.toUpperCase()}_EVENT_STORE_URL`;
    const url = process.env[database] ?? (server && databaseUrl(server.port, service));
    const storeUrl = process.env[store] ?? url;
    if (!url || !storeUrl) {
      throw new Advice(
        `The shop is not open. Open it with \`npm start\`; for servers of your own, set ${database} and ${store}.`,
      );
    }
    return { databaseUrl: url, storeUrl };
  });
}
