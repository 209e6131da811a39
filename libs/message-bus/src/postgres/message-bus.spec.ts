import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Clock, type Log, silentLog, SystemClock } from '#runtime';
import { ManualClock } from '#runtime/testing';
import { freshDatabase } from '#test/database';
import { message, messageBusContract, numberOf, until } from '../contract.js';
import type { Delivered } from '../port.js';
import { PostgresMessageBus } from './message-bus.js';

let url: string;
const clock = new SystemClock();

beforeAll(async () => {
  url = await freshDatabase();
});

messageBusContract('PostgresMessageBus', async () => ({
  open: () => PostgresMessageBus.open({ url, clock }),
  topic: async () => `topic.${randomUUID()}`,
}));

function open(options: { partitions?: number; clock?: Clock; log?: Log } = {}): Promise<PostgresMessageBus> {
  return PostgresMessageBus.open({ url, clock, ...options });
}

async function sql<R extends pg.QueryResultRow>(text: string, values: unknown[] = []): Promise<R[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

test('an instance whose connection is killed in the middle of a batch loses the batch, and another instance starts it again', async () => {
  const [killed, heir, topic, stop] = [await open(), await open(), randomUUID(), new AbortController()];
  await heir.publish(topic, [message('a', 0), message('a', 1)]);
  const log: string[] = [];
  const first = killed.consume({
    group: 'killed',
    topics: [topic],
    signal: stop.signal,
    handle: async (batch, lost) => {
      log.push(`first: ${batch.map(numberOf)}`);
      await new Promise((resolve) => lost.addEventListener('abort', resolve));
      log.push('first: lost'); // It then returns as if all were well, which must not be believed.
    },
  });
  first.catch(() => {});
  await until(() => expect(log).toEqual(['first: 0,1']));
  const second = heir.consume({
    group: 'killed',
    topics: [topic],
    signal: stop.signal,
    handle: async (batch) => void log.push(`second: ${batch.map(numberOf)}`),
  });
  await sql(`SELECT pg_terminate_backend(min(pid)) FROM pg_stat_activity WHERE application_name = 'larder-consumer:killed'
    AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid > 0)`);
  await expect(first).rejects.toThrow(/lost its connection/);
  await until(() => expect(log.toSorted()).toEqual(['first: 0,1', 'first: lost', 'second: 0,1']));
  stop.abort();
  await second;
  await Promise.all([killed.close(), heir.close()]);
});

test('the new owner of a partition continues behind what the previous owner finished', async () => {
  const manual = new ManualClock();
  const [owner, heir, topic, stop] = [await open({ clock: manual }), await open(), randomUUID(), new AbortController()];
  const keys = Array.from({ length: 24 }, (_, i) => `key${i}`);
  const round = (n: number) => keys.map((key) => message(key, n));
  await owner.publish(topic, round(0));
  const byOwner: Delivered[] = [];
  const byHeir: Delivered[] = [];
  let goOn = () => {};
  const atWork = new Promise<void>((resolve) => (goOn = resolve));
  const consume = (bus: PostgresMessageBus, handle: (batch: readonly Delivered[]) => Promise<void>) =>
    bus.consume({ group: 'given', topics: [topic], signal: stop.signal, handle });
  const owning = consume(owner, async (batch) => {
    byOwner.push(...batch);
    await atWork;
  });
  await until(() => expect(byOwner).toHaveLength(keys.length));
  const inheriting = consume(heir, async (batch) => void byHeir.push(...batch));
  const members = `SELECT FROM pg_locks JOIN message_bus.subscriptions ON id = classid::int
    WHERE locktype = 'advisory' AND objid = 0 AND topic = $1`;
  await until(async () => expect(await sql(members, [topic])).toHaveLength(2));
  await manual.advance(1_000); // Time to share, before it asks for more.
  goOn();
  await until(async () => {
    await owner.publish(topic, round(1));
    expect(byHeir.length).toBeGreaterThan(0);
  });
  expect(byHeir.filter((it) => numberOf(it) === 0)).toEqual([]);
  stop.abort();
  await Promise.all([owning, inheriting]);
  await Promise.all([owner.close(), heir.close()]);
});

test('a waiting reader in another instance is woken by a notification, before its poll', async () => {
  const [writer, reader, topic, stop] = [
    await open(),
    await open({ clock: new ManualClock() }),
    randomUUID(),
    new AbortController(),
  ];
  const seen: number[] = [];
  const handle = async (batch: readonly Delivered[]) => void seen.push(...batch.map(numberOf));
  const consuming = reader.consume({ group: 'woken', topics: [topic], signal: stop.signal, handle });
  // The reader's clock stands still, so it never polls. Twice: a message that it found on its way to sleep proves nothing.
  for (const count of [1, 2, 3]) {
    await writer.publish(topic, [message('a', count)]);
    await until(async () => {
      if (seen.length === 0) await writer.publish(topic, [message('a', 0)]); // Until it listens.
      expect(seen).toContain(count);
    });
  }
  stop.abort();
  await consuming;
  await Promise.all([writer.close(), reader.close()]);
});

test('a reader is not woken for types that it ignores: they come with the next message, or in a moment', async () => {
  const manual = new ManualClock();
  const [bus, topic, stop] = [await open({ clock: manual }), randomUUID(), new AbortController()];
  const consume = (group: string, seen: number[], ignores: string[]) => {
    const handle = async (batch: readonly Delivered[]) => void seen.push(...batch.map(numberOf));
    return bus.consume({ group, topics: [topic], ignores, signal: stop.signal, handle });
  };
  const [all, some]: [number[], number[]] = [[], []];
  const consuming = [consume('all', all, []), consume('some', some, ['Dull'])];
  let published = 0;
  const publish = async (type: string) => {
    await bus.publish(topic, [{ ...message('a', published++), type }]);
    await until(() => expect(all).toContain(published - 1));
  };
  // The clock stands still, so nobody polls. A message that is found on the way to sleep proves nothing: so ten in a row.
  const left = async () => {
    const before = some.length;
    for (let n = 0; n < 10; n++) await publish('Dull');
    expect(some).toHaveLength(before);
  };
  const caughtUp = () => until(() => expect(some).toEqual(Array.from({ length: published }, (_, n) => n)));
  await publish('Tested');
  await until(left);
  await publish('Tested');
  await caughtUp();
  await until(left);
  await manual.advance(1_000);
  await caughtUp();
  stop.abort();
  await Promise.all(consuming);
  await bus.close();
});

test('the partitions of a topic stay as many as they were at its first use', async () => {
  const topic = randomUUID();
  const [three, twelve] = [await open({ partitions: 3 }), await open()];
  await three.publish(topic, [message('a', 0)]);
  await expect(twelve.publish(topic, [message('a', 1)])).rejects.toThrow(/created with 3 partitions.*partitions: 3/);
  await Promise.all([three.close(), twelve.close()]);
});

test('a name that cannot be a topic is refused', async () => {
  const bus = await open();
  await expect(bus.publish('no "topic"', [message('a', 0)])).rejects.toThrow(/not a valid name for a topic/);
  await bus.close();
});

test('many instances open an empty database together', async () => {
  const fresh = await freshDatabase();
  const buses = await Promise.all(Array.from({ length: 8 }, () => PostgresMessageBus.open({ url: fresh, clock })));
  await Promise.all(buses.map((bus) => bus.publish('topic', [message('a', 0)])));
  await Promise.all(buses.map((bus) => bus.close()));
});

test('a reader that sees an offset has seen every offset before it, while many publish', async () => {
  const topic = randomUUID();
  const buses = await Promise.all(Array.from({ length: 4 }, () => open()));
  let publishing = true;
  const writers = Promise.all(
    buses.map(async (bus, i) => {
      for (let n = 0; n < 100; n++) await bus.publish(topic, [message(`key${i}`, n), message(`key${i}`, n)]);
    }),
  ).finally(() => (publishing = false));
  while (publishing) {
    const [row] = await sql<{ count: string; last: string }>(
      'SELECT count(*), coalesce(max("offset"), 0) AS last FROM message_bus.messages WHERE topic = $1',
      [topic],
    );
    expect(row!.last, 'without gaps, the last offset is their number').toBe(row!.count);
  }
  await writers;
  await Promise.all(buses.map((bus) => bus.close()));
});

describe('retention', () => {
  const DAY_MS = 24 * 60 * 60_000;
  const ids = async (topic: string) =>
    (await sql<{ id: string }>('SELECT id FROM message_bus.messages WHERE topic = $1 ORDER BY "offset"', [topic])).map(
      ({ id }) => id,
    );
  /** As if the messages of a topic had been published so long ago. */
  const age = (topic: string, days: number) =>
    sql('UPDATE message_bus.messages SET published_at = published_at - make_interval(days => $2) WHERE topic = $1', [
      topic,
      days,
    ]);

  /** A group that reads a topic until it has got `count` messages. */
  async function read(bus: PostgresMessageBus, topic: string, group: string, count: number): Promise<Delivered[]> {
    const stop = new AbortController();
    const got: Delivered[] = [];
    const handle = async (batch: readonly Delivered[]) => void got.push(...batch);
    const consuming = bus.consume({ group, topics: [topic], signal: stop.signal, handle });
    await until(() => expect(got.length).toBeGreaterThanOrEqual(count));
    stop.abort();
    await consuming;
    return got;
  }

  test('messages are deleted when their retention is over by the clock of the database, read or not', async () => {
    const topic = randomUUID();
    const manual = new ManualClock();
    const bus = await open({ clock: manual });
    await bus.publish(topic, [message('a', 0), message('b', 0)]);
    await age(topic, 8);
    await bus.publish(topic, [message('a', 1)]);
    await manual.advance(3_600_000); // Time to sweep.
    await bus.publish(topic, [message('a', 2)]);
    await until(async () => expect(await ids(topic)).toEqual(['a/1', 'a/2']));
    await bus.close();
  });

  test.each([
    ['forward a week and a day', 8 * DAY_MS],
    ['back ten minutes', -600_000],
  ])('a publisher whose clock is set %s deletes nothing, and still sweeps', async (_, setMs) => {
    const topic = randomUUID();
    const manual = new ManualClock(new Date().toISOString());
    const [bus, wrong] = [await open(), await open({ clock: manual })];
    await wrong.publish(topic, [message('a', 0)]);
    manual.set(setMs);
    await manual.advance(3_600_000);
    await wrong.publish(topic, [message('a', 1)]);
    await age(topic, 6);
    await manual.advance(3_600_000);
    await wrong.publish(topic, [message('a', 2)]);
    expect((await read(bus, topic, 'careful', 3)).map(numberOf)).toEqual([0, 1, 2]);
    await sql(
      `UPDATE message_bus.messages SET published_at = now() - interval '8 days' WHERE id = 'a/0' AND topic = $1`,
      [topic],
    );
    await manual.advance(3_600_000);
    await wrong.publish(topic, [message('a', 3)]);
    await until(async () => expect(await ids(topic)).toEqual(['a/1', 'a/2', 'a/3']));
    await Promise.all([bus.close(), wrong.close()]);
  });

  test('what a group had not read when it was deleted is said: when it is deleted, when the group comes back, and when asked', async () => {
    const [topic, manual, errors] = [randomUUID(), new ManualClock(), [] as object[]];
    const log = { ...silentLog, error: (fields: object) => void errors.push(fields) };
    const bus = await open({ clock: manual, log });
    await bus.publish(topic, [message('a', 0), message('b', 0)]);
    await read(bus, topic, 'away', 2);
    await read(bus, topic, 'diligent', 2);
    await bus.publish(topic, [message('a', 1), message('a', 2), message('b', 1)]);
    await read(bus, topic, 'diligent', 3);
    expect(await bus.missed('away')).toEqual([]);

    await age(topic, 8);
    await manual.advance(3_600_000);
    await bus.publish(topic, [message('a', 3)]);
    await until(() => expect(errors).toEqual([{ group: 'away', topic, messages: 3 }]));
    const missed = { topic, messages: 3, at: expect.stringMatching(/Z$/) };
    expect(await bus.missed('away')).toEqual([missed]);
    expect(await bus.missed('diligent')).toEqual([]);

    // A group that is new starts with what there is, and has missed nothing.
    for (const group of ['away', 'diligent', 'new']) {
      expect((await read(bus, topic, group, 1)).map(({ id }) => id)).toEqual(['a/3']);
    }
    expect(errors.slice(1)).toEqual([{ group: 'away', ...missed }]);
    await bus.close();
  });
});

test('partitions of a member that ended without a word are taken over, although the clock was set back ten minutes', async () => {
  const topic = randomUUID();
  const setBack = new (class extends SystemClock {
    byMs = 0;
    override now = () => new Date(Date.now() - this.byMs);
  })();
  const [bus, stop, got] = [await open({ clock: setBack }), new AbortController(), [] as number[]];
  await bus.publish(topic, [message('a', 0)]);
  const handle = async (batch: readonly Delivered[]) => void got.push(...batch.map(numberOf));
  const consuming = bus.consume({ group: 'heir', topics: [topic], signal: stop.signal, handle });
  await until(() => expect(got).toEqual([0]));
  // A member that holds every partition which the heir gives up, and tells nobody when it goes.
  const silent = new pg.Client({ connectionString: url });
  await silent.connect();
  const [subscription] = await sql<{ id: number }>(`SELECT id FROM message_bus.subscriptions WHERE topic = $1`, [
    topic,
  ]);
  await silent.query('SELECT pg_advisory_lock_shared($1, 0)', [subscription!.id]);
  const locks = `SELECT pg_try_advisory_lock($1, n) AS got FROM generate_series(1, 12) AS n`;
  let taken = 0;
  await until(async () => {
    const { rows } = await silent.query<{ got: boolean }>(locks, [subscription!.id]);
    taken += rows.filter((row) => row.got).length;
    expect(taken).toBeGreaterThanOrEqual(6);
  });
  setBack.byMs = 600_000;
  await silent.end();
  const keys = Array.from({ length: 24 }, (_, i) => `key${i}`);
  await bus.publish(
    topic,
    keys.map((key) => message(key, 1)),
  );
  await until(() => expect(got.filter((n) => n === 1)).toHaveLength(24), 5_000);
  stop.abort();
  await consuming;
  await bus.close();
});
