import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { beforeAll, expect, test } from 'vitest';
import { type Clock, SystemClock } from '#runtime';
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

function open(options: { partitions?: number; clock?: Clock; retentionMs?: number } = {}): Promise<PostgresMessageBus> {
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

test('messages are deleted when their retention is over, read or not', async () => {
  const topic = randomUUID();
  const manual = new ManualClock();
  const bus = await open({ clock: manual, retentionMs: 7_200_000 });
  const left = async () =>
    (await sql<{ id: string }>('SELECT id FROM message_bus.messages WHERE topic = $1 ORDER BY "offset"', [topic])).map(
      ({ id }) => id,
    );
  await bus.publish(topic, [message('a', 0), message('b', 0)]);
  await manual.advance(7_000_000);
  await bus.publish(topic, [message('a', 1)]);
  expect(await left()).toEqual(['a/0', 'b/0', 'a/1']);
  await manual.advance(3_600_000);
  await bus.publish(topic, [message('a', 2)]);
  await until(async () => expect(await left()).toEqual(['a/1', 'a/2']));
  await bus.close();
});
