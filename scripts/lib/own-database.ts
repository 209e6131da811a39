/**
 * Gives a service a database and a role that owns it and nothing else: nothing at run time is done as a superuser. The
 * launcher alone has one, and runs this before the migrations, every time.
 *
 * A database of the release whose services were superusers changes its owner, with all that is in it. Services of that
 * release may run on meanwhile.
 */
import pg from 'pg';
// By its path: vitest's global setup does not resolve the libraries' names.
import { PostgresConnection } from '../../libs/runtime/src/postgres/connection.js';
import { Advice } from './advice.js';

/** What is logged of a statement that fails must not be one with a password. */
const SECRETIVE = { log_statement: 'none', log_min_error_statement: 'panic' };

/**
 * All that belongs to the owner of this database, besides the system's own and what an extension has brought. Indexes, the
 * sequences of columns and the types of rows go with their tables.
 */
const BELONGINGS = `
  SELECT format('ALTER %s %s OWNER TO %I', kind, name, $1::text) AS statement
  FROM (
    SELECT 'SCHEMA' AS kind, oid::regnamespace::text AS name, 'pg_namespace'::regclass AS catalog, oid, oid AS schema, nspowner AS owner
    FROM pg_namespace
    UNION ALL SELECT 'TABLE', oid::regclass::text, 'pg_class'::regclass, oid, relnamespace, relowner
    FROM pg_class WHERE relkind IN ('r', 'p', 'f', 'v', 'm')
    UNION ALL SELECT 'ROUTINE', oid::regprocedure::text, 'pg_proc'::regclass, oid, pronamespace, proowner
    FROM pg_proc
    UNION ALL SELECT 'TYPE', oid::regtype::text, 'pg_type'::regclass, oid, typnamespace, typowner
    FROM pg_type WHERE typtype IN ('e', 'd')
  ) AS found
  WHERE owner = (SELECT datdba FROM pg_database WHERE datname = current_database())
    AND schema::regnamespace::text !~ '^(pg_|information_schema$)'
    AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = catalog AND objid = found.oid AND deptype = 'e')`;

/**
 * Creates the role and the database that `url` names, unless they exist. The role gets the password of `url`.
 * @throws Advice when `url` lacks one of the three, or the role is a superuser
 */
export async function ownDatabase(superuserUrl: string, url: string): Promise<void> {
  const { username, password, pathname } = new URL(url);
  if (!username || !password || pathname.length < 2)
    throw new Advice(
      'A database of a service has a user and a password: write postgresql://user:password@host/database.',
    );
  const [role, secret, database] = [username, password, pathname.slice(1)].map(decodeURIComponent) as [
    string,
    string,
    string,
  ];
  const [roleName, databaseName] = [role, database].map(pg.escapeIdentifier);
  await asking(superuserUrl, async (server) => {
    const { rows: roles } = await server.query<{ rolsuper: boolean }>(
      'SELECT rolsuper FROM pg_roles WHERE rolname = $1',
      [role],
    );
    if (roles[0]?.rolsuper)
      throw new Advice(
        `The role ${role} of the database ${database} is a superuser. Name one that the service has for itself.`,
      );
    await server.query(`${roles[0] ? 'ALTER' : 'CREATE'} ROLE ${roleName} LOGIN PASSWORD ${pg.escapeLiteral(secret)}`);

    const owner = 'SELECT pg_get_userbyid(datdba) AS owner FROM pg_database WHERE datname = $1';
    const { rows: found } = await server.query<{ owner: string }>(owner, [database]);
    if (!found[0]) await server.query(`CREATE DATABASE ${databaseName} OWNER ${roleName}`);
    else if (found[0].owner !== role) await handOver(superuserUrl, database, role);
    await server.query(`REVOKE ALL ON DATABASE ${databaseName} FROM PUBLIC`);
  });
}

/** In one transaction: a database whose owner has changed has been handed over completely. */
async function handOver(superuserUrl: string, database: string, role: string): Promise<void> {
  const url = new URL(superuserUrl);
  url.pathname = encodeURIComponent(database);
  await asking(url.href, async (client) => {
    const { rows } = await client.query<{ statement: string }>(BELONGINGS, [role]);
    const last = `ALTER DATABASE ${pg.escapeIdentifier(database)} OWNER TO ${pg.escapeIdentifier(role)}`;
    await client.query([...rows.map(({ statement }) => statement), last].join('; '));
  });
}

async function asking<T>(url: string, ask: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new PostgresConnection({ connectionString: url, settings: SECRETIVE });
  await client.connect();
  try {
    return await ask(client);
  } finally {
    await client.end();
  }
}
