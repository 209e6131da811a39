/** Where the commands look for the shop's events: `EVENT_STORE_URL` and its sisters, and the shop that is open here. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { freshDatabase } from '#test/database';
import { PostgresEventStore } from '#event-store/postgres';
import { SystemClock } from '#runtime';
import { services } from '../apps/shop.js';
import { main as archive } from './archive.js';
import { noteStore, notedStore } from './lib/data-folder.js';
import { databasesOfTheShop } from './lib/databases.js';
import { freePort, type PostgresServer, startPostgres } from './lib/embedded-postgres.js';
import { openBooks } from './lib/reconcile/open-books.js';
import { replay, targetsIn } from './replay.js';
import { main as reset } from './reset.js';

const KURRENTDB = 'kurrentdb://ada:secret@events.example:2113';

afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

describe('of the shop that is open here', () => {
  let data: string;
  let postgres: PostgresServer;
  beforeAll(async () => {
    data = mkdtempSync(join(tmpdir(), 'larder-databases-'));
    const log = join(data, 'postgres.log');
    postgres = await startPostgres({ folder: join(data, 'postgres'), port: await freePort(), log, disposable: true });
  });
  afterAll(async () => {
    await postgres?.stop();
    rmSync(data, { recursive: true, force: true });
  });
  beforeEach(() => {
    vi.stubEnv('LARDER_DATA', data);
    noteStore(data, undefined);
  });

  test('they are in its Postgres, a database for each service', async () => {
    const databases = await databasesOfTheShop();
    for (const service of services) {
      expect(databases[service]).toEqual({ databaseUrl: postgres.url(service), storeUrl: postgres.url(service) });
    }
  });

  test('they are where it was told to store them', async () => {
    noteStore(data, KURRENTDB);
    expect(await databasesOfTheShop()).toMatchObject({
      order: { databaseUrl: postgres.url('order'), storeUrl: KURRENTDB },
      payment: { databaseUrl: postgres.url('payment'), storeUrl: KURRENTDB },
    });
  });

  test('a variable beside the command counts first: that of a service, then the one of all', async () => {
    noteStore(data, KURRENTDB);
    vi.stubEnv('EVENT_STORE_URL', 'kurrentdb://all');
    vi.stubEnv('ORDER_EVENT_STORE_URL', 'kurrentdb://order');
    const { order, payment } = await databasesOfTheShop();
    expect([order.storeUrl, payment.storeUrl]).toEqual(['kurrentdb://order', 'kurrentdb://all']);
  });

  test('such a variable may come from a file', async () => {
    writeFileSync(join(data, 'order-url'), `${KURRENTDB}\n`);
    vi.stubEnv('ORDER_EVENT_STORE_URL_FILE', join(data, 'order-url'));
    expect((await databasesOfTheShop()).order.storeUrl).toBe(KURRENTDB);
    vi.stubEnv('ORDER_EVENT_STORE_URL', KURRENTDB);
    await expect(databasesOfTheShop()).rejects.toThrow(
      'ORDER_EVENT_STORE_URL and ORDER_EVENT_STORE_URL_FILE are both set. Remove one of them.',
    );
  });

  test('a database of another shop has nothing to do with it', async () => {
    noteStore(data, KURRENTDB);
    const own = 'postgresql://db.example/order';
    vi.stubEnv('ORDER_DATABASE_URL', own);
    expect((await databasesOfTheShop()).order).toEqual({ databaseUrl: own, storeUrl: own });
  });

  test('one KurrentDB is for all services, but a Postgres only for the one whose variables it stands among', async () => {
    const own = 'postgresql://db.example/inventory';
    vi.stubEnv('INVENTORY_DATABASE_URL', own);
    vi.stubEnv('EVENT_STORE_URL', 'postgresql://db.example/order');
    expect((await databasesOfTheShop()).inventory.storeUrl).toBe(own);
    vi.stubEnv('EVENT_STORE_URL', KURRENTDB);
    expect((await databasesOfTheShop()).inventory.storeUrl).toBe(KURRENTDB);
  });
});

describe('what a shop notes of its store', () => {
  let data: string;
  beforeEach(() => {
    data = mkdtempSync(join(tmpdir(), 'larder-noted-'));
    vi.stubEnv('LARDER_DATA', data);
  });
  afterEach(() => rmSync(data, { recursive: true, force: true }));

  test('is for its owner alone, and is replaced when the shop is opened again', () => {
    noteStore(data, KURRENTDB);
    expect(statSync(join(data, 'event-store.env')).mode & 0o777).toBe(0o600);
    noteStore(data, 'kurrentdb://another');
    expect(notedStore(data)).toBe('kurrentdb://another');
    noteStore(data, undefined);
    expect(notedStore(data)).toBeUndefined();
  });

  test('is not taken for it when others wrote it', () => {
    writeFileSync(join(data, 'event-store.env'), 'EVENT_STORE_URL=\nDEBUG=1\n');
    expect(notedStore(data)).toBeUndefined();
  });

  test('a reset forgets, and says that the events are left, without the password', async () => {
    noteStore(data, KURRENTDB);
    const log = vi.spyOn(console, 'log').mockImplementation(() => {});
    await reset();
    expect(log.mock.calls.flat()[0]).toBe(
      'Its events are in kurrentdb://ada:***@events.example:2113 and are left alone: a new shop needs another store, or that one emptied.',
    );
    expect(notedStore(data)).toBeUndefined();
  });
});

describe('a database in which no service has ever opened an event store is said to be that, in one line', () => {
  const unopened =
    /^The events of order cannot be opened: No service has ever opened an event store in this database\. Start the service, or correct EVENT_STORE_URL\.$/;
  const urls = async () => {
    for (const service of services) {
      const url = await freshDatabase(service);
      vi.stubEnv(`${service.toUpperCase()}_DATABASE_URL`, url);
      if (service !== 'order') await (await PostgresEventStore.open({ url, clock: new SystemClock() })).close();
    }
    return databasesOfTheShop();
  };
  const silent = { isTTY: false, write: () => {} };

  test('by reconcile', async () => {
    await expect(openBooks(await urls(), new SystemClock())).rejects.toThrow(unopened);
  });

  test('by replay, which creates none', async () => {
    const { order } = await urls();
    const written: string[] = [];
    const stderr = { isTTY: false, write: (text: string) => written.push(text) };
    for (const action of ['order-summary', '--list']) {
      const running = replay([action], targetsIn(await databasesOfTheShop()), { stdout: silent, stderr });
      await expect(running).rejects.toThrow(unopened);
      await expect(running).rejects.toMatchObject({ name: 'Advice' });
    }
    expect(written).toEqual([]);
    const reading = PostgresEventStore.open({ url: order.storeUrl, clock: new SystemClock(), readOnly: true });
    await expect(reading).rejects.toThrow('No service has ever opened');
  });

  test('by archive', async () => {
    await urls();
    await expect(archive(['--older-than', '1d'])).rejects.toThrow(unopened);
  });
});
