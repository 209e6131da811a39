/** The servers of a lab: real Postgres clusters in a temporary folder, which go with the command, however it ends. */
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Advice } from '../../scripts/lib/advice.js';
import { freePort, type PostgresServer, startPostgres } from '../../scripts/lib/embedded-postgres.js';
import type { Databases, Lab } from './way.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Small ones: a lab has several, and few rows. */
const SMALL = { shared_buffers: '16MB', max_connections: '60' };

/** What a server's folder takes: what initdb makes, the write-ahead log, and the few rows. */
const SERVER_MB = 120;

/** @throws Advice when the disk is too full for so many servers */
function expectRoom(servers: number): void {
  const { bavail, bsize } = statfsSync(tmpdir());
  const [free, needed] = [Math.floor((bavail * bsize) / 1_048_576), servers * SERVER_MB];
  if (free < needed)
    throw new Advice(
      `The lab’s ${servers} servers need ${needed} MB in ${tmpdir()}, and ${free} are free. Make room, or set TMPDIR to another folder.`,
    );
}

/** Starts the servers of a lab, does the work, and removes them. Ctrl-C goes the same way, and ends the process with 130. */
export async function withServers<T>(lab: Lab, work: (databases: Databases) => Promise<T>): Promise<T> {
  const names = new Set(Object.values(lab.servers));
  expectRoom(names.size);
  const folder = mkdtempSync(join(tmpdir(), 'larder-lab-'));
  const servers = new Map<string, Promise<PostgresServer>>();
  const close = async () => {
    const started = await Promise.allSettled(servers.values());
    const open = started.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    await Promise.all(open.map((server) => server.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  const ignore = () => {};
  let interrupted = false;
  const interrupt = () => {
    if (interrupted) return;
    interrupted = true;
    process.on('unhandledRejection', ignore); // What breaks because everything is being closed is no error.
    process.stderr.write('\nClosing …\n');
    void close().finally(() => process.exit(130));
  };
  SIGNALS.forEach((signal) => process.on(signal, interrupt));
  process.stdout.on('error', interrupt); // The reader, such as `| head`, has closed the pipe.
  process.stderr.on('error', ignore);
  try {
    for (const name of names) {
      const options = { folder: join(folder, name), log: join(folder, `${name}.log`), disposable: true };
      servers.set(name, startPostgres({ ...options, port: await freePort(), settings: { ...SMALL, ...lab.settings } }));
      await servers.get(name); // One after the other: they share the folder that they are made in.
    }
    const urlOf = async (name: string) => (await servers.get(name)!).url('postgres');
    const { order, inventory, payment, provider } = lab.servers;
    return await work({
      order: await urlOf(order),
      inventory: await urlOf(inventory),
      payment: await urlOf(payment),
      provider: await urlOf(provider),
    });
  } catch (error) {
    if (interrupted) await new Promise(() => {});
    throw error;
  } finally {
    if (!interrupted) await close();
    SIGNALS.forEach((signal) => process.off(signal, interrupt));
    process.stdout.off('error', interrupt);
    process.stderr.off('error', ignore);
  }
}
