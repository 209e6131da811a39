/**
 * What the commands write into the data folder. `LARDER_DATA` may name a folder that contains other things too, even under
 * the same names: only what is recognized as the shop's is deleted.
 */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { services } from '../../apps/shop.js';

/** The folders, and a file that each has when it is the shop's. */
const FOLDERS: Readonly<Record<string, string>> = {
  postgres: 'PG_VERSION',
  'postgres-binaries': 'bin/postgres',
  kafka: 'server.properties',
};

/** Folders under these names were not finished, and are nobody else's. */
const DRAFTS = ['postgres.new', 'postgres-binaries.new'];

export function logsIn(data: string): string {
  return join(data, 'logs');
}

/** Where a service's process, or `postgres`, logs. */
export function logFile(data: string, name: string): string {
  return join(logsIn(data), `${name}.log`);
}

export function deleteLogs(data: string): void {
  for (const name of [...services, 'postgres']) rmSync(logFile(data, name), { force: true });
  deleteIfEmpty(logsIn(data));
}

/** Deletes the shop's data. Returns the folders that have a name of the shop's and contain something else. */
export function deleteData(data: string): string[] {
  deleteLogs(data);
  for (const draft of DRAFTS) rmSync(join(data, draft), { recursive: true, force: true });
  const foreign: string[] = [];
  for (const [name, sign] of Object.entries(FOLDERS)) {
    const folder = join(data, name);
    if (existsSync(join(folder, sign))) rmSync(folder, { recursive: true });
    else if (existsSync(folder)) foreign.push(folder);
  }
  deleteIfEmpty(data);
  return foreign;
}

function deleteIfEmpty(folder: string): void {
  if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
}
