/**
 * Every place where a shop keeps something, searched byte by byte: the files of its servers and the logs of its services;
 * and since servers may compress what they keep, also what they say of it: each cell of each table, each record of each
 * topic.
 */
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { Kafka, logLevel } from 'kafkajs';
import { PostgresConnection } from '#runtime/postgres';
import type { Databases } from '../shop/open-shop.js';
import type { Match, Search } from './search.js';

export interface Finding extends Match {
  /** `database of order, table order_summary, column recipient`. */
  readonly place: string;
}

/** Looks into one place after the other, and keeps what it finds. */
export class Sweep {
  readonly findings: Finding[] = [];
  /** How much was looked into, by kind: `files`. */
  readonly looked = new Map<string, number>();
  bytes = 0;

  constructor(private readonly search: Search) {}

  look(kind: string, place: string, content: Uint8Array | string): void {
    this.looked.set(kind, (this.looked.get(kind) ?? 0) + 1);
    this.bytes += content.length;
    for (const match of this.search.in(content)) this.findings.push({ ...match, place });
  }

  /** Counts what another has looked into. */
  add({ looked, bytes }: Sweep): void {
    for (const [kind, times] of looked) this.looked.set(kind, (this.looked.get(kind) ?? 0) + times);
    this.bytes += bytes;
  }
}

/** The name of the database at a URL. */
export const nameOf = (url: string) => decodeURIComponent(new URL(url).pathname.slice(1));

/** The name of a database that is a backup of another. */
export const backupOf = (database: string) => `yesterday_${database}`;

/** A connection to the server of a shop's databases, to another of its databases. */
export async function inDatabase<T>(
  { order }: Databases,
  database: string,
  work: (client: PostgresConnection) => Promise<T>,
): Promise<T> {
  const url = new URL(order);
  url.pathname = `/${encodeURIComponent(database)}`;
  const client = new PostgresConnection({ connectionString: url.href });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

/** The databases of the server, and what each of them is: `database of order`. */
export async function databasesOf(databases: Databases): Promise<{ oid: number; name: string; what: string }[]> {
  const names = new Map<string, string>();
  for (const [owner, url] of Object.entries(databases)) {
    const name = nameOf(url);
    names.set(name, `database of ${owner}`);
    names.set(backupOf(name), `yesterday's backup of ${owner}`);
  }
  const { rows } = await inDatabase(databases, 'postgres', (client) =>
    client.query<{ oid: number; name: string }>('SELECT oid::int, datname AS name FROM pg_database WHERE datallowconn'),
  );
  return rows.map(({ oid, name }) => ({ oid, name, what: names.get(name) ?? `database ${name}` }));
}

/**
 * Postgres compresses long values in its files. Here it is told not to, so that the files can be searched; tables that are
 * made after the model of others, such as a rebuild's, do the same.
 */
export async function storePlainly(databases: Databases): Promise<void> {
  for (const { name } of await databasesOf(databases)) {
    await inDatabase(databases, name, async (client) => {
      const { rows } = await client.query<{ statement: string }>(
        `SELECT format('ALTER TABLE %s ALTER %I SET STORAGE EXTERNAL', attrelid::regclass, attname) AS statement
         FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
         WHERE attstorage IN ('x', 'm') AND attnum > 0 AND relkind = 'r' AND ${IS_OURS}`,
      );
      if (rows.length > 0) await client.query(rows.map(({ statement }) => statement).join('; '));
    });
  }
}

const IS_OURS = `relnamespace::regnamespace::text !~ '^(pg_|information_schema$)'`;

/** All files in the folders of the servers and of the logs. */
export async function searchFiles(sweep: Sweep, databases: Databases, folders: readonly string[]): Promise<void> {
  for await (const { place, content } of filesOf(databases, folders)) sweep.look('files', place, content);
}

/** The files, one after the other; what the server had only in memory is in them. */
export async function* filesOf(
  databases: Databases,
  folders: readonly string[],
): AsyncIterable<{ readonly place: string; readonly content: Buffer }> {
  await inDatabase(databases, 'postgres', (client) => client.query('CHECKPOINT'));
  const relations = await relationFiles(databases);
  for (const folder of folders) {
    const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    for (const { parentPath, name } of files) {
      const path = relative(folder, join(parentPath, name)).split(sep).join('/');
      if (path.startsWith('postgres-binaries/')) continue;
      const content = readUnlessGone(join(parentPath, name));
      if (content) yield { place: placeOf(path, relations), content };
    }
  }
}

/** `file of order_summary, database of order`, by the path of the file in the cluster. */
async function relationFiles(databases: Databases): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const { oid, name, what } of await databasesOf(databases)) {
    await inDatabase(databases, name, async (client) => {
      const { rows } = await client.query<{ node: number; relation: string }>(
        `SELECT pg_relation_filenode(oid)::int AS node, oid::regclass::text AS relation
         FROM pg_class WHERE pg_relation_filenode(oid) IS NOT NULL`,
      );
      for (const { node, relation } of rows) names.set(`${oid}/${node}`, `file of ${relation}, ${what}`);
    });
  }
  return names;
}

function placeOf(path: string, relations: ReadonlyMap<string, string>): string {
  const [, relation] = /^postgres\/base\/(\d+\/\d+)/.exec(path) ?? [];
  if (relation) return relations.get(relation) ?? `data file ${path} of Postgres`;
  if (path.startsWith('postgres/pg_wal/')) return 'write-ahead log of Postgres';
  if (path.endsWith('.log') && !path.startsWith('kafka/data')) return `log ${path}`;
  return `file ${path}`;
}

/** A server that runs removes files. The zeros are left out with which it makes files large in advance. */
function readUnlessGone(file: string): Buffer | undefined {
  try {
    const content = readFileSync(file);
    let end = content.length;
    while (end > 0 && content[end - 1] === 0) end--;
    return content.subarray(0, end);
  } catch (error) {
    if (existsSync(file)) throw error;
    return undefined;
  }
}

/** What a dump would contain: every cell of every table, of the backups, too. */
export async function searchTables(sweep: Sweep, databases: Databases): Promise<void> {
  for (const { name, what } of await databasesOf(databases)) {
    await inDatabase(databases, name, async (client) => {
      for (const table of await tablesIn(client)) {
        for await (const { column, text } of cellsOf(client, table)) {
          sweep.look('cells', `${what}, table ${table}, column ${column}`, text);
        }
      }
    });
  }
}

/** Our tables in a database, as SQL names them. */
export async function tablesIn(client: PostgresConnection): Promise<string[]> {
  const { rows } = await client.query<{ table: string }>(
    `SELECT oid::regclass::text AS table FROM pg_class WHERE relkind IN ('r', 'p', 'm') AND ${IS_OURS} ORDER BY 1`,
  );
  return rows.map(({ table }) => table);
}

/** The cells of a table as the server writes them. */
export async function* cellsOf(
  client: PostgresConnection,
  table: string,
): AsyncIterable<{ readonly column: string; readonly text: string }> {
  const types = { getTypeParser: () => (text: string) => text };
  const { rows, fields } = await client.query<(string | null)[]>({
    text: `SELECT * FROM ${table}`,
    rowMode: 'array',
    types,
  });
  for (const row of rows) {
    for (const [i, text] of row.entries()) if (text !== null) yield { column: fields[i]!.name, text };
  }
}

/** What stands on the topics of a Kafka, of the brokers' own, too. The topics of a Postgres bus are tables. */
export async function searchTopics(sweep: Sweep, busUrl: string): Promise<void> {
  if (!busUrl.startsWith('kafka:')) return;
  const kafka = plainKafka(busUrl);
  const admin = kafka.admin();
  await admin.connect();
  const unread = new Map<string, bigint>();
  const topics = (await admin.listTopics()).filter((topic) => !topic.startsWith('__'));
  for (const topic of topics) {
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic)) {
      if (BigInt(high) > BigInt(low)) unread.set(`${topic} ${partition}`, BigInt(high) - 1n);
    }
  }
  const groupId = `erasure-proof-${randomUUID()}`;
  const consumer = kafka.consumer({ groupId });
  try {
    if (unread.size === 0) return;
    await consumer.connect();
    await consumer.subscribe({ topics, fromBeginning: true });
    await new Promise<void>((allRead, failed) => {
      // A broker that has just started is not ready at once: then it is tried again.
      consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || failed(payload.error));
      const eachMessage = async ({ topic, partition, message }: EachMessage) => {
        const { key, value, headers = {} } = message;
        for (const content of [key, value, ...Object.values(headers).flat()]) {
          if (content) sweep.look('records', `topic ${topic}`, content);
        }
        const last = unread.get(`${topic} ${partition}`);
        if (last !== undefined && BigInt(message.offset) >= last) unread.delete(`${topic} ${partition}`);
        if (unread.size === 0) allRead();
      };
      consumer.run({ eachMessage, autoCommit: false }).catch(failed);
    });
  } finally {
    await consumer.disconnect();
    await admin.disconnect();
  }
}

type EachMessage = Parameters<
  NonNullable<NonNullable<Parameters<ReturnType<Kafka['consumer']>['run']>[0]>['eachMessage']>
>[0];

/** A client that has nothing of our adapter. */
export function plainKafka(url: string): Kafka {
  return new Kafka({ brokers: [new URL(url).host], logLevel: logLevel.NOTHING });
}
