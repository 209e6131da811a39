import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, type MockInstance, test, vi } from 'vitest';
import { freshDatabase } from '#test/database';
import { KurrentDbStandIn } from '#test/kurrentdb-stand-in';
import { type Decider, DomainError } from '#decider';
import { Clock, SystemClock } from '#runtime';
import { SeededRandom, SequentialIds } from '#runtime/testing';
import { KurrentDbEventStore } from './kurrentdb/event-store.js';
import { MemoryEventStore } from './memory.js';
import { EventStore, type RecordedEvent, RevisionConflict, type StreamWrite, type Turn } from './port.js';
import { PostgresEventStore } from './postgres/event-store.js';
import type { Decision, Desk } from './attempt.js';
import { DecisionQueue } from './decision-queue.js';
import { Transactor } from './transactor.js';
import { type Upcasters, withUpcasters } from './upcast.js';

/** A cupboard with a number of jars. Each name may take one; taking again changes nothing. */
type CupboardCommand = { type: 'Fill'; jars: number } | { type: 'Take'; by: string };
type CupboardEvent = { type: 'Filled'; data: { jars: number } } | { type: 'Taken'; data: { by: string } };
interface Cupboard {
  readonly jars: number;
  readonly takers: readonly string[];
}

const cupboard: Decider<CupboardCommand, CupboardEvent, Cupboard> = {
  initialState: { jars: 0, takers: [] },
  decide(command, { jars, takers }) {
    if (command.type === 'Fill') return [{ type: 'Filled', data: { jars: command.jars } }];
    if (takers.includes(command.by)) return [];
    if (jars === 0) throw new DomainError('empty', 'No jar is left.');
    return [{ type: 'Taken', data: { by: command.by } }];
  },
  evolve({ jars, takers }, event) {
    if (event.type === 'Filled') return { jars: jars + event.data.jars, takers };
    return { jars: jars - 1, takers: [...takers, event.data.by] };
  },
};

const fill = (jars: number): CupboardCommand => ({ type: 'Fill', jars });
const take = (by: string): CupboardCommand => ({ type: 'Take', by });
const cause = { correlationId: 'order-1', causationId: 'request-1' };

/** A store that records its calls, and can be made to fail or to let others write in between. */
class WatchedStore extends EventStore {
  reads: string[] = [];
  appends: (readonly StreamWrite[])[] = [];
  /** Streams that cannot be read: they hold an event of a newer shape. */
  readonly unreadable = new Set<string>();
  beforeAppend: () => Promise<void> = async () => {};
  /** The streams of each turn. */
  turns: string[][] = [];
  /** Whether nobody comes before an append in a turn. */
  keepsOthersOff = false;
  afterAppend: () => Promise<void> = async () => {};

  constructor(private readonly store: EventStore) {
    super();
  }
  override async append(writes: readonly StreamWrite[]) {
    this.appends.push(writes);
    await this.beforeAppend();
    const position = await this.store.append(writes);
    await this.afterAppend();
    return position;
  }
  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>) {
    this.turns.push([...streams.keys()]);
    if (!this.keepsOthersOff) return work(this);
    return work({ read: (stream, from) => this.read(stream, from), append: (writes) => this.store.append(writes) });
  }
  override read(stream: string, from = 0) {
    this.reads.push(`${stream} from ${from}`);
    if (this.unreadable.has(stream)) throw new Error(`${stream} has a newer shape`);
    return this.store.read(stream, from);
  }
  override subscribe(options: Parameters<EventStore['subscribe']>[0]) {
    return this.store.subscribe(options);
  }
  override head() {
    return this.store.head();
  }
  override close() {
    return this.store.close();
  }
}

/** A clock whose sleeps end at once and are recorded. */
class QuickClock extends Clock {
  slept: number[] = [];
  override now = () => new Date(0);
  override monotonicMs = () => 0;
  override async sleep(ms: number) {
    this.slept.push(ms);
  }
}

let inner: MemoryEventStore;
let store: WatchedStore;
let clock: QuickClock;
let ours: Transactor;
let theirs: Transactor;

const ids = new SequentialIds();
const transactor = (over: EventStore, options: ConstructorParameters<typeof Transactor>[1] = {}) =>
  new Transactor({ store: over, clock, ids, random: new SeededRandom(1) }, options);

beforeEach(() => {
  inner = new MemoryEventStore(new SystemClock());
  store = new WatchedStore(inner);
  clock = new QuickClock();
  ours = transactor(store);
  theirs = transactor(inner);
});

const weDo = (command: CupboardCommand, options = {}) => ours.transact(cupboard, 'cupboard-1', command, cause, options);
const theyDo = (command: CupboardCommand) => theirs.transact(cupboard, 'cupboard-1', command, cause);
const taking = (by: string, stream = 'cupboard-1'): Decision<readonly CupboardEvent[]> => {
  return (desk) => desk.decide(cupboard, stream, take(by), cause);
};

async function history(stream: string): Promise<RecordedEvent[]> {
  const found: RecordedEvent[] = [];
  for await (const event of inner.read(stream)) found.push(event);
  return found;
}
const takers = async (stream = 'cupboard-1') =>
  (await history(stream)).flatMap(({ data }) => ('by' in data ? [data.by] : []));

describe('a transaction', () => {
  test('appends what was decided, with its cause and the version of its shape', async () => {
    const shaped = transactor(store, { upcasters: { Taken: [(data) => data, (data) => data] } });
    await shaped.transact(cupboard, 'cupboard-1', fill(1), cause);
    const outcome = await shaped.transact(cupboard, 'cupboard-1', take('ann'), { ...cause, actor: 'ann' });

    expect(outcome).toEqual({
      state: { jars: 0, takers: ['ann'] },
      events: [{ type: 'Taken', data: { by: 'ann' } }],
      position: 2n,
    });
    const [filled, taken] = await history('cupboard-1');
    expect(filled!.metadata).toEqual({ ...cause, schema: 1 });
    expect(taken!.metadata).toEqual({ ...cause, actor: 'ann', schema: 3 });
    expect(taken!.id).not.toBe(filled!.id);
  });

  test('reads a stream once, and then works from the cache', async () => {
    await weDo(fill(9));
    for (const by of ['ann', 'bob', 'cid']) await weDo(take(by));

    expect(store.reads).toEqual(['cupboard-1 from 0']);
    expect(await takers()).toEqual(['ann', 'bob', 'cid']);
  });

  test('keeps at most `maxStates` states', async () => {
    const small = transactor(store, { maxStates: 1 });
    for (const stream of ['cupboard-1', 'cupboard-2', 'cupboard-1']) {
      await small.transact(cupboard, stream, fill(1), cause);
    }
    expect(store.reads).toEqual(['cupboard-1 from 0', 'cupboard-2 from 0', 'cupboard-1 from 0']);
  });

  test('decides again on what another instance wrote, reading only that', async () => {
    await weDo(fill(2));
    await theyDo(take('ann'));
    const { state, position } = await weDo(take('bob'));

    expect(state).toEqual({ jars: 0, takers: ['ann', 'bob'] });
    expect(position).toBe(3n);
    expect(store.reads).toEqual(['cupboard-1 from 0', 'cupboard-1 from 1']);
    expect(clock.slept).toEqual([]);
  });

  test('gives up after `maxAttempts` conflicts, with growing pauses between them', async () => {
    const bounded = transactor(store, { maxAttempts: 4 });
    await theyDo(fill(99));
    let n = 0;
    store.beforeAppend = async () => void (await theyDo(take(`rival ${n++}`)));

    await expect(bounded.transact(cupboard, 'cupboard-1', take('ann'), cause)).rejects.toThrow(RevisionConflict);
    expect(store.appends).toHaveLength(4);
    expect(clock.slept).toHaveLength(2);
    expect(clock.slept[1]).toBeGreaterThan(clock.slept[0]!);
    expect(await takers()).not.toContain('ann');
  });

  test('that lost once to others who are always faster has its turn', async () => {
    await theyDo(fill(99));
    let n = 0;
    store.beforeAppend = async () => void (await theyDo(take(`rival ${n++}`)));
    store.keepsOthersOff = true;

    await weDo(take('ann'));
    expect(await takers()).toEqual(['rival 0', 'ann']);
    expect(store.turns).toEqual([['cupboard-1']]);
    expect(clock.slept).toEqual([]);
  });

  test('asks for a turn at once where others were in the way, until they have gone', async () => {
    await weDo(fill(99));
    await theyDo(take('rival 0'));
    await weDo(take('ann'));
    await theyDo(take('rival 1'));
    store.appends = [];
    await weDo(take('bob'));
    expect([store.turns.length, store.appends.length]).toEqual([2, 1]);
    for (const by of ['cid', 'dan', 'eve']) await weDo(take(by));
    expect(store.turns).toHaveLength(3);
    expect(await takers()).toEqual(['rival 0', 'ann', 'rival 1', 'bob', 'cid', 'dan', 'eve']);
  });

  test('never refuses on a stale state', async () => {
    await weDo(fill(1));
    await weDo(take('ann'));
    await theyDo(fill(1));

    expect((await weDo(take('bob'))).events).toHaveLength(1);
  });

  test('refuses what the latest state refuses', async () => {
    await weDo(fill(1));
    await weDo(take('ann'));

    await expect(weDo(take('bob'))).rejects.toThrow(DomainError);
    expect(store.reads).toEqual(['cupboard-1 from 0', 'cupboard-1 from 2']);
  });

  test('answers a repetition with no new event and the position of the last one', async () => {
    await weDo(fill(1));
    await weDo(take('ann'));
    await theyDo(fill(5));

    expect(await weDo(take('ann'))).toEqual({ state: { jars: 5, takers: ['ann'] }, events: [], position: 3n });
    expect(store.appends).toHaveLength(2);
  });

  test('after an append of unknown outcome, finds the event instead of writing it twice', async () => {
    await weDo(fill(5));
    store.afterAppend = async () => {
      throw new Error('The connection broke.');
    };
    await expect(weDo(take('ann'))).rejects.toThrow('The connection broke.');
    store.afterAppend = async () => {};

    expect((await weDo(take('ann'))).events).toEqual([]);
    expect(await takers()).toEqual(['ann']);
    expect(store.reads.at(-1)).toBe('cupboard-1 from 0');
  });

  test('loading returns the latest state, whichever instance wrote it', async () => {
    expect(await ours.load(cupboard, 'cupboard-1')).toEqual({
      state: cupboard.initialState,
      revision: 'none',
      position: 0n,
    });
    await weDo(fill(1));
    await theyDo(fill(2));
    expect(await ours.load(cupboard, 'cupboard-1')).toEqual({
      state: { jars: 3, takers: [] },
      revision: 1,
      position: 2n,
    });
  });
});

describe('a stream that is expected to be new', () => {
  test('is not read when it is', async () => {
    expect((await weDo(fill(1), { expectNew: true })).position).toBe(1n);
    expect(store.reads).toEqual([]);
  });

  test('is read when the append finds that it exists', async () => {
    await theyDo(fill(1));
    expect((await weDo(fill(2), { expectNew: true })).state).toEqual({ jars: 3, takers: [] });
  });

  test('keeps nobody off when it exists, then or the next time: no one was in the way', async () => {
    await theyDo(fill(1));
    await weDo(fill(2), { expectNew: true });
    await weDo(fill(3));
    expect(store.appends).toHaveLength(3);
    expect(store.reads).toEqual(['cupboard-1 from 0']);
    expect(store.turns).toEqual([]);
  });

  test('is read before a refusal counts', async () => {
    await theyDo(fill(1));
    expect((await weDo(take('ann'), { expectNew: true })).state).toEqual({ jars: 0, takers: ['ann'] });
    await expect(ours.transact(cupboard, 'cupboard-2', take('ann'), cause, { expectNew: true })).rejects.toThrow(
      DomainError,
    );
    expect(store.reads).toContain('cupboard-2 from 0');
  });
});

describe('decisions that are made together', () => {
  const cupboards = ['cupboard-1', 'cupboard-2', 'cupboard-3'];

  test('become one append, each on what the earlier ones left', async () => {
    await ours.transactAll(cupboards.map((stream) => (desk: Desk) => desk.decide(cupboard, stream, fill(1), cause)));
    const { results, position } = await ours.transactAll([
      taking('ann'),
      taking('bob'),
      taking('bob', 'cupboard-2'),
      taking('ann'),
    ]);

    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect(results[1]).toMatchObject({ reason: { code: 'empty' } });
    expect(results[3]).toMatchObject({ value: [] });
    expect(store.appends).toHaveLength(2);
    expect(position).toBe(5n);
    expect([await takers('cupboard-1'), await takers('cupboard-2')]).toEqual([['ann'], ['bob']]);
  });

  test('load all that they need at once', async () => {
    await ours.transactAll<unknown>([
      (desk) => cupboards.map((stream) => desk.state(cupboard, stream)),
      (desk) => desk.state(cupboard, 'cupboard-4'),
    ]);
    expect(store.reads.sort()).toEqual([1, 2, 3, 4].map((n) => `cupboard-${n} from 0`));
  });

  test('that throw leave nothing behind, even what they had already decided', async () => {
    await weDo(fill(2));
    const { results } = await ours.transactAll([
      (desk) => {
        taking('ann')(desk);
        desk.decide(cupboard, 'cupboard-2', fill(1), cause);
        throw new DomainError('changed-her-mind', 'No, thank you.');
      },
      taking('bob'),
    ]);
    expect(results[0]).toMatchObject({ status: 'rejected', reason: { code: 'changed-her-mind' } });
    expect(await takers()).toEqual(['bob']);
    expect(await history('cupboard-2')).toEqual([]);
  });

  test('see their own events', async () => {
    await ours.transactAll([
      (desk) => {
        desk.decide(cupboard, 'cupboard-1', fill(2), cause);
        taking('ann')(desk);
        expect(desk.state(cupboard, 'cupboard-1')).toEqual({ jars: 1, takers: ['ann'] });
      },
    ]);
    expect(await takers()).toEqual(['ann']);
  });

  test('keep their causes apart', async () => {
    const filling = (causationId: string) => (desk: Desk) =>
      desk.decide(cupboard, 'cupboard-1', fill(1), { ...cause, causationId });
    await ours.transactAll([filling('a'), filling('b')]);
    expect((await history('cupboard-1')).map(({ metadata }) => metadata.causationId)).toEqual(['a', 'b']);
  });

  test('never build on a stale state of a stream that they only looked at', async () => {
    await weDo(fill(1));
    await theyDo(take('ann'));
    await ours.transactAll([
      (desk) => {
        const { jars } = desk.state(cupboard, 'cupboard-1');
        desk.decide(cupboard, 'cupboard-2', fill(jars + 10), cause);
      },
    ]);
    expect((await history('cupboard-2')).map(({ data }) => data)).toEqual([{ jars: 10 }]);
  });

  test('that decide nothing append nothing', async () => {
    await weDo(fill(1));
    const { position } = await ours.transactAll<unknown>([
      () => 'nothing',
      (desk) => desk.state(cupboard, 'cupboard-1').jars,
    ]);
    expect(position).toBe(1n);
    expect(store.appends).toHaveLength(1);
  });
});

describe('a stream that cannot be read', () => {
  const outcomes = (results: readonly PromiseSettledResult<unknown>[]) =>
    results.map((result) => (result.status === 'rejected' ? String(result.reason) : 'fulfilled'));
  const unreadable = 'Error: cupboard-1 has a newer shape';

  test('fails the decisions that look at it, and no others that go with them', async () => {
    await weDo(fill(1));
    await ours.transact(cupboard, 'cupboard-2', fill(2), cause);
    const cold = transactor(store);
    store.unreadable.add('cupboard-1');
    const { results } = await cold.transactAll<unknown>([
      taking('ann', 'cupboard-2'),
      taking('ann', 'cupboard-1'),
      (desk) => {
        taking('bob', 'cupboard-2')(desk);
        return desk.state(cupboard, 'cupboard-1');
      },
      taking('bob', 'cupboard-2'),
      taking('eve', 'cupboard-2'),
    ]);
    expect(outcomes(results)).toEqual([
      'fulfilled',
      unreadable,
      unreadable,
      'fulfilled',
      'DomainError: No jar is left.',
    ]);
    expect(await takers('cupboard-2')).toEqual(['ann', 'bob']);
    expect(await takers('cupboard-1')).toEqual([]);
    await expect(cold.load(cupboard, 'cupboard-1')).rejects.toThrow('newer shape');
  });

  test('does so also when it was cached, and another instance has written to it since', async () => {
    await weDo(fill(5));
    await ours.transact(cupboard, 'cupboard-2', fill(2), cause);
    await theyDo(take('ann'));
    store.unreadable.add('cupboard-1');
    const { results } = await ours.transactAll<unknown>([
      taking('bob', 'cupboard-1'),
      taking('bob', 'cupboard-2'),
      (desk) => desk.state(cupboard, 'cupboard-1'),
    ]);
    expect(outcomes(results)).toEqual([unreadable, 'fulfilled', unreadable]);
    expect(await takers('cupboard-1')).toEqual(['ann']);
    expect(await takers('cupboard-2')).toEqual(['bob']);
  });

  test('is read again by the next decision', async () => {
    store.unreadable.add('cupboard-1');
    await expect(weDo(fill(1))).rejects.toThrow('newer shape');
    store.unreadable.clear();
    await weDo(fill(1));
    expect(await history('cupboard-1')).toHaveLength(1);
  });
});

/** The ways in which a stream can be bad: its last event, and what it fails with. */
const badEvents = [
  { type: 'Filled', data: { jars: 1 }, schema: 2, error: /^NewerEvent: Filled at STREAM, revision 1, has version 2/ },
  { type: 'Melted', data: {}, schema: 1, error: /^NewerEvent: Melted at STREAM, revision 1, is of a type/ },
  { type: 'Weighed', data: { of: 'STREAM' }, schema: 1, error: /^RangeError: STREAM has no weight/ },
  { type: 'Filled', data: null as never, schema: 1, error: /^TypeError: Cannot read properties of null/ },
];
const upcasters: Upcasters = {
  Filled: [],
  Taken: [],
  Weighed: [
    ({ of }) => {
      throw new RangeError(`${of} has no weight.`);
    },
  ],
};

describe.each<[string, () => Promise<EventStore>]>([
  ['memory', async () => new MemoryEventStore(new SystemClock())],
  ['Postgres', async () => PostgresEventStore.open({ url: await freshDatabase(), clock: new SystemClock() })],
  [
    'KurrentDB, on a stand-in for its client',
    () => {
      const options = { url: 'kurrentdb://stand-in:2113?tls=false', clock: new SystemClock() };
      return KurrentDbEventStore.open(options, new KurrentDbStandIn().connect);
    },
  ],
])('200 decisions on as many streams at once, with the events in %s,', (name, open) => {
  let events: EventStore;
  /** Calls of the driver of Postgres. */
  let calls: MockInstance<(query: unknown) => unknown>;
  beforeAll(async () => {
    calls = vi.spyOn(pg.Client.prototype, 'query'); // Each connection takes the method when it is made.
    events = await open();
  });
  afterAll(async () => {
    await events.close();
    calls.mockRestore();
  });

  /** What went to Postgres, by name, and how often; without the notification, which follows later. */
  function statements(): Record<string, number> {
    const sent: Record<string, number> = {};
    for (const [query] of calls.mock.calls as [{ name?: string; text: string }][]) {
      const each = query.name ?? (query.text?.includes('pg_advisory_lock') ? 'turn' : undefined);
      if (each !== undefined) sent[each] = (sent[each] ?? 0) + 1;
    }
    return sent;
  }

  async function fill(): Promise<string[]> {
    const own = `cupboard${randomUUID().replaceAll('-', '')}`;
    const streams = Array.from({ length: 200 }, (_, i) => `${own}-${i}`);
    await events.append(
      streams.map((stream) => ({ stream, expected: 'none', events: [event('Filled', { jars: 1 })] })),
    );
    return streams;
  }

  /** Adds a bad event to `count` of the streams, all over. By stream, what it has to fail with. */
  async function spoil(streams: readonly string[], count: number): Promise<Map<string, RegExp>> {
    const chosen = streams.filter((_, i) => i % 10 === 3).slice(0, count);
    const bad = chosen.map((stream, i) => ({ stream, ...badEvents[i % badEvents.length]! }));
    const dataOf = (data: object, stream: string) => JSON.parse(JSON.stringify(data).replace('STREAM', stream));
    await Promise.all(
      bad.map(({ stream, type, data, schema }) =>
        events.append([{ stream, expected: 0, events: [event(type, dataOf(data, stream), schema)] }]),
      ),
    );
    return new Map(bad.map(({ stream, error }) => [stream, error]));
  }

  const event = (type: string, data: object, schema = 1) => ({
    id: randomUUID(),
    type,
    data,
    metadata: { ...cause, schema },
  });

  /** Decides all at once. The states that the decider was called with are those of the rehearsal (0 jars) and of the stream (1). */
  async function takeFromAll(instance: Transactor, streams: readonly string[]) {
    const queue = new DecisionQueue(instance, { maxBatch: 256 });
    calls.mockClear();
    const beganMs = performance.now();
    const taken = await Promise.all(
      streams.map(async (stream) => {
        const states: number[] = [];
        const watched: typeof cupboard = {
          ...cupboard,
          decide(command, state) {
            states.push(state.jars);
            return cupboard.decide(command, state);
          },
        };
        const deciding = queue.decide((desk) => desk.decide(watched, stream, take('ann'), cause));
        const outcome = await deciding.then(
          () => 'taken',
          (error: unknown) => String(error).replaceAll(stream, 'STREAM'),
        );
        return { stream, outcome, states };
      }),
    );
    return { taken, ms: Math.round(performance.now() - beganMs) };
  }

  function expectOutcomes(
    taken: Awaited<ReturnType<typeof takeFromAll>>['taken'],
    bad: ReadonlyMap<string, RegExp>,
    states: { readonly good: readonly number[]; readonly bad: readonly number[] },
  ): void {
    for (const { stream, outcome, ...each } of taken) {
      const error = bad.get(stream);
      expect(outcome).toMatch(error ?? /^taken$/);
      expect(each.states, outcome).toEqual(error ? states.bad : states.good);
    }
  }

  test.each([0, 1, 5, 20])(
    'of which %i are bad: each of those fails by itself, and the others notice nothing',
    async (n) => {
      const streams = await fill();
      const bad = await spoil(streams, n);
      const watched = new WatchedStore(events);
      const instance = transactor(withUpcasters(watched, upcasters), { upcasters });
      const { taken, ms } = await takeFromAll(instance, streams);

      expectOutcomes(taken, bad, { good: [0, 1], bad: [0] });
      expect(watched.reads.toSorted()).toEqual(streams.map((stream) => `${stream} from 0`).toSorted());
      expect(watched.appends.map((writes) => writes.map(({ stream }) => stream))).toEqual([
        streams.filter((stream) => !bad.has(stream)),
      ]);
      expect(watched.turns).toEqual([]);
      if (name !== 'Postgres') return;
      expect(statements()).toEqual({ read: Math.ceil(200 / 32), append: 1 });
      console.log(`200 decisions, ${n} of them on bad streams: ${ms} ms.`);
    },
  );

  if (name !== 'Postgres') return;

  test.each([1, 5, 20])(
    'of which %i have gone bad since they were read: that costs two statements more, however many they are',
    async (n) => {
      const streams = await fill();
      const instance = transactor(withUpcasters(events, upcasters), { upcasters });
      await instance.transactAll(streams.map((stream) => (desk) => desk.state(cupboard, stream)));
      const bad = await spoil(streams, n);
      const { taken } = await takeFromAll(instance, streams);

      expectOutcomes(taken, bad, { good: [1, 1], bad: [1] });
      expect(statements()).toEqual({ append: 1, turn: 1, append_in_turn: 1 });
    },
  );
});

describe('a queue of decisions', () => {
  test('gathers decisions that come while an append is under way into the next one', async () => {
    await weDo(fill(3));
    const queue = new DecisionQueue(ours, { maxBatch: 100 });
    let more: Promise<unknown>[] = [];
    store.beforeAppend = async () => {
      store.beforeAppend = async () => {};
      more = ['bob', 'cid', 'dan'].map((by) => queue.decide(taking(by)));
    };
    const first = await queue.decide(taking('ann'));
    const outcomes = await Promise.allSettled(more);

    expect(store.appends).toHaveLength(3);
    expect(first).toEqual({ result: [{ type: 'Taken', data: { by: 'ann' } }], position: 2n });
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'fulfilled', 'rejected']);
    expect(await takers()).toEqual(['ann', 'bob', 'cid']);
  });

  test('puts at most `maxBatch` decisions into one append', async () => {
    await weDo(fill(9));
    const queue = new DecisionQueue(ours, { maxBatch: 2 });
    await Promise.all(['ann', 'bob', 'cid', 'dan', 'eve'].map((by) => queue.decide(taking(by))));
    expect(store.appends.slice(1).map(([write]) => write!.events.length)).toEqual([2, 2, 1]);
  });

  test('rejects all decisions of an append that failed, and continues with the next', async () => {
    await weDo(fill(9));
    const queue = new DecisionQueue(ours, { maxBatch: 9 });
    store.beforeAppend = async () => {
      throw new Error('The connection broke.');
    };
    const failed = await Promise.allSettled(['ann', 'bob'].map((by) => queue.decide(taking(by))));
    expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    store.beforeAppend = async () => {};
    await queue.decide(taking('cid'));
    expect(await takers()).toEqual(['cid']);
  });
});

test('a refusal that rests on several streams rests on how they stood at one moment', async () => {
  const store = new MemoryEventStore(new SystemClock());
  const write = (stream: string, expected: number | 'none', id: string) => ({
    stream,
    expected,
    events: [{ id, type: 'Filled', data: { jars: 1 }, metadata: { ...cause, schema: 1 } }],
  });
  await store.append([write('cupboard-left', 'none', 'l1'), write('cupboard-right', 'none', 'r1')]);
  /** Between the reads of the two streams, another instance moves both in one append. */
  class Torn extends MemoryEventStore {
    private torn = false;
    override async *read(stream: string, from?: number) {
      if (stream === 'cupboard-right' && !this.torn) {
        this.torn = true;
        await new Promise((resolve) => setImmediate(resolve)); // The left one has been read.
        await store.append([write('cupboard-left', 0, 'l2'), write('cupboard-right', 0, 'r2')]);
      }
      yield* store.read(stream, from);
    }
  }
  const { results } = await transactor(new Torn(new SystemClock())).transactAll([
    (desk) => {
      const [left, right] = ['left', 'right'].map((side) => desk.state(cupboard, `cupboard-${side}`).jars);
      if (left !== right) throw new DomainError('uneven', `${left} on the left, ${right} on the right.`);
      return left;
    },
  ]);
  expect(results).toEqual([{ status: 'fulfilled', value: 2 }]);
});

test('whatever the interleaving of two instances, each accepted command is recorded once and no jar is taken twice', async () => {
  const work = fc.record({
    cupboard: fc.nat({ max: 2 }),
    by: fc.nat({ max: 9 }),
    instance: fc.nat({ max: 1 }),
    fills: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(work, { maxLength: 30 }), fc.scheduler(), async (works, scheduler) => {
      inner = new MemoryEventStore(new SystemClock());
      const scheduled = new WatchedStore(inner);
      scheduled.beforeAppend = () => scheduler.schedule(Promise.resolve());
      scheduled.afterAppend = () => scheduler.schedule(Promise.resolve());
      const instances = [0, 1].map(() => {
        const instance = transactor(scheduled, { maxAttempts: 1_000, maxStates: 2 });
        return { instance, queue: new DecisionQueue(instance, { maxBatch: 3 }) };
      });
      const outcomes = works.map(async ({ cupboard: n, by, instance, fills }, i) => {
        const { instance: alone, queue } = instances[instance]!;
        const command = fills ? fill(1) : take(`${by}`);
        const stream = `cupboard-${n}`;
        const events =
          i % 2 === 0
            ? (await alone.transact(cupboard, stream, command, cause, { expectNew: i % 3 === 0 })).events
            : (await queue.decide((desk) => desk.decide(cupboard, stream, command, cause))).result;
        return events.map((event) => ({ stream, ...event }));
      });
      const settled = Promise.allSettled(outcomes);
      await scheduler.waitFor(settled);

      const accepted = (await settled).flatMap((outcome) => {
        if (outcome.status === 'fulfilled') return outcome.value;
        expect(outcome.reason).toBeInstanceOf(DomainError);
        return [];
      });
      const recorded: object[] = [];
      for (const stream of ['cupboard-0', 'cupboard-1', 'cupboard-2']) {
        let state = cupboard.initialState;
        for (const { type, data } of await history(stream)) {
          recorded.push({ stream, type, data });
          state = cupboard.evolve(state, { type, data } as CupboardEvent);
          expect(state.jars).toBeGreaterThanOrEqual(0);
        }
        expect(new Set(state.takers).size).toBe(state.takers.length);
      }
      const sorted = (events: object[]) => events.map((event) => JSON.stringify(event)).sort();
      expect(sorted(recorded)).toEqual(sorted(accepted));
    }),
    { seed: 20261121, numRuns: 200 },
  );
});
