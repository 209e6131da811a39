/** The folder and the addresses of this checkout's shop, which variables can change. */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { perService, type Service, shop } from '../../apps/shop.js';
import { Advice } from './advice.js';
import { mayEnter, passFileIn, serverUser } from './embedded-postgres.js';

/** The default ports of the services and servers that the commands start. */
export const defaultPorts = {
  ...perService((service) => shop[service].port),
  gateway: 3000,
  identity: 3004,
  postgres: 54329,
  kafka: 9092,
};

export const portVariable = (service: keyof typeof defaultPorts) => `${service.toUpperCase()}_PORT`;

/** The port of a service or a server: `ORDER_PORT`, `KAFKA_PORT` and so on change it. */
export function portOf(service: keyof typeof defaultPorts): number {
  const variable = portVariable(service);
  const port = Number(process.env[variable] ?? defaultPorts[service]);
  if (Number.isInteger(port) && port > 0 && port < 65536) return port;
  throw new Advice(`${variable}=${process.env[variable]} is not a port. Set it to a number from 1 to 65535.`);
}

/** By the address that it listens on: on some machines `localhost` is ::1 alone. */
export const urlOf = (service: Service | 'gateway') => `http://127.0.0.1:${portOf(service)}`;

/**
 * The folder of the shop's data: `LARDER_DATA`, or `.data` in the checkout. Postgres does not run as root: when root starts
 * the shop in a checkout that only root can enter, the folder is one under /var/lib, of this checkout's own.
 */
export function dataFolder(): string {
  if (process.env['LARDER_DATA']) return resolve(process.env['LARDER_DATA']);
  const user = serverUser();
  if (!user || mayEnter(user, process.cwd())) return resolve('.data');
  return `/var/lib/larder/${createHash('sha256').update(process.cwd()).digest('hex').slice(0, 8)}`;
}

/** A path as a user would type it here: relative where it is shorter. */
export function shortPath(path: string): string {
  const near = relative(process.cwd(), path);
  return near.startsWith('..') ? path : near;
}

/** A word as a POSIX shell takes it. */
export const quoted = (word: string) => (/[^\w./@-]/.test(word) ? `'${word.replaceAll("'", `'\\''`)}'` : word);

/** The command that shows which process listens on a port. */
export const whoUses = (port: number) =>
  process.platform === 'win32' ? `netstat -ano | findstr :${port}` : `lsof -i :${port}`;

/** The command that opens a database in psql; psql takes the password of the shop here from its file, and asks for others. */
export function psqlCommand(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  const line = `:${url.username}:${url.password}\n`;
  const file = passFileIn(join(dataFolder(), 'postgres'));
  const isHere = existsSync(file) && readFileSync(file, 'utf8').includes(line);
  url.password = '';
  return `${isHere ? `PGPASSFILE=${quoted(shortPath(file))} ` : ''}psql '${url.href}'`;
}
