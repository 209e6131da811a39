/**
 * What the commands write into the data folder. `LARDER_DATA` may name a folder that contains other things too, even under
 * the same names: only what is recognized as the shop's is deleted.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { makeSealKeys } from '#service';
import { type Service, services } from '../../apps/shop.js';
import { type AccountName, accountNames } from './accounts.js';

/** The folders, and a file that each has when it is the shop's. */
const FOLDERS: Readonly<Record<string, string>> = {
  postgres: 'PG_VERSION',
  'postgres-binaries': 'bin/postgres',
  kafka: 'server.properties',
  identity: 'keys.json',
  keys: 'payment-token-keys.json',
};

/** Folders under these names were not finished, and are nobody else's. */
const DRAFTS = ['keys.new', 'postgres.new', 'postgres.password', 'postgres-binaries.new'];

const LOGGED = [...services, 'postgres'];

export function logsIn(data: string): string {
  return join(data, 'logs');
}

/** The logs of so many runs are kept: of the one that is open, and of those before it. */
const RUNS = 3;

/** Where a service's process, or `postgres`, logs; `before` counts runs back from the present one. */
export function logFile(data: string, name: string, before = 0): string {
  return join(logsIn(data), before === 0 ? `${name}.log` : `${name}.${before}.log`);
}

/** Makes room for the logs of a new run: why the last one ended is often asked only after the next has begun. */
export function shiftLogs(data: string): void {
  for (const name of LOGGED) {
    for (let before = RUNS - 1; before > 0; before--) {
      const newer = logFile(data, name, before - 1);
      rmSync(logFile(data, name, before), { force: true });
      if (existsSync(newer)) renameSync(newer, logFile(data, name, before));
    }
  }
}

/** Tells the commands where the shop's events are when they are not in its own Postgres. */
const storeNote = (data: string) => join(data, 'event-store.env');

/** Notes where the shop that is being opened has its events; undefined: in its own Postgres. A URL may hold a password. */
export function noteStore(data: string, url: string | undefined): void {
  if (notedStore(data)) rmSync(storeNote(data));
  if (url) writeFileSync(storeNote(data), `EVENT_STORE_URL=${url}\n`, { mode: 0o600 });
}

/** What was noted when the shop was opened last. */
export function notedStore(data: string): string | undefined {
  const note = existsSync(storeNote(data)) ? readFileSync(storeNote(data), 'utf8') : '';
  return /^EVENT_STORE_URL=(\S+)\s*$/.exec(note)?.[1];
}

/** The keys and secrets of the OpenID provider for development. */
export function identityIn(data: string): string {
  return join(data, 'identity');
}

/** The header files, one for each of its accounts. */
export function headersIn(data: string): string {
  return join(data, 'as');
}

export function headerFile(data: string, account: AccountName): string {
  return join(headersIn(data), account);
}

/** Deletes the header files, and nothing that somebody else has put beside them. */
export function deleteHeaders(data: string): void {
  for (const name of accountNames) rmSync(headerFile(data, name), { force: true });
  deleteIfEmpty(headersIn(data));
}

/**
 * Makes, once, what payment tokens are sealed and compared with, for the owner alone. Returns the variables that name the
 * files: orders that are open need the same keys after a restart.
 */
export function keepTokenKeys(data: string): Partial<Record<Service, Readonly<Record<string, string>>>> {
  const [folder, draft] = [join(data, 'keys'), join(data, 'keys.new')];
  if (!existsSync(folder)) {
    const { opening, sealing } = makeSealKeys(randomUUID());
    const files = { [OPENING]: opening, [SEALING]: sealing, [DIGESTS]: randomBytes(32).toString('base64url') };
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { mode: 0o700, recursive: true });
    for (const [name, text] of Object.entries(files)) writeFileSync(join(draft, name), `${text}\n`, { mode: 0o600 });
    renameSync(draft, folder);
  }
  return {
    order: { PAYMENT_TOKEN_KEY_FILE: join(folder, SEALING), TOKEN_DIGEST_SECRET_FILE: join(folder, DIGESTS) },
    payment: { PAYMENT_TOKEN_KEYS_FILE: join(folder, OPENING) },
  };
}

const OPENING = 'payment-token-keys.json';
const SEALING = 'payment-token-key.json';
const DIGESTS = 'token-digest-secret';

function deleteLogs(data: string): void {
  for (const name of LOGGED) {
    for (let before = 0; before < RUNS; before++) rmSync(logFile(data, name, before), { force: true });
  }
  deleteIfEmpty(logsIn(data));
}

/** Deletes the shop's data. Returns the folders that have a name of the shop's and contain something else. */
export function deleteData(data: string): string[] {
  deleteLogs(data);
  deleteHeaders(data);
  noteStore(data, undefined);
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
