/** Where the shop of this checkout is: its folder and its addresses, by variable. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { Advice } from './advice.js';
import { databaseUrl, mayEnter, serverUser } from './embedded-postgres.js';

export const services = ['order', 'inventory', 'payment'] as const;
export type Service = (typeof services)[number];

export const portVariable = (service: Service | 'postgres') => `${service.toUpperCase()}_PORT`;

const defaultPorts = { order: 3001, inventory: 3002, payment: 3003, postgres: 54329 };

/** The port of a service: `ORDER_PORT`, `INVENTORY_PORT` and so on change it. */
export function portOf(service: Service | 'postgres'): number {
  const variable = portVariable(service);
  const port = Number(process.env[variable] ?? defaultPorts[service]);
  if (Number.isInteger(port) && port > 0 && port < 65536) return port;
  throw new Advice(`${variable}=${process.env[variable]} is not a port: a number from 1 to 65535.`);
}

export const urlOf = (service: Service) => `http://localhost:${portOf(service)}`;

/**
 * The folder that holds all that the shop keeps: `LARDER_DATA`, or `.data` in the checkout. Started by root in a checkout
 * that only root may enter, which Postgres, not being root, cannot: a folder of this checkout's own under /var/lib.
 */
export function dataFolder(): string {
  if (process.env['LARDER_DATA']) return resolve(process.env['LARDER_DATA']);
  const user = serverUser();
  if (!user || mayEnter(user, process.cwd())) return resolve('.data');
  return `/var/lib/larder/${createHash('sha256').update(process.cwd()).digest('hex').slice(0, 8)}`;
}

/**
 * Where a service keeps its facts and its tables: at ORDER_EVENT_STORE_URL and ORDER_DATABASE_URL (and so on), or else in
 * the shop that is open here.
 * @throws Advice when there is neither
 */
export function storesOf(service: Service): { eventStoreUrl: string; databaseUrl: string } {
  const name = service.toUpperCase();
  const tables = process.env[`${name}_DATABASE_URL`] ?? openDatabaseUrl(service);
  return { databaseUrl: tables, eventStoreUrl: process.env[`${name}_EVENT_STORE_URL`] ?? tables };
}

function openDatabaseUrl(service: Service): string {
  const pidFile = join(dataFolder(), 'postgres', 'postmaster.pid');
  if (!existsSync(pidFile)) throw new Advice('The shop is not open here. `npm start` opens it.');
  return databaseUrl(Number(readFileSync(pidFile, 'utf8').split('\n')[3]), service);
}

/** A path as a person types it here. */
export function shown(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : near;
}
