/** What `MessageBus` promises, as tests. Each adapter's spec is one line over this suite. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { untilAborted } from '#runtime';
import { type ConsumeOptions, type Delivered, type Message, MessageBus } from './port.js';

export interface BusUnderTest {
  /** Another instance over the same log, as another process has it. Closing it in the middle of a batch stands for a crash. */
  readonly open: () => Promise<MessageBus>;
  /** The name of an unused topic, with several partitions. */
  readonly topic: () => Promise<string>;
}

const KEYS = Array.from({ length: 40 }, (_, i) => `order-${i}`);

export function messageBusContract(name: string, underTest: () => Promise<BusUnderTest>): void {
  describe(`${name} keeps the contract of a message bus:`, () => {
    let buses: MessageBus[];
    let stops: AbortController[];
    let ends: Promise<unknown>[];
    let setup: BusUnderTest;
    let topic: string;

    beforeEach(async () => {
      [buses, stops, ends] = [[], [], []];
      setup = await underTest();
      topic = await setup.topic();
    });

    afterEach(async () => {
      stops.forEach((stop) => stop.abort());
      await Promise.allSettled(ends);
      await Promise.all(buses.map((bus) => bus.close()));
    });

    async function open(): Promise<MessageBus> {
      const bus = await setup.open();
      buses.push(bus);
      return bus;
    }

    /** Consumes in the background until `stop()`, or until its bus is closed. */
    function consume(
      bus: MessageBus,
      handle: ConsumeOptions['handle'],
      group = 'group',
      topics = [topic],
      onAssigned = () => {},
    ) {
      const stop = new AbortController();
      const ended = bus.consume({ group, topics, handle, onAssigned, signal: stop.signal });
      stops.push(stop);
      ends.push(ended);
      ended.catch(() => {}); // Asserted where it matters.
      return { ended, stop: () => (stop.abort(), ended) };
    }

    /** Consumes into a list. */
    function collect(bus: MessageBus, group = 'group', topics = [topic]) {
      const seen: Delivered[] = [];
      return { seen, ...consume(bus, async (batch) => void seen.push(...batch), group, topics) };
    }

    test('messages of one key arrive in order, within a batch and across batches', async () => {
      const bus = await open();
      const { seen } = collect(bus);
      for (let round = 0; round < 10; round++) {
        await bus.publish(topic, [
          ...KEYS.map((key) => message(key, 2 * round)),
          ...KEYS.map((key) => message(key, 2 * round + 1)),
        ]);
      }
      await until(() => expect(seen).toHaveLength(20 * KEYS.length));
      expectInOrder(seen, 20);
    });

    test('a backlog of several batches arrives in order', async () => {
      const bus = await open();
      await bus.publish(
        topic,
        Array.from({ length: 2_000 }, (_, i) => message(KEYS[i % KEYS.length]!, Math.floor(i / KEYS.length))),
      );
      const { seen } = collect(bus);
      await until(() => expect(seen).toHaveLength(2_000));
      expectInOrder(seen, 50);
    });

    test('messages that are published concurrently are delivered without gaps', async () => {
      const [one, two, reader] = [await open(), await open(), await open()];
      const { seen } = collect(reader);
      const publish = async (bus: MessageBus, source: string) => {
        for (let n = 0; n < 50; n++) await bus.publish(topic, [message(`${source}-key`, n)]);
      };
      await Promise.all([publish(one, 'a'), publish(one, 'b'), publish(two, 'c'), publish(two, 'd')]);
      await until(() => expect(seen).toHaveLength(200));
      expectInOrder(seen, 50);
    });

    test('keys spread over partitions, each key stays in one, and offsets grow', async () => {
      const bus = await open();
      await bus.publish(
        topic,
        [...KEYS, ...KEYS].map((key, n) => message(key, n)),
      );
      const { seen } = collect(bus);
      await until(() => expect(seen).toHaveLength(2 * KEYS.length));
      expect(new Set(seen.map(({ partition }) => partition)).size).toBeGreaterThan(1);
      for (const key of KEYS) expect(new Set(of(seen, key).map(({ partition }) => partition)).size).toBe(1);
      for (const partition of new Set(seen.map((m) => m.partition))) {
        const offsets = seen.filter((m) => m.partition === partition).map(({ offset }) => offset);
        expect(offsets).toEqual([...new Set(offsets)].sort((a, b) => Number(a - b)));
      }
    });

    test('a message arrives as it was sent, with any text and at any size', async () => {
      const bus = await open();
      const sent: Message[] = [
        {
          ...message('köln-東京-🫒', 0),
          data: { text: 'ß 東京 🫒 "\\ \n \u0000 {a,b} NULL', empty: {}, list: [null, 1.5, ''] },
        },
        { ...message('large', 0), data: { text: 'x🫒'.repeat(100_000) } },
        { ...message('traced', 0), traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' },
      ];
      await bus.publish(topic, sent);
      const { seen } = collect(bus);
      await until(() => expect(seen).toHaveLength(sent.length));
      for (const message of sent) {
        const { partition, offset, ...received } = of(seen, message.key)[0]!;
        expect(received).toEqual({ ...message, topic });
        expect([typeof partition, typeof offset]).toEqual(['number', 'bigint']);
      }
    });

    test('an empty list publishes nothing', async () => {
      const bus = await open();
      await bus.publish(topic, []);
      await bus.publish(topic, [message('a', 0)]);
      const { seen } = collect(bus);
      await until(() => expect(seen).toHaveLength(1));
    });

    test('every group receives every message of all its topics, a new group from the beginning', async () => {
      const bus = await open();
      const other = await setup.topic();
      await bus.publish(
        topic,
        KEYS.map((key) => message(key, 0)),
      );
      await bus.publish(
        other,
        KEYS.map((key) => message(key, 1)),
      );
      const both = collect(bus, 'both', [topic, other]);
      await until(() => expect(both.seen).toHaveLength(2 * KEYS.length));
      const late = collect(bus, 'late');
      await until(() => expect(late.seen).toHaveLength(KEYS.length));
      expect(new Set(both.seen.map(({ topic }) => topic))).toEqual(new Set([topic, other]));
    });

    test('a group resumes where it stopped, and an acknowledged message survives a restart', async () => {
      const first = await open();
      await first.publish(
        topic,
        KEYS.map((key) => message(key, 0)),
      );
      const before = collect(first);
      await until(() => expect(before.seen).toHaveLength(KEYS.length));
      await before.stop();
      await first.publish(
        topic,
        KEYS.map((key) => message(key, 1)),
      );
      await first.close();

      const after = collect(await open());
      await until(() => expect(after.seen).toHaveLength(KEYS.length));
      expect(after.seen.every((m) => numberOf(m) === 1)).toBe(true);
    });

    test('the members of a group share the partitions, and no message is handled by two at once', async () => {
      const [one, two] = [await open(), await open()];
      const atWork = new Set<string>();
      const overlaps: string[] = [];
      const seen: Delivered[][] = [[], []];
      const member = (i: number) => async (batch: readonly Delivered[]) => {
        const partitions = [...new Set(batch.map(({ partition }) => String(partition)))];
        overlaps.push(...partitions.filter((partition) => atWork.has(partition)));
        partitions.forEach((partition) => atWork.add(partition));
        await new Promise((resolve) => setTimeout(resolve, 2));
        partitions.forEach((partition) => atWork.delete(partition));
        seen[i]!.push(...batch);
      };
      consume(one, member(0));
      consume(two, member(1));
      let rounds = 0;
      await until(async () => {
        await one.publish(
          topic,
          KEYS.map((key) => message(key, rounds)),
        );
        rounds++;
        const last = seen.map((list) => new Set(list.slice(-KEYS.length).map(({ partition }) => partition)));
        expect(last[0]!.size).toBeGreaterThan(0);
        expect(last[1]!.size).toBeGreaterThan(0);
      });
      await until(() => expect(seen.flat()).toHaveLength(rounds * KEYS.length));
      expect(overlaps, 'partitions at work twice at the same time').toEqual([]);
      for (const key of KEYS) {
        // Each part is in the order in which it was handled; together they are everything, once.
        const parts = seen.map((list) => of(list, key).map(numberOf));
        for (const part of parts) expect(part).toEqual(part.toSorted((a, b) => a - b));
        expect(parts.flat().toSorted((a, b) => a - b)).toEqual(Array.from({ length: rounds }, (_, n) => n));
      }
    });

    test('a member that leaves hands over without a gap, a repetition or a change of order', async () => {
      const [one, two] = [await open(), await open()];
      const seen: Delivered[] = [];
      const handle = async (batch: readonly Delivered[]) => void seen.push(...batch);
      const leaver = consume(one, handle);
      consume(two, handle);
      for (let n = 0; n < 10; n++) {
        await two.publish(
          topic,
          KEYS.map((key) => message(key, n)),
        );
        if (n === 5) await leaver.stop();
      }
      await until(() => expect(seen).toHaveLength(10 * KEYS.length));
      expectInOrder(seen, 10);
    });

    test('a member is notified of its partitions before their first batch', async () => {
      const [one, two] = [await open(), await open()];
      const assigned = [0, 0];
      /** By partition: who had its last batch, and how often each had been notified by then. */
      const last = new Map<number, { member: number; assigned: number[] }>();
      let [handled, moved] = [0, 0];
      const unannounced: string[] = [];
      const join = (bus: MessageBus, member: number) =>
        consume(
          bus,
          async (batch) => {
            for (const { partition, id } of batch) {
              const before = last.get(partition) ?? { member: -1, assigned: [0, 0] };
              if (before.member !== member) {
                moved++;
                if (assigned[member] === before.assigned[member]) unannounced.push(`${member}: ${id}`);
              }
              last.set(partition, { member, assigned: [...assigned] });
            }
            handled += batch.length;
          },
          'group',
          [topic],
          () => assigned[member]!++,
        );
      let rounds = 0;
      const round = async () => {
        const messages = KEYS.map((key) => message(key, rounds));
        await one.publish(topic, messages);
        rounds++;
        await until(() => expect(handled).toBeGreaterThanOrEqual(rounds * KEYS.length));
      };
      const first = join(one, 0);
      await round();
      const partitions = moved;
      join(two, 1);
      await until(async () => {
        await round();
        expect(moved).toBeGreaterThan(partitions);
      });
      await first.stop();
      await round();
      expect([...last.values()].map(({ member }) => member)).toEqual(Array(partitions).fill(1));
      expect(unannounced).toEqual([]);
    });

    test('a batch whose member dies is started again by another member', async () => {
      const [dying, heir] = [await open(), await open()];
      await heir.publish(
        topic,
        KEYS.flatMap((key) => [0, 1, 2].map((n) => message(key, n))),
      );
      const begun: Delivered[] = [];
      const died = consume(dying, async (batch, lost) => {
        begun.push(...batch);
        await untilAborted(lost);
      });
      await until(() => expect(begun.length).toBeGreaterThan(0));
      const { seen } = collect(heir);
      await dying.close();
      await expect(died.ended).rejects.toThrow();
      await until(() => expect(seen).toHaveLength(3 * KEYS.length));
      expectInOrder(seen, 3);
    });

    test('an offset is stored only after the work: a failed batch is delivered again, before anything later', async () => {
      const bus = await open();
      const attempts: Delivered[][] = [];
      consume(bus, async (batch) => {
        attempts.push([...batch]);
        if (attempts.length <= 2) throw new Error('not yet');
      });
      await bus.publish(topic, [message('a', 0), message('a', 1)]);
      await until(() => expect(attempts.length).toBeGreaterThanOrEqual(3));
      await bus.publish(topic, [message('a', 2)]);
      await until(() => expect(attempts.slice(2).flat().map(numberOf)).toEqual([0, 1, 2]));
      for (const failed of attempts.slice(0, 2)) expect(numberOf(failed[0]!)).toBe(0);
    });

    test(
      'what a group has not read shows by partition, and moves on when the work is done',
      { timeout: 60_000 },
      async () => {
        const bus = await open();
        let finish = () => {};
        consume(bus, () => new Promise<void>((done) => (finish = done)));
        const unread = () => bus.unread('group', [topic]);
        // The consumer may still be joining its group.
        const finishAll = () =>
          until(async () => {
            finish();
            expect(await unread()).toEqual([]);
          }, 30_000);
        await bus.publish(topic, [message('a', 0)]);
        await until(async () => expect(await unread()).toMatchObject([{ topic, unread: 1 }]));
        const [first] = await unread();
        await finishAll();
        await bus.publish(topic, [message('a', 1)]);
        await until(async () => expect(await unread()).toMatchObject([{ topic, partition: first!.partition }]));
        const [second] = await unread();
        expect(second!.done).toBeGreaterThan(first!.done);
        await finishAll();
      },
    );

    test('an offset is stored only after the work: a batch that never succeeded is delivered to the next instance', async () => {
      const [failing, next] = [await open(), await open()];
      await next.publish(topic, [message('a', 0)]);
      let failures = 0;
      const first = consume(failing, async () => {
        failures++;
        throw new Error('never');
      });
      await until(() => expect(failures).toBeGreaterThan(0));
      await first.stop();
      const { seen } = collect(next);
      await until(() => expect(seen.map(numberOf)).toEqual([0]));
    });

    test('while a batch is being handled, no later message of its partitions is delivered to the group', async () => {
      const [one, two] = [await open(), await open()];
      const finish = new AbortController();
      const seen: number[] = [];
      const handle = async (batch: readonly Delivered[]) => {
        seen.push(...batch.map(numberOf));
        await untilAborted(finish.signal);
      };
      consume(one, handle);
      await one.publish(topic, [message('a', 0)]);
      await until(() => expect(seen).toEqual([0]));
      consume(two, handle);
      await two.publish(topic, [message('a', 1), message('a', 2)]);
      await expect(until(() => expect(seen.length).toBeGreaterThan(1), 300)).rejects.toThrow();
      finish.abort();
      await until(() => expect(seen).toEqual([0, 1, 2]));
    });

    test('consume ends after the batch under way, whose offset is stored', async () => {
      const bus = await open();
      const finish = new AbortController();
      const work: string[] = [];
      const first = consume(bus, async () => {
        work.push('begun');
        await untilAborted(finish.signal);
        work.push('done');
      });
      await bus.publish(topic, [message('a', 0)]);
      await until(() => expect(work).toEqual(['begun']));
      const ended = first.stop().then(() => work.push('ended'));
      await bus.publish(topic, [message('a', 1)]);
      finish.abort();
      await ended;
      expect(work).toEqual(['begun', 'done', 'ended']);
      const { seen } = collect(bus);
      await until(() => expect(seen.map(numberOf)).toEqual([1]));
    });

    test('an instance that waits for messages ends at once', async () => {
      const bus = await open();
      const { stop, seen } = collect(bus);
      await bus.publish(topic, [message('a', 0)]);
      await until(() => expect(seen).toHaveLength(1));
      await stop();
    });

    test('a group that is rewound receives everything again', async () => {
      const bus = await open();
      await bus.publish(
        topic,
        KEYS.map((key) => message(key, 0)),
      );
      const first = collect(bus);
      await until(() => expect(first.seen).toHaveLength(KEYS.length));
      await first.stop();
      await bus.rewind('group', [topic]);
      const again = collect(bus);
      await until(() => expect(again.seen).toHaveLength(KEYS.length));
      expect(new Set(again.seen.map(({ id }) => id))).toEqual(new Set(first.seen.map(({ id }) => id)));
    });

    test('a group is not rewound while it consumes', async () => {
      const bus = await open();
      const { seen } = collect(bus);
      await bus.publish(topic, [message('a', 0)]);
      await until(() => expect(seen).toHaveLength(1));
      await expect(bus.rewind('group', [topic])).rejects.toThrow(/consuming/);
    });

    test('a bus answers a ping until it is closed', async () => {
      const bus = await open();
      await bus.ping();
      await bus.close();
      await expect(bus.ping()).rejects.toThrow();
    });
  });
}

/** The `n`th message of a key. */
export function message(key: string, n: number): Message {
  return {
    id: `${key}/${n}`,
    type: 'Tested',
    source: '/test',
    time: '2026-01-01T00:00:00.000Z',
    key,
    data: { n },
    correlationId: key,
  };
}

export function numberOf(message: Message): number {
  return (message.data as { n: number }).n;
}

/** Waits until `check` no longer throws. */
export async function until(check: () => unknown, timeoutMs = 15_000): Promise<void> {
  await vi.waitFor(check, { timeout: timeoutMs, interval: 10 });
}

function of(messages: readonly Delivered[], key: string): Delivered[] {
  return messages.filter((message) => message.key === key);
}

/** Each key's messages are 0, 1, … `count` - 1, in that order. */
function expectInOrder(messages: readonly Delivered[], count: number): void {
  const expected = Array.from({ length: count }, (_, n) => n);
  for (const key of new Set(messages.map(({ key }) => key))) {
    expect(of(messages, key).map(numberOf), `messages of ${key}`).toEqual(expected);
  }
}
