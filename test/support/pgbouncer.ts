/** PgBouncer before the test run's Postgres, for a spec: Debian's program, with its configuration where it is installed. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { freePort } from '../../scripts/lib/embedded-postgres.js';

const CONFIGURATION = '/etc/pgbouncer/pgbouncer.ini';
/** Debian has it where only root looks. */
const PATH = `${process.env['PATH']}:/usr/sbin`;

/** Why none is available here, as a clause; undefined when one is: `describe.skipIf(pgBouncerMissing)(…)`. */
export const pgBouncerMissing =
  spawnSync('pgbouncer', ['--version'], { env: { PATH } }).status === 0 ? undefined : 'PgBouncer is not installed';

export class PgBouncer {
  private constructor(
    private readonly program: ChildProcess,
    private readonly port: number,
    private readonly folder: string,
  ) {}

  /** Starts one before the server of `url`, for the user of `url`. */
  static async start(url: string, mode: 'session' | 'transaction'): Promise<PgBouncer> {
    const { hostname, port: server, username, password } = new URL(url);
    const port = await freePort();
    const folder = mkdtempSync(join(tmpdir(), 'larder-pgbouncer-'));
    const file = (name: string) => join(folder, name);
    chmodSync(folder, 0o755); // It refuses to run as root.
    writeFileSync(file('users'), `"${username}" "${decodeURIComponent(password)}"\n`);
    const settings = {
      listen_addr: '127.0.0.1',
      listen_port: port,
      unix_socket_dir: '',
      logfile: '',
      pidfile: '',
      auth_type: 'scram-sha-256',
      auth_file: file('users'),
      pool_mode: mode,
      // By default 20 sessions for each user and database, of which a service alone may want 24.
      default_pool_size: 30,
    };
    const lines = [
      ...(existsSync(CONFIGURATION) ? [`%include ${CONFIGURATION}`] : []),
      '[databases]',
      `* = host=${hostname} port=${server}`,
      '[pgbouncer]',
      ...Object.entries(settings).map(([name, value]) => `${name} = ${value}`),
    ];
    writeFileSync(file('pgbouncer.ini'), `${lines.join('\n')}\n`);
    const user = process.getuid?.() === 0 ? ['--user', 'postgres'] : [];
    const program = spawn('pgbouncer', [...user, '--quiet', file('pgbouncer.ini')], { env: { PATH }, stdio: 'ignore' });
    const started = new PgBouncer(program, port, folder);
    await started.untilReady(url);
    return started;
  }

  /** The URL of a database of the server, through it. */
  through(url: string): string {
    const found = new URL(url);
    found.hostname = '127.0.0.1';
    found.port = `${this.port}`;
    return found.href;
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.program.once('exit', resolve));
    if (this.program.exitCode === null && this.program.kill()) await ended;
    rmSync(this.folder, { recursive: true, force: true });
  }

  private async untilReady(url: string): Promise<void> {
    for (;;) {
      if (this.program.exitCode !== null) throw new Error(`PgBouncer ended: see \`pgbouncer ${this.folder}\`.`);
      const client = new pg.Client({ connectionString: this.through(url), connectionTimeoutMillis: 2_000 });
      client.on('error', () => {});
      try {
        await client.connect();
        return;
      } catch {
        await sleep(50);
      } finally {
        await client.end().catch(() => {});
      }
    }
  }
}
