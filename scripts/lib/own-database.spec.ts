/** A service logs in as a role that owns its database and nothing else. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { PostgresEventStore } from '#event-store/postgres';
import { PostgresMessageBus } from '#message-bus/postgres';
import { silentLog, SystemClock } from '#runtime';
import { freshDatabase } from '#test/database';
import { expect, inject, test, vi } from 'vitest';
import { services } from '../../apps/shop.js';
import { main as migrateAll } from '../migrate.js';
import { Advice } from './advice.js';
import { ownDatabase } from './own-database.js';

const superuser = inject('postgresUrl');

/** A URL with a role of its own; the database is new unless it is named. */
function urlOf(database = `d_${randomUUID().slice(0, 8)}`): string {
  const url = new URL(superuser);
  [url.username, url.password, url.pathname] = [`r_${randomUUID().slice(0, 8)}`, `it's "secret"`, `/${database}`];
  return url.href;
}

const nameIn = (url: string) => new URL(url).pathname.slice(1);

async function ask<T extends pg.QueryResultRow>(url: string, sql: string): Promise<T[]> {
  const client = new pg.Client({ connectionString: url });
  try {
    await client.connect();
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

test('the role owns its database, and can do nothing outside of it', async () => {
  const [url, other] = [urlOf(), urlOf()];
  for (const each of [url, other]) await ownDatabase(superuser, each);
  await ask(url, 'CREATE TABLE mine (id int); CREATE SCHEMA also_mine');

  const elsewhere = Object.assign(new URL(url), { pathname: `/${nameIn(other)}` }).href;
  await expect(ask(elsewhere, 'SELECT')).rejects.toThrow('permission denied for database');
  const role = await ask(url, 'SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = current_user');
  expect(role).toEqual([{ rolsuper: false, rolcreaterole: false, rolcreatedb: false }]);
  for (const forbidden of ['CREATE DATABASE more', 'CREATE ROLE more', `COPY mine FROM PROGRAM 'id'`, 'CHECKPOINT'])
    await expect(ask(url, forbidden)).rejects.toThrow('permission denied');
});

test('once more changes nothing but the password', async () => {
  const url = urlOf();
  await ownDatabase(superuser, url);
  await ask(url, 'CREATE TABLE mine AS SELECT 1 AS one');
  const changed = Object.assign(new URL(url), { password: 'new' }).href;
  await ownDatabase(superuser, changed);
  expect(await ask(changed, 'SELECT one FROM mine')).toEqual([{ one: 1 }]);
  await expect(ask(url, 'SELECT')).rejects.toThrow('password authentication failed');
});

test("a database that was the superuser's is handed over with all that is in it", async () => {
  const before = await freshDatabase('order');
  const clock = new SystemClock();
  const event = {
    id: randomUUID(),
    type: 'T',
    data: {},
    metadata: { correlationId: 'c', causationId: 'c', schema: 1 },
  };
  const append = async (url: string, expected: 'none' | number) => {
    const store = await PostgresEventStore.open({ url, clock });
    await store.append([{ stream: 'order-1', expected, events: [{ ...event, id: randomUUID() }] }]);
    await store.close();
  };
  await append(before, 'none');
  await (await PostgresMessageBus.open({ url: before, clock, log: silentLog })).close();
  await ask(
    before,
    `CREATE TYPE mood AS ENUM ('good'); CREATE DOMAIN positive AS int; CREATE TABLE "Odd name" (id serial, mood mood);
     CREATE MATERIALIZED VIEW seen AS SELECT 1 AS one; CREATE PROCEDURE nothing() LANGUAGE sql AS '';
     CREATE EXTENSION pg_trgm`,
  );

  const url = urlOf(nameIn(before));
  await ownDatabase(superuser, url);

  const left = await ask(
    url,
    `SELECT relname AS name FROM pg_class WHERE pg_get_userbyid(relowner) <> current_user
       AND relnamespace::regnamespace::text IN ('public', 'event_store', 'message_bus')
     UNION ALL SELECT proname FROM pg_proc p WHERE pg_get_userbyid(proowner) <> current_user
       AND pronamespace::regnamespace::text IN ('public', 'event_store', 'message_bus')
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = p.oid AND deptype = 'e')
     UNION ALL SELECT typname FROM pg_type t WHERE pg_get_userbyid(typowner) <> current_user
       AND typnamespace::regnamespace::text IN ('public', 'event_store', 'message_bus')
       AND NOT EXISTS (SELECT FROM pg_depend WHERE objid IN (t.oid, t.typelem) AND deptype = 'e')
     UNION ALL SELECT nspname FROM pg_namespace WHERE nspname IN ('event_store', 'message_bus')
       AND pg_get_userbyid(nspowner) <> current_user`,
  );
  expect(left).toEqual([]);
  await append(url, 0);
  await ask(url, 'ALTER TABLE order_summary ADD COLUMN note text; DROP TABLE "Odd name"; DROP TYPE mood');
  await append(before, 1); // A service of the release before, which runs until it is replaced.
});

test('a superuser is not taken for the role of a service, and a role needs a password', async () => {
  const url = Object.assign(new URL(superuser), { pathname: '/shop' }).href;
  await expect(ownDatabase(superuser, url)).rejects.toThrow(/is a superuser\. Name one/);
  const nameless = Object.assign(new URL(urlOf()), { password: '' }).href;
  await expect(ownDatabase(superuser, nameless)).rejects.toThrow(Advice);
});

test('migrate creates what its URLs name, and says which of them is wrong', async () => {
  const urls = Object.fromEntries(services.map((service) => [`${service.toUpperCase()}_DATABASE_URL`, urlOf()]));
  const bus = urlOf();
  for (const [name, value] of Object.entries({ ...urls, MESSAGE_BUS_URL: bus, POSTGRES_SUPERUSER_URL: superuser }))
    vi.stubEnv(name, value);
  const printed = vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    await migrateAll();
    for (const url of Object.values(urls)) expect(await ask(url, 'SELECT FROM checkpoints')).toEqual([]);
    expect(await ask(bus, 'SELECT current_user = current_role AS ok')).toEqual([{ ok: true }]);

    vi.stubEnv('POSTGRES_SUPERUSER_URL', Object.assign(new URL(superuser), { password: 'wrong' }).href);
    await expect(migrateAll()).rejects.toThrow(
      /^POSTGRES_SUPERUSER_URL, for ORDER_DATABASE_URL: password authentication failed/,
    );
  } finally {
    printed.mockRestore();
    vi.unstubAllEnvs();
  }
});
