import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { ANY, jsonEvent, UnavailableError, UnknownError } from '@kurrent/kurrentdb-client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { freePort } from '../../../../scripts/lib/embedded-postgres.js';
import { KurrentDbStandIn } from '#test/kurrentdb-stand-in';
import type { Decider } from '#decider';
import { ManualClock } from '#runtime/testing';
import { ServerRefusal, ServerUnavailable, SystemClock, SystemIds, SystemRandom } from '#runtime';
import { eventStoreContract } from '../contract.js';
import { translateError } from './errors.js';
import { Batches } from './record.js';
import { connectionString } from './url.js';
import { APPEND_TO_SEVERAL, KurrentDbEventStore } from './event-store.js';
import type { Batch, EventStore, NewEvent } from '../port.js';
import { Transactor } from '../transactor.js';

const url = 'kurrentdb://stand-in:2113?tls=false';

const busy = new KurrentDbStandIn();
busy.busy = true;
busy.write('somebody-1', 5_000);
eventStoreContract('the event store in KurrentDB, on a stand-in for its client,', () =>
  KurrentDbEventStore.open({ url, clock: new SystemClock() }, busy.connect),
);

const real = process.env['KURRENTDB_URL'];
if (real) {
  eventStoreContract('the event store in KurrentDB', () =>
    KurrentDbEventStore.open({ url: real, clock: new SystemClock() }),
  );
} else {
  test.skip('the event store in KurrentDB keeps the promises of an event store: KURRENTDB_URL names no server', () => {});
}

describe('the event store in KurrentDB', () => {
  let server: KurrentDbStandIn;
  beforeEach(() => {
    server = new KurrentDbStandIn();
  });
  const open = (clock: ManualClock | SystemClock = new SystemClock()) =>
    KurrentDbEventStore.open({ url, clock }, server.connect);

  test('stores metadata as texts, and returns neither its own notes nor what the server adds', async () => {
    const clock = new ManualClock();
    const store = await open(clock);
    const events = [note(), note()];
    await store.append([
      { stream: 'note-1', expected: 'none', events },
      { stream: 'draft-1', expected: 'none', events: [note()] },
    ]);
    const stored = server.eventsOf('note-1')!.map(({ metadata }) => JSON.parse(metadata));
    expect(stored[0]).toMatchObject({
      correlationId: 'c',
      schema: '2',
      follows: 'draft-note',
      recordedAt: clock.now().toISOString(),
      '$schema.format': 'Json',
    });
    expect(stored[1]).toMatchObject({ follows: 'draft' });
    expect((await all(store.read('note-1'))).map(({ metadata }) => metadata)).toEqual(
      events.map(({ metadata }) => metadata),
    );
    await store.close();
  });

  test.each([
    ['none', {}],
    ['no time', { recordedAt: 'yesterday' }],
    ['a time that JavaScript would read otherwise', { recordedAt: '2026-02-30T00:00:00.000Z' }],
    ['a number', { recordedAt: 12 }],
  ])(
    'where an event notes %s, its time is that of the server, in whole seconds however it is read',
    async (_, noted) => {
      const store = await open();
      const append = (streamName: string) =>
        server.append([
          { streamName, expectedState: ANY, events: [jsonEvent({ type: 'Noted', data: {}, metadata: noted })] },
        ]);
      append('note-1');
      const batches = following(store, ['note'], 0n);
      const events = [...(await next(batches))!.events];
      await expect.poll(() => server.live).toBe(1);
      append('note-2');
      events.push(...(await next(batches))!.events, ...(await all(store.read('note-2'))));
      const created = server.log.slice(-2).map((event) => Math.floor(event.created.getTime() / 1_000) * 1_000);
      expect(events.map(({ recordedAt }) => Date.parse(recordedAt))).toEqual([created[0], created[1], created[1]]);
      await store.close();
    },
  );

  test('delivers what others write into a category, each event as an append of its own', async () => {
    const store = await open();
    server.write('note-1', 3);
    const { events } = (await next(following(store, ['note'], 0n)))!;
    expect(events.map(({ revision, metadata }) => [revision, metadata])).toEqual(
      [0, 1, 2].map((n) => [n, { schema: 1 }]),
    );
    await store.close();
  });

  describe('gets past the events of others', () => {
    test('on a quiet server, by reading the head: within a second, and within 250 ms while things move', async () => {
      const clock = new ManualClock();
      const store = await open(clock);
      const batches = following(store, ['note'], await store.head());
      const pauses = [250, 750, 250, 250];
      let batch = next(batches);
      for (const [i, pause] of pauses.entries()) {
        await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
        const head = i === 0 ? undefined : server.write('somebody-1', 3);
        await clock.advance(pause);
        if (head === undefined) continue;
        expect(await batch).toEqual({ events: [], position: head });
        batch = next(batches);
      }
      await store.close();
    });

    test('while many of them come, by the checkpoints of the subscription', async () => {
      const clock = new ManualClock(); // It stands still, so no second read of the head is ever due.
      const store = await open(clock);
      const batch = next(following(store, ['note'], await store.head()));
      await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
      const head = server.write('somebody-1', 5_000);
      const { events, position } = (await batch)!;
      expect(events).toEqual([]);
      expect(position).toBeGreaterThan(head / 2n);
      await store.close();
    });

    test('but never past one of its own that waits to be taken', async () => {
      const store = await open(new ManualClock());
      const batches = following(store, ['note'], await store.head());
      const first = next(batches);
      await expect.poll(() => server.live).toBe(1);
      server.write('note-1', 1);
      await first;
      server.write('note-1', 1);
      server.write('somebody-1', 5_000);
      await expect.poll(() => server.checkpoints).toBe(1);
      expect((await next(batches))!.events.map(({ revision }) => revision)).toEqual([1]);
      await store.close();
    });

    test.each([
      { what: 'in an append that this store wrote', streams: ['draft-1'], writer: 0 },
      { what: 'at the end of an append that it has delivered', streams: ['note-1', 'draft-1'], writer: 1 },
    ])('at once $what', async ({ streams, writer }) => {
      const clock = new ManualClock();
      const stores = [await open(clock), await open(clock)] as const;
      const batches = following(stores[0], ['note'], await stores[0].head());
      const first = next(batches);
      await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
      await clock.advance(250); // From here on, the next read of the head waits for a second, or for a reason.
      const writes = streams.map((stream) => ({ stream, expected: 'none' as const, events: [note()] }));
      const position = await stores[writer]!.append(writes);
      let batch = await first;
      while (batch!.position < position) batch = await next(batches);
      await Promise.all(stores.map((store) => store.close()));
    });
  });

  test('reads the head once a second while nothing happens, for all its subscriptions together', async () => {
    const clock = new ManualClock();
    const store = await open(clock);
    const head = await store.head();
    const waiting = Array.from({ length: 5 }, () => next(following(store, ['note'], head)));
    await expect.poll(() => [server.live, server.pages]).toEqual([1, 5]);
    const before = server.headReads;
    for (let seconds = 0; seconds < 10; seconds++) {
      for (const ms of [250, 750]) {
        await expect.poll(() => clock.sleeping).toBe(1);
        await clock.advance(ms);
      }
    }
    await expect.poll(() => clock.sleeping).toBe(1);
    expect(server.headReads - before).toBe(10);
    await store.close();
    await Promise.all(waiting);
  });

  test('keeps a bounded number of events for a slow subscriber, who reads the others as history and holds nobody up', async () => {
    const store = await open(new ManualClock());
    const head = await store.head();
    const [slow, quick] = [following(store, ['note'], head), following(store, ['note'], head)];
    const firsts = Promise.all([next(slow), next(quick)]);
    await expect.poll(() => server.live).toBe(1);
    server.write('note-1', 1);
    await firsts;
    const { pages } = server;
    server.write('note-1', 20_000);
    const read = async (batches: typeof slow) => {
      const revisions: number[] = [];
      while (revisions.length < 20_000)
        revisions.push(...(await next(batches))!.events.map(({ revision }) => revision));
      expect(revisions).toEqual(Array.from({ length: 20_000 }, (_, i) => i + 1));
    };
    await read(quick);
    await expect.poll(() => server.sent).toBeGreaterThan(20_000);
    await read(slow);
    expect(server.pages - pages).toBeGreaterThanOrEqual(19);
    await store.close();
  });

  test('brings categories that are asked for later by one subscription, too, without a gap or a repetition', async () => {
    const store = await open(new ManualClock());
    const head = await store.head();
    const seen: Record<string, string[]> = { note: [], task: [], both: [] };
    const follow = async (name: string, categories: string[]) => {
      for await (const { events } of following(store, categories, head)) {
        seen[name]!.push(...events.map(({ stream, revision }) => `${stream}/${revision}`));
      }
    };
    const write = (stream: string, first: number) => {
      server.write(stream, 2);
      return [`${stream}/${first}`, `${stream}/${first + 1}`];
    };
    const ends = [follow('note', ['note'])];
    await expect.poll(() => server.live).toBe(1);
    const [notes, tasks] = [write('note-1', 0), write('task-1', 0)];
    await expect.poll(() => seen['note']).toEqual(notes);
    ends.push(follow('task', ['task']), follow('both', ['note', 'task']));
    await expect.poll(() => seen).toEqual({ note: notes, task: tasks, both: [...notes, ...tasks] });
    const [later, more] = [write('task-1', 2), write('note-1', 2)];
    const both = [...notes, ...tasks, ...later, ...more];
    await expect.poll(() => seen).toEqual({ note: [...notes, ...more], task: [...tasks, ...later], both });
    expect(server.live).toBe(1);
    await store.close();
    await Promise.all(ends);
  });

  test('reads history of any length page by page before it goes live', async () => {
    server.write('note-1', 3_500);
    const store = await open();
    const revisions: number[] = [];
    for await (const { events } of following(store, ['note'], 0n)) {
      revisions.push(...events.map(({ revision }) => revision));
      if (revisions.length >= 3_500) break;
    }
    expect(revisions).toEqual(Array.from({ length: 3_500 }, (_, i) => i));
    await store.close();
  });

  test('misses nothing that is written while a page is on its way', async () => {
    server.write('note-1', 10);
    const store = await open();
    let release = () => {};
    server.gate = new Promise((resolve) => (release = resolve));
    const batches = following(store, ['note'], 0n);
    const first = next(batches);
    await expect.poll(() => server.headReads).toBe(2); // One to open, one to follow.
    server.write('note-2', 1);
    await expect.poll(() => server.headReads, { timeout: 5_000 }).toBe(3);
    release();
    const found = (await first)!.events.map(({ stream }) => stream);
    while (found.length < 11) found.push(...(await next(batches))!.events.map(({ stream }) => stream));
    expect(found.at(-1)).toBe('note-2');
    await store.close();
  });

  test('delivers what comes live while a page is on its way that only moves the position', async () => {
    const clock = new ManualClock();
    const store = await open(clock);
    const batches = following(store, ['note'], await store.head());
    const first = next(batches);
    await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
    let release = () => {};
    server.gate = new Promise((resolve) => (release = resolve));
    const { pages } = server;
    await clock.advance(250);
    await expect.poll(() => clock.sleeping).toBe(1);
    const others = server.write('somebody-1', 1);
    await clock.advance(750);
    await expect.poll(() => server.pages).toBe(pages + 1);
    server.write('note-1', 1);
    const batch = await first;
    expect(batch!.events.map(({ stream }) => stream)).toEqual(['note-1']);
    expect(batch!.position).toBeGreaterThan(others);
    const second = next(batches);
    release();
    server.write('note-1', 1);
    expect((await second)!.events.map(({ revision }) => revision)).toEqual([1]);
    await store.close();
  });

  test('closing waits for the appends under way', async () => {
    const store = await open();
    let done = 0;
    const appends = [1, 2, 3].map(async (n) => {
      await store.append([{ stream: `note-${n}`, expected: 'none', events: [note()] }]);
      done++;
    });
    await store.close();
    expect(done).toBe(3);
    await Promise.all(appends);
  });

  describe('with a client whose reads take 43 ms when they go alone', () => {
    const cause = { correlationId: 'c', causationId: 'm' };
    const counter: Decider<string, { type: 'Counted'; data: { n: number } }, number> = {
      initialState: 0,
      decide: (command, n) => (command === 'count' ? [{ type: 'Counted', data: { n: n + 1 } }] : []),
      evolve: (_, { data }) => data.n,
    };
    const transactorOf = (store: EventStore) =>
      new Transactor({ store, clock: new SystemClock(), ids: new SystemIds(), random: new SystemRandom() });
    let store: EventStore;
    beforeEach(async () => {
      store = await open();
      for (const id of [1, 2, 3]) await transactorOf(store).transact(counter, `note-${id}`, 'count', cause);
      server.loneReadMs = 43;
      server.loneReads = 0;
    });
    afterEach(() => store.close());

    test.each<[string, () => Promise<unknown>]>([
      ['the history of an order', () => all(store.read('note-1'))],
      ['a stream that does not exist', () => all(store.read('note-9'))],
      ['the head', async () => expect(await store.head()).toBe(server.log.at(-1)!.position)],
      [
        'a decision on a stream that is not in memory',
        () => transactorOf(store).transact(counter, 'note-1', 'count', cause),
      ],
      [
        'a decision on three of them, which looks once more because nothing is written',
        () =>
          transactorOf(store).transactAll([
            (desk) => [1, 2, 3].map((id) => desk.decide(counter, `note-${id}`, 'look', cause)),
          ]),
      ],
    ])('%s costs none', async (_, work) => {
      await work();
      expect(server.loneReads).toBe(0);
    });

    test('the head is not asked for where a position is known', async () => {
      const asked = server.headReads;
      const position = await store.append([{ stream: 'note-4', expected: 'none', events: [note()] }]);
      expect(await store.head(position)).toBe(position);
      expect(server.headReads).toBe(asked);
      const others = server.write('somebody-1', 1);
      expect(await store.head(others)).toBe(others);
      expect(await store.head(others)).toBe(others);
      expect(server.headReads).toBe(asked + 1);
    });

    test('many who ask for the head share the answers', async () => {
      const asked = server.headReads;
      const head = server.write('somebody-1', 1);
      expect(new Set(await Promise.all(Array.from({ length: 50 }, () => store.head())))).toEqual(new Set([head]));
      expect(server.headReads - asked).toBe(1);
    });

    test('the head behind more than a page of others is asked of the client', async () => {
      const head = server.write('somebody-1', 5_000);
      expect(await store.head()).toBe(head);
      expect(server.loneReads).toBe(1);
    });

    test('a crowd of reads goes by the client: only its first may have to wait', async () => {
      const ids = Array.from({ length: 100 }, (_, i) => 1 + (i % 3));
      const read = await Promise.all(ids.map((id) => all(store.read(`note-${id}`))));
      expect(read.map((events) => events.map(({ stream }) => stream))).toEqual(ids.map((id) => [`note-${id}`]));
      expect(server.reads).toBeGreaterThan(90);
      expect(server.loneReads).toBe(1);
    });
  });

  describe('a stream that the server is silent about', () => {
    beforeEach(() => {
      server.gate = new Promise(() => {});
    });

    test('fails after ten seconds', async () => {
      const clock = new ManualClock();
      const store = await open(clock);
      const reading = all(store.read('note-1'));
      reading.catch(() => {});
      await expect.poll(() => clock.sleeping).toBe(1);
      await clock.advance(10_000);
      await expect(reading).rejects.toThrow('KurrentDB has not answered a read for 10 s.');
      await expect(reading).rejects.toThrow(ServerUnavailable);
      await store.close();
    });

    test('fails when the store is closed', async () => {
      const clock = new ManualClock();
      const store = await open(clock);
      const reading = all(store.read('note-1'));
      reading.catch(() => {});
      await expect.poll(() => clock.sleeping).toBe(1);
      await store.close();
      await expect(reading).rejects.toThrow(ServerUnavailable);
    });
  });

  describe('when the server goes away and comes back', () => {
    test('fails where it is used, and continues without a gap once the server is back', async () => {
      const store = await open();
      const append = (n: number) =>
        store.append([{ stream: 'note-1', expected: n === 0 ? 'none' : n - 1, events: [note(n)] }]);
      const batches = following(store, ['note'], await store.head());
      const before = next(batches);
      await append(0);
      const { position } = (await before)!;

      const failing = drained(batches);
      server.stop();
      const uses = await Promise.allSettled([failing, append(1), all(store.read('note-1')), store.head()]);
      for (const use of uses) expect(use).toMatchObject({ status: 'rejected', reason: expect.any(ServerUnavailable) });
      await expect(next(following(store, ['note'], position))).rejects.toThrow(ServerUnavailable);

      server.start();
      for (const n of [1, 2, 3]) await append(n);
      const after: unknown[] = [];
      for await (const { events } of following(store, ['note'], position)) {
        after.push(...events.map(({ data }) => (data as { n: number }).n));
        if (after.length >= 3) break;
      }
      expect(after).toEqual([1, 2, 3]);
      expect(await all(store.read('note-1'))).toHaveLength(4);
      await store.close();
    });

    test('ends a subscription that waits, without reading the head', async () => {
      const clock = new ManualClock();
      const store = await open(clock);
      const waiting = next(following(store, ['note'], await store.head()));
      await expect.poll(() => [clock.sleeping, server.live]).toEqual([1, 1]);
      server.stop();
      await expect(waiting).rejects.toThrow(ServerUnavailable);
      await store.close();
    });

    test('ends a subscription that still receives events, when the head can no longer be read', async () => {
      const store = await open();
      const waiting = next(following(store, ['note'], await store.head()));
      await expect.poll(() => server.live).toBe(1);
      server.refusal = new Error('It answers no reads.');
      await expect(waiting).rejects.toThrow(ServerUnavailable);
      await store.close();
    });

    test('opens once the server is there, with a client that has read nothing before', async () => {
      server.stop();
      await expect(open()).rejects.toThrow(/ECONNREFUSED/);
      await expect(open()).rejects.toThrow(ServerUnavailable);
      server.start();
      const store = await open();
      expect(await store.head()).toBe(server.write('somebody-1', 0));
      await store.close();
    });

    test('an append whose answer was lost is not repeated: the next decision finds what it wrote', async () => {
      const store = await open();
      const ports = { store, clock: new SystemClock(), ids: new SystemIds(), random: new SystemRandom() };
      const transactor = new Transactor(ports);
      const once: Decider<number, { type: 'Noted'; data: { n: number } }, number[]> = {
        initialState: [],
        decide: (n, seen) => (seen.includes(n) ? [] : [{ type: 'Noted', data: { n } }]),
        evolve: (seen, { data }) => [...seen, data.n],
      };
      const cause = { correlationId: 'c', causationId: 'm' };
      server.losesNextAnswer = true;
      await expect(transactor.transact(once, 'note-1', 7, cause)).rejects.toThrow(ServerUnavailable);
      expect((await transactor.transact(once, 'note-1', 7, cause)).events).toEqual([]);
      expect(server.eventsOf('note-1')).toHaveLength(1);
      await store.close();
    });
  });

  describe('refuses with a message of one line', () => {
    const grpc = (code: number, message: string) => Object.assign(new Error(message), { code });
    test.each([
      ['a wrong password', grpc(16, '16 UNAUTHENTICATED: '), /Correct the user and the password/],
      ['a user without rights', grpc(7, '7 PERMISSION_DENIED: '), /allow the user to write and read/],
      [
        'a certificate of an unknown authority',
        grpc(
          14,
          '14 UNAVAILABLE: No connection established. Last error: Error: self-signed certificate. Resolution note: ',
        ),
        /\(14 UNAVAILABLE: No connection established. Last error: Error: self-signed certificate\)\. .*tlsCAFile/,
      ],
    ])('%s', async (_, refusal, message) => {
      server.refusal = refusal;
      const error = await failure(open());
      expect(error).toBeInstanceOf(ServerRefusal);
      expect(error.message).toMatch(message);
      expect(error.message).not.toContain('\n');
    });

    test('a server that cannot append to several streams', async () => {
      server.version = '24.10.0';
      const error = await failure(open());
      expect(error).toBeInstanceOf(ServerRefusal);
      expect(error.message).toMatch(/version 24\.10\.0.*Upgrade it to KurrentDB 25\.1 or newer\./);
    });

    test.each([
      ['kurrentdb://u:secret@h?foo=1', /parameter "foo"\. The known ones are connectionName/],
      ['kurrentdb://u:secret@h?throwOnAppendFailure=false', /throwOnAppendFailure/],
      ['kurrentdb://u:secret@h?node_preference=Follower', /nodePreference/],
      ['kurrentdb://u:sec:ret@h', /percent-encode/],
      ['kurrentdb://u:sec@ret@h', /percent-encode/],
      ['kurrentdb://u:secret@h?tls=perhaps', /percent-encode/],
      ['kurrentdb://u:secret@h?tlsCAFile=/no/such/file', /Correct tlsCAFile/],
    ])('%s', async (wrong, message) => {
      const error = await failure(KurrentDbEventStore.open({ url: wrong, clock: new SystemClock() }));
      expect(error).toBeInstanceOf(ServerRefusal);
      expect(error.message).toMatch(message);
      expect(`${error.stack} ${error.cause}`).not.toMatch(/secret|sec.ret/);
    });
  });

  test.each([
    ['esdb://h:2113?tls=false', 'kurrentdb://h:2113?tls=false'],
    ['esdb+discover://u:p%40@h/', 'kurrentdb+discover://u:p%40@h'],
    [
      'kurrentdb://h,h2:2114?nodePreference=leader&tls_ca_file=/ca',
      'kurrentdb://h,h2:2114?nodePreference=leader&tls_ca_file=/ca',
    ],
  ])('%s is %s', (given, meant) => {
    expect(connectionString(given)).toBe(meant);
  });

  describe('with the real client', () => {
    test('an absent server is unavailable, and the message gives the reason', async () => {
      const nowhere = `kurrentdb://127.0.0.1:${await freePort()}?tls=false`;
      const error = await failure(KurrentDbEventStore.open({ url: nowhere, clock: new SystemClock() }));
      expect(error).toBeInstanceOf(ServerUnavailable);
      expect(error.message).toMatch(/ECONNREFUSED/);
    });

    test('a server without TLS that is contacted with TLS is refused, and the message names the missing parameter', async () => {
      const plain = createServer().listen(0, '127.0.0.1');
      await expect.poll(() => plain.listening).toBe(true);
      const { port } = plain.address() as AddressInfo;
      const error = await failure(
        KurrentDbEventStore.open({ url: `kurrentdb://localhost:${port}`, clock: new SystemClock() }),
      );
      expect(error).toBeInstanceOf(ServerRefusal);
      expect(error.message).toMatch(/\?tls=false/);
      plain.close();
    });

    test('the method of an append to several streams has the name that the adapter asks for', () => {
      const generated = createRequire(import.meta.url)(
        '@kurrent/kurrentdb-client/generated/kurrentdb/protocols/v2/streams/streams_grpc_pb',
      );
      expect(generated.StreamsServiceService.appendSession.path).toBe(APPEND_TO_SEVERAL.path);
    });
  });

  test.each([
    new UnavailableError(grpcError(14, '14 UNAVAILABLE: Connection dropped')),
    new UnknownError(grpcError(2, '2 UNKNOWN: Server Is Not Ready')),
    grpcError(14, '14 UNAVAILABLE: No connection established.'),
    new Error('Failed to discover after 10 attempts.'),
  ])('%s means: try again later', (error) => {
    expect(translateError(error)).toBeInstanceOf(ServerUnavailable);
    expect((translateError(error) as Error).cause).toBe(error);
  });

  test('errors that reveal nothing about the server stay as they are', () => {
    const error = new UnknownError(grpcError(3, '3 INVALID_ARGUMENT'));
    expect(translateError(error)).toBe(error);
  });
});

describe('batches', () => {
  test('hold back an append until nothing of their categories follows in it, whatever they reach', () => {
    const batches = new Batches(['note', 'draft'], 0n);
    batches.see(seen(1, 'note-1', 'note-draft-other'));
    batches.see(seen(2, 'note-1', 'draft-other'));
    batches.reach(9n);
    expect([batches.take(), batches.seen]).toEqual([undefined, 2n]);
    batches.see(seen(3, 'draft-1', 'other'));
    expect(positions(batches.take())).toEqual([[1, 2, 3], 3]);
    batches.reach(9n);
    expect(positions(batches.take())).toEqual([[], 9]);
  });

  test('of one category end where only others follow', () => {
    const batches = new Batches(['note'], 0n);
    batches.see(seen(1, 'note-1', 'draft'));
    expect(positions(batches.take())).toEqual([[1], 1]);
  });

  test('leave out what another source has shown already', () => {
    const batches = new Batches(['note'], 3n);
    for (const position of [2, 3, 4, 5, 4, 5, 6]) batches.see(seen(position, 'note-1'));
    expect(positions(batches.take())).toEqual([[4, 5, 6], 6]);
    expect(batches.take()).toBeUndefined();
  });

  function seen(position: number, streamId: string, follows?: string) {
    const at = BigInt(position);
    const metadata = { schema: '1', ...(follows && { follows }) };
    const event = { id: `${position}`, streamId, revision: 0n, type: 'Noted', data: {}, isJson: true } as const;
    return { ...event, metadata, created: new Date(), position: { commit: at, prepare: at } };
  }

  function positions(batch: Batch | undefined) {
    return batch && [batch.events.map(({ position }) => Number(position)), Number(batch.position)];
  }
});

function note(n = 0): NewEvent {
  const metadata = { correlationId: 'c', causationId: 'm', schema: 2 };
  return { id: randomUUID(), type: 'Noted', data: { n }, metadata };
}

function grpcError(code: number, message: string) {
  return Object.assign(new Error(message), { code }) as never;
}

function following(store: EventStore, categories: readonly string[], after: bigint) {
  return store.subscribe({ categories, after, signal: new AbortController().signal });
}

/** The next batch; undefined when the subscription has ended. */
async function next(batches: AsyncIterable<Batch>): Promise<Batch | undefined> {
  const { done, value } = await batches[Symbol.asyncIterator]().next();
  return done ? undefined : value;
}

async function drained(batches: AsyncIterable<Batch>): Promise<void> {
  while (await next(batches));
}

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => Promise.reject(new Error('It did not fail.')),
    (error: Error) => error,
  );
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}
