/**
 * Every promise of the port as a test, for every adapter: `eventStoreContract('memory', () => new MemoryEventStore(…))`.
 *
 * `open` is called once per test, and twice by some, for two instances that work on one store. The store may hold other
 * data and have other writers: each test writes to categories of its own, and assumes no position but those it was given.
 */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  type Batch,
  type EventStore,
  type NewEvent,
  type RecordedEvent,
  RevisionConflict,
  type StreamWrite,
} from './port.js';

export function eventStoreContract(name: string, open: () => Promise<EventStore>): void {
  describe(`${name} keeps the promises of an event store:`, () => {
    let opened: EventStore[];
    let store: EventStore;
    /** A prefix that makes this test's categories its own. */
    let own: string;
    let start: bigint;

    const another = async () => {
      const instance = await open();
      opened.push(instance);
      return instance;
    };

    beforeEach(async () => {
      opened = [];
      store = await another();
      own = `t${randomUUID().replaceAll('-', '')}`;
      start = await store.head();
    });
    afterEach(async () => {
      await Promise.all(opened.map((instance) => instance.close()));
    });

    describe('append', () => {
      test('returns what was written, in order, with revisions from 0', async () => {
        const events = [event(1), event(2), event(3)];
        const stream = `${own}-a`;
        const before = Date.now();
        const position = await store.append([{ stream, expected: 'none', events }]);

        const read = await all(store.read(stream));
        expect(read.map(({ id, type, data, metadata }) => ({ id, type, data, metadata }))).toEqual(events);
        expect(read.map((r) => [r.stream, r.revision])).toEqual([0, 1, 2].map((revision) => [stream, revision]));
        expect(read.at(-1)!.position).toBe(position);
        for (const { recordedAt } of read) {
          expect(new Date(recordedAt).toISOString()).toBe(recordedAt);
          expect(Math.abs(Date.parse(recordedAt) - before)).toBeLessThan(60_000);
        }
      });

      test('continues a stream from the revision that its writer saw', async () => {
        const stream = `${own}-a`;
        const first = await store.append([{ stream, expected: 'none', events: [event(1), event(2)] }]);
        const second = await store.append([{ stream, expected: 1, events: [event(3)] }]);

        expect(second).toBeGreaterThan(first);
        expect(numbers(await all(store.read(stream)))).toEqual([1, 2, 3]);
      });

      test.each<{ expected: number | 'none'; has: number; why: string }>([
        { expected: 'none', has: 1, why: 'a stream that exists is not new' },
        { expected: 0, has: 0, why: 'a stream that does not exist has no revision 0' },
        { expected: 0, has: 2, why: 'a writer that saw less than there is has to read again' },
        { expected: 2, has: 2, why: 'no writer can have seen more than there is' },
      ])('refuses $expected when there are $has events: $why', async ({ expected, has }) => {
        const stream = `${own}-a`;
        const history = Array.from({ length: has }, (_, i) => event(i));
        if (has > 0) await store.append([{ stream, expected: 'none', events: history }]);

        await expectConflict(store.append([{ stream, expected, events: [event(99)] }]), [stream]);
        expect(numbers(await all(store.read(stream)))).toEqual(numbers(history));
      });

      test('writes several streams in one append', async () => {
        const streams = [`${own}-a`, `${own}-b`, `${own}-c`];
        await store.append([{ stream: streams[1]!, expected: 'none', events: [event(0)] }]);
        const position = await store.append([
          { stream: streams[0]!, expected: 'none', events: [event(1), event(2)] },
          { stream: streams[1]!, expected: 0, events: [event(3)] },
          { stream: streams[2]!, expected: 'none', events: [event(4), event(5)] },
        ]);

        const written = await Promise.all(streams.map((stream) => all(store.read(stream))));
        expect(written.map(numbers)).toEqual([
          [1, 2],
          [0, 3],
          [4, 5],
        ]);
        expect(written[2]!.at(-1)!.position).toBe(position);
      });

      test('writes to none of its streams when one of them has moved, whichever it is', async () => {
        const moved = `${own}-moved`;
        await store.append([{ stream: moved, expected: 'none', events: [event(0)] }]);
        for (const place of [0, 1, 2]) {
          const fresh = [`${own}-${place}a`, `${own}-${place}b`];
          const writes: StreamWrite[] = fresh.map((stream) => ({ stream, expected: 'none', events: [event(1)] }));
          writes.splice(place, 0, { stream: moved, expected: 'none', events: [event(1)] });
          await expectConflict(store.append(writes), [moved]);

          expect(numbers(await all(store.read(moved)))).toEqual([0]);
          for (const stream of fresh) expect(await all(store.read(stream))).toEqual([]);
        }
      });

      test('lets exactly one of many racing writers win, and names the stream to the others', async () => {
        const stores = [store, await another()];
        const stream = `${own}-a`;
        for (let round = 0; round < 10; round++) {
          const expected = round === 0 ? 'none' : round - 1;
          const outcomes = await Promise.allSettled(
            Array.from({ length: 10 }, (_, i) =>
              stores[i % 2]!.append([{ stream, expected, events: [event(round * 10 + i)] }]),
            ),
          );
          const won = outcomes.flatMap((outcome, i) => (outcome.status === 'fulfilled' ? [round * 10 + i] : []));
          expect(won).toHaveLength(1);
          for (const outcome of outcomes) {
            if (outcome.status === 'fulfilled') continue;
            expect(outcome.reason).toBeInstanceOf(RevisionConflict);
            expect((outcome.reason as RevisionConflict).streams).toEqual([stream]);
          }
          expect(numbers(await all(store.read(stream, round)))).toEqual(won);
        }
      });

      test('gives each of many simultaneous appends its own verdict', async () => {
        const stream = (i: number) => `${own}-${i}`;
        const stale = (i: number) => i % 3 === 0;
        await Promise.all(
          Array.from({ length: 60 }, (_, i) => i)
            .filter(stale)
            .map((i) => store.append([{ stream: stream(i), expected: 'none', events: [event(-1)] }])),
        );
        const outcomes = await Promise.allSettled(
          Array.from({ length: 60 }, (_, i) =>
            store.append([
              { stream: `${own}-new${i}`, expected: 'none', events: [event(i)] },
              { stream: stream(i), expected: 'none', events: [event(i), event(i)] },
            ]),
          ),
        );

        for (const [i, outcome] of outcomes.entries()) {
          expect(outcome.status).toBe(stale(i) ? 'rejected' : 'fulfilled');
          const fresh = await all(store.read(`${own}-new${i}`));
          const contended = await all(store.read(stream(i)));
          expect(numbers(fresh)).toEqual(stale(i) ? [] : [i]);
          expect(numbers(contended)).toEqual(stale(i) ? [-1] : [i, i]);
          if (outcome.status === 'fulfilled') expect(outcome.value).toBe(contended.at(-1)!.position);
          else expect((outcome.reason as RevisionConflict).streams).toEqual([stream(i)]);
        }
      });

      test('does not write later changes by its caller', async () => {
        const stream = `${own}-a`;
        const data = { n: 1, list: [1] };
        const metadata = { ...event(1).metadata };
        const events = [{ ...event(1), data, metadata }];
        const appended = store.append([{ stream, expected: 'none', events }]);
        data.n = 2;
        data.list.push(2);
        metadata.correlationId = 'changed';
        events.pop();
        await appended;

        const [read] = await all(store.read(stream));
        expect(read!.data).toEqual({ n: 1, list: [1] });
        expect(read!.metadata).toEqual(event(1).metadata);
      });

      test('keeps any text in any script', async () => {
        const texts = ['Öl, 🫒 und "Anführung"', '日本語\n\t\\ {a,b} NULL', "'; DROP TABLE events; --", '\u0001\u2028'];
        const stream = `${own}-${texts[0]}`;
        const events = texts.map((text) => ({ ...event(0), data: { [text]: text } }));
        await store.append([{ stream, expected: 'none', events }]);

        expect((await all(store.read(stream))).map(({ data }) => data)).toEqual(events.map(({ data }) => data));
      });

      test('refuses what makes no sense as an append', async () => {
        const stream = `${own}-a`;
        const write: StreamWrite = { stream, expected: 'none', events: [event(1)] };
        await expect(store.append([])).rejects.toThrow('at least one write');
        await expect(store.append([{ ...write, events: [] }])).rejects.toThrow('at least one event');
        await expect(store.append([write, write])).rejects.toThrow('each stream once');
        expect(await all(store.read(stream))).toEqual([]);
      });
    });

    describe('a turn', () => {
      test('reads on in its streams, and appends', async () => {
        const [long, other] = [`${own}-long`, `${own}-other`];
        const history = Array.from({ length: 1_200 }, (_, i) => event(i));
        await store.append([{ stream: long, expected: 'none', events: history.slice(0, 600) }]);
        await store.append([{ stream: long, expected: 599, events: history.slice(600) }]);
        await store.append([{ stream: other, expected: 'none', events: [event(1)] }]);
        const from = new Map([
          [long, 100],
          [`${own}-none`, 0],
        ]);
        const read = await store.inTurn(from, async (turn) => {
          const found = [
            await all(turn.read(long, 100)),
            await all(turn.read(`${own}-none`, 0)),
            await all(turn.read(other)),
          ];
          await turn.append([
            { stream: long, expected: 1_199, events: [event(1_200)] },
            { stream: other, expected: 0, events: [event(2)] },
          ]);
          return found.map(numbers);
        });
        expect(read).toEqual([numbers(history).slice(100), [], [1]]);
        expect(numbers(await all(store.read(long, 1_199)))).toEqual([1_199, 1_200]);
        expect(numbers(await all(store.read(other)))).toEqual([1, 2]);
      });

      test('that fails, appends too late or not at all makes way for the next', async () => {
        const stream = `${own}-a`;
        await store.append([{ stream, expected: 'none', events: [event(0)] }]);
        const from = new Map([[stream, 0]]);
        await expectConflict(
          store.inTurn(from, (turn) => turn.append([{ stream, expected: 'none', events: [event(9)] }])),
          [stream],
        );
        const failed = store.inTurn(from, () => Promise.reject(new Error('The decision failed.')));
        await expect(failed).rejects.toThrow('The decision failed.');
        expect(await store.inTurn(from, async (turn) => numbers(await all(turn.read(stream, 0))))).toEqual([0]);
        const other = await another();
        await other.append([{ stream, expected: 0, events: [event(1)] }]);
        await other.inTurn(from, (turn) => turn.append([{ stream, expected: 1, events: [event(2)] }]));
        expect(numbers(await all(store.read(stream)))).toEqual([0, 1, 2]);
      });
    });

    describe('read', () => {
      test('yields nothing for a stream that does not exist', async () => {
        expect(await all(store.read(`${own}-none`))).toEqual([]);
      });

      test('begins at a revision, and yields nothing after the last one', async () => {
        const stream = `${own}-a`;
        await store.append([{ stream, expected: 'none', events: [event(0), event(1), event(2)] }]);

        expect(numbers(await all(store.read(stream, 1)))).toEqual([1, 2]);
        expect(await all(store.read(stream, 3))).toEqual([]);
        expect(await all(store.read(stream, 9))).toEqual([]);
      });

      test('yields a stream of any length completely and in order', async () => {
        const stream = `${own}-a`;
        for (let n = 0; n < 2_500; n += 500) {
          const events = Array.from({ length: 500 }, (_, i) => event(n + i));
          await store.append([{ stream, expected: n === 0 ? 'none' : n - 1, events }]);
        }
        const read = await all(store.read(stream));

        expect(numbers(read)).toEqual(Array.from({ length: 2_500 }, (_, i) => i));
        expect(read.map(({ revision }) => revision)).toEqual(numbers(read));
        expect(numbers(await all(store.read(stream, 1_000)))).toEqual(numbers(read).slice(1_000));
      });
    });

    test('an event is the same in every field, read from its stream, from history or live, by any instance', async () => {
      const categories = [`${own}a`, `${own}b`];
      const stop = new AbortController();
      const subscribed = store.subscribe({ categories, after: start, signal: stop.signal });
      const live: RecordedEvent[] = [];
      const rounds = 5;
      const batches = subscribed[Symbol.asyncIterator]();
      for (let round = 0; round < rounds; round++) {
        // Each round is taken before the next is written: that one comes live.
        await store.append([
          { stream: `${own}a-${round}`, expected: 'none', events: [event(round), bare(round)] },
          { stream: `${own}b-${round}`, expected: 'none', events: [event(round)] },
        ]);
        await store.append([{ stream: `${own}a-alone${round}`, expected: 'none', events: [bare(round)] }]);
        while (live.length < 4 * (round + 1)) live.push(...(await batches.next()).value!.events);
      }
      stop.abort();
      await batches.next();

      for (const reader of [store, await another()]) {
        const history = await follow(reader, categories, start, (events) => events.length >= live.length);
        expect(history.flatMap(({ events }) => events)).toEqual(live);
        const streams = [...new Set(live.map(({ stream }) => stream))];
        const read = (await Promise.all(streams.map((stream) => all(reader.read(stream))))).flat();
        expect(read.sort((a, b) => Number(a.position - b.position))).toEqual(live);
      }
    });

    describe('subscribe', () => {
      test('delivers what exists, and then what is appended, each event once and in position order', async () => {
        await fill(store, own, 0, 30);
        const delivered = follow(store, [own], start, (events) => events.length >= 60);
        await fill(store, own, 30, 60);

        const events = (await delivered).flatMap((batch) => batch.events);
        expect(numbers(events)).toEqual(Array.from({ length: 60 }, (_, i) => i));
        expect(ascends(events.map(({ position }) => position))).toBe(true);
        expect(events[7]).toEqual((await all(store.read(events[7]!.stream)))[events[7]!.revision]);
      });

      test('delivers what another instance writes', async () => {
        const other = await another();
        const delivered = follow(store, [own], start, (events) => events.length >= 20);
        await fill(other, own, 0, 20);

        expect(numbers((await delivered).flatMap((batch) => batch.events))).toHaveLength(20);
      });

      test('resumes from the position of any batch, without a gap and without a repetition', async () => {
        const expected = Array.from({ length: 1_300 }, (_, i) => i);
        await fill(store, own, 0, 1_300, 13);
        const batches = await follow(store, [own], start, (events) => events.length >= 1_300);

        let before = 0;
        for (const { events, position } of batches) {
          before += events.length;
          if (before === 1_300) break;
          const rest = await follow(store, [own], position, (found) => found.length >= 1_300 - before);
          expect(numbers(rest.flatMap((batch) => batch.events))).toEqual(expected.slice(before));
        }
        expect(before).toBe(1_300);
      });

      test('delivers only its categories, and moves its position past the others', async () => {
        const wanted = `${own}x`;
        const also = `${own}y`;
        const other = `${own}z`;
        await fill(store, wanted, 0, 2);
        await fill(store, other, 0, 1_500, 100);
        await fill(store, also, 2, 4);
        await fill(store, other, 0, 5);
        const head = await store.append([{ stream: `${other}-last`, expected: 'none', events: [event(0)] }]);
        const batches = await follow(store, [wanted, also], start, (_, position) => position >= head);

        expect(numbers(batches.flatMap((batch) => batch.events))).toEqual([0, 1, 2, 3]);
        expect(ascends(batches.map(({ position }) => position))).toBe(true);
      });

      test('distinguishes categories by the whole text before the first hyphen', async () => {
        const streams = [`${own}-a`, `${own}-a-b`, own, `${own}x-a`, `${own}_-a`, `${own}%-a`];
        for (const [i, stream] of streams.entries()) {
          await store.append([{ stream, expected: 'none', events: [event(i)] }]);
        }
        const head = await store.head();
        const batches = await follow(store, [own], start, (_, position) => position >= head);

        expect(numbers(batches.flatMap((batch) => batch.events))).toEqual([0, 1, 2]);
      });

      test('never splits an append over two batches', async () => {
        const sizes = Array.from({ length: 40 }, (_, i) => 1 + ((i * 37) % 120));
        sizes.splice(20, 0, 2_345);
        for (const [i, size] of sizes.entries()) {
          // Two streams of two categories, one of which is read: a position between them would not be a safe checkpoint.
          await store.append([
            { stream: `${own}o-${i}`, expected: 'none', events: [event(i)] },
            { stream: `${own}-${i}`, expected: 'none', events: Array.from({ length: size }, () => event(i)) },
          ]);
        }
        const total = sizes.reduce((sum, size) => sum + size, 0);
        for (const categories of [[own], [own, `${own}o`]]) {
          const perAppend = categories.length - 1;
          const batches = await follow(
            store,
            categories,
            start,
            (events) => events.length >= total + perAppend * sizes.length,
          );
          for (const { events } of batches) {
            const counts = new Map<number, number>();
            for (const n of numbers(events)) counts.set(n, (counts.get(n) ?? 0) + 1);
            for (const [n, count] of counts) expect(count).toBe(sizes[n]! + perAppend);
          }
        }
      });

      test('never skips what other writers commit late, and never repeats it after a restart', async () => {
        const writers = 12;
        const perWriter = 25;
        const stores = [store, await another()];
        const last = writers * perWriter;
        const isLast = (events: readonly RecordedEvent[]) => numbers(events).includes(last);
        const followWithRestarts = async () => {
          const batches: Batch[] = [];
          while (!isLast(batches.flatMap(({ events }) => events))) {
            const after = batches.at(-1)?.position ?? start;
            batches.push(...(await follow(store, [own], after, (events) => events.length >= 10 || isLast(events))));
          }
          return batches;
        };
        const followed = [...stores.map((from) => follow(from, [own], start, isLast)), followWithRestarts()];
        await Promise.all(
          Array.from({ length: writers }, async (_, writer) => {
            for (let n = 0; n < perWriter; n++) {
              const expected = n === 0 ? 'none' : n - 1;
              const events = [event(writer * perWriter + n)];
              await stores[writer % 2]!.append([{ stream: `${own}-${writer}`, expected, events }]);
            }
          }),
        );
        // Written last, it is delivered last: what has not come by then never will.
        await store.append([{ stream: `${own}-last`, expected: 'none', events: [event(last)] }]);
        for (const batches of followed) {
          const events = (await batches).flatMap((batch) => batch.events);
          expect(numbers(events).sort((a, b) => a - b)).toEqual(Array.from({ length: last + 1 }, (_, i) => i));
          expect(ascends(events.map(({ position }) => position))).toBe(true);
        }
      });

      test('ends without an error when its signal aborts: while it waits, while it delivers, and before it began', async () => {
        const signal = new AbortController();
        const waiting = all(store.subscribe({ categories: [own], after: await store.head(), signal: signal.signal }));
        await store.append([{ stream: `${own}-a`, expected: 'none', events: [event(1)] }]);
        signal.abort();
        await waiting;

        const delivering = new AbortController();
        for await (const _ of store.subscribe({ categories: [own], after: start, signal: delivering.signal })) {
          delivering.abort();
        }
        expect(await all(store.subscribe({ categories: [own], after: start, signal: AbortSignal.abort() }))).toEqual(
          [],
        );
      });
    });

    test('the head is the position of the last append', async () => {
      const position = await store.append([{ stream: `${own}-a`, expected: 'none', events: [event(1), event(2)] }]);
      expect(await store.head()).toBeGreaterThanOrEqual(position);
      const other = await another();
      for (const each of [store, other]) expect(await each.head(position)).toBeGreaterThanOrEqual(position);
    });

    test('the head is not beyond the last event, whichever position is asked for', async () => {
      const position = await store.append([{ stream: `${own}-a`, expected: 'none', events: [event(1)] }]);
      const far = position + 10_000_000_000n;
      expect(await store.head(far)).toBeLessThan(far);
    });

    test('closing ends subscriptions, waits for appends under way, and refuses more', async () => {
      const instance = await another();
      const waiting = all(
        instance.subscribe({ categories: [own], after: await store.head(), signal: new AbortController().signal }),
      );
      const underWay = Array.from({ length: 5 }, (_, i) =>
        instance.append([{ stream: `${own}-${i}`, expected: 'none', events: [event(i)] }]),
      );
      await instance.close();
      await Promise.all([waiting, ...underWay]);

      await expect(instance.append([{ stream: `${own}-z`, expected: 'none', events: [event(9)] }])).rejects.toThrow();
      expect(await all(store.read(`${own}-4`))).toHaveLength(1);
      await instance.close();
    });
  });
}

/** An event that carries a number to identify it. */
function event(n: number): NewEvent {
  const metadata = {
    correlationId: `c${n}`,
    causationId: `m${n}`,
    message: `topic/3/${n}`,
    traceparent: '00-1-2-01',
    actor: 'tester',
    schema: 1,
  };
  return { id: randomUUID(), type: n % 2 === 0 ? 'Even' : 'Odd', data: { n }, metadata };
}

/** An event with no metadata but what there must be. */
function bare(n: number): NewEvent {
  return { ...event(n), metadata: { correlationId: `c${n}`, causationId: `m${n}`, schema: 3 } };
}

function numbers(events: readonly Pick<RecordedEvent, 'data'>[]): number[] {
  return events.map(({ data }) => (data as { n: number }).n);
}

/** Appends the events `from` to `to` (not included), `size` at a time, each append to a stream of its own. */
async function fill(store: EventStore, category: string, from: number, to: number, size = 1): Promise<void> {
  for (let n = from; n < to; n += size) {
    const events = Array.from({ length: Math.min(size, to - n) }, (_, i) => event(n + i));
    await store.append([{ stream: `${category}-${randomUUID()}`, expected: 'none', events }]);
  }
}

/** The batches of a subscription until `enough`. */
async function follow(
  store: EventStore,
  categories: readonly string[],
  after: bigint,
  enough: (events: readonly RecordedEvent[], position: bigint) => boolean,
): Promise<Batch[]> {
  const stop = new AbortController();
  const batches: Batch[] = [];
  const events: RecordedEvent[] = [];
  for await (const batch of store.subscribe({ categories, after, signal: stop.signal })) {
    batches.push(batch);
    events.push(...batch.events);
    if (enough(events, batch.position)) stop.abort();
  }
  return batches;
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

function ascends(positions: readonly bigint[]): boolean {
  return positions.every((position, i) => i === 0 || position > positions[i - 1]!);
}

/** `streams` are those that moved: no other stream may be named, and at least one of them must be. */
async function expectConflict(append: Promise<unknown>, streams: readonly string[]): Promise<void> {
  const error = await append.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(RevisionConflict);
  const named = (error as RevisionConflict).streams;
  expect(named.length).toBeGreaterThan(0);
  expect(streams).toEqual(expect.arrayContaining([...named]));
}
