/** The addresses of the shop's databases, for the commands that read them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { perService, type Service } from '../../apps/shop.js';
import { Advice } from './advice.js';
import { passFileIn, serverIn } from './embedded-postgres.js';
import { dataFolder, shortPath } from './addresses.js';

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
    const url = process.env[database] ?? server?.url(service);
    const storeUrl = process.env[store] ?? url;
    if (!url || !storeUrl) {
      throw new Advice(
        `The shop is not open. Open it with \`npm start\`; for servers of your own, set ${database} and ${store}.`,
      );
    }
    return { databaseUrl: url, storeUrl };
  });
}

/** The command that opens a database in psql; psql takes the password of the shop here from its file, and asks for others. */
export function psqlCommand(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  const line = `:${url.username}:${url.password}\n`;
  const file = passFileIn(join(dataFolder(), 'postgres'));
  const isHere = existsSync(file) && readFileSync(file, 'utf8').includes(line);
  url.password = '';
  return `${isHere ? `PGPASSFILE=${shortPath(file)} ` : ''}psql '${url.href}'`;
}
