import { randomUUID } from 'node:crypto';
import type { Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { postgresPool } from '#runtime/postgres';
import { freshDatabase } from '#test/database';
import { message } from './contract.js';
import { MemoryParkedMessages } from './parked-memory.js';
import { PostgresParkedMessages } from './postgres/parked.js';
import type { DeadLetterFilter, DeadLetters, ParkedMessages } from './parked.js';
import type { Delivered } from './port.js';

const now = new Date('2026-01-01T00:00:00.000Z');
const later = new Date('2026-01-01T00:00:10.000Z');

/** A type that no column of Postgres can have. */
const ODD = 'odd \u0000\ud800 "\\u0000';

let pool: ReturnType<typeof postgresPool>;

beforeAll(async () => {
  pool = postgresPool(await freshDatabase('inventory'));
});
afterAll(() => pool.end());

parkedContract('MemoryParkedMessages', () => new MemoryParkedMessages());
parkedContract('PostgresParkedMessages', () => new PostgresParkedMessages(pool));

function parkedContract(name: string, make: () => ParkedMessages & DeadLetters): void {
  describe(`${name} keeps waiting lines:`, () => {
    let parked: ParkedMessages & DeadLetters;
    let consumer: string;

    beforeEach(() => {
      parked = make();
      consumer = randomUUID();
    });

    const park = (...messages: Delivered[]) =>
      parked.park(
        consumer,
        messages.map((message) => ({ message, attempts: 1, error: 'Error: no', nextAttemptAt: now })),
        now,
      );
    const parkDead = (...messages: (Delivered & { error?: string })[]) =>
      parked.park(
        consumer,
        messages.map(({ error = 'Error: no', ...message }) => ({
          message,
          attempts: 3,
          error,
          nextAttemptAt: now,
          deadAt: now,
        })),
        now,
      );
    const due = async (at = now) => (await parked.due(consumer, at, 100)).map((first) => first.message.id).toSorted();
    const first = async (at = now) => (await parked.due(consumer, at, 1))[0]!;
    /** Until it is tried. */
    const outcomeOf = { retry: 'waiting', skip: 'skipped' } as const;
    const decision = (action: 'retry' | 'skip') => ({ id: randomUUID(), ...decided(action) });
    /** The dead letter of this test's consumer: the table is shared with other tests. */
    const dead = async () => (await parked.listDead(0n, 1_000)).find((letter) => letter.consumer === consumer)!;

    test('a message comes back as it was parked', async () => {
      const odd: Delivered = {
        ...delivered('köln', 0),
        offset: 2n ** 60n,
        data: { text: '東京 \u0000 {"}' },
        traceparent: '00-aa-bb-01',
      };
      await park(odd);
      const { id, ...rest } = await first();
      expect(id).toBeTypeOf('bigint');
      expect(rest).toEqual({
        consumer,
        message: odd,
        attempts: 1,
        error: 'Error: no',
        parkedAt: now,
        nextAttemptAt: now,
      });
    });

    test.each([
      // Of random text, since what repeats would be compressed.
      ['longer than an index can hold', Array.from({ length: 200 }, () => randomUUID()).join('')],
      ['with U+0000', 'a\u0000b'],
    ])('a key and an id %s are like any other', async (_, key) => {
      await park(delivered(key, 0), delivered(key, 1), delivered(key, 0), delivered(`${key}!`, 0));
      expect(await parked.parkedKeys(consumer, [key, 'b'])).toEqual(new Set([key]));
      expect(await due()).toEqual([`${key}!/0`, `${key}/0`]);
      await parked.recordRetries([(await parked.due(consumer, now, 100)).find((it) => it.message.key === key)!.id], []);
      expect(await due()).toEqual([`${key}!/0`, `${key}/1`]);
    });

    test('keys with a line are distinguished from those without, for each consumer', async () => {
      await park(delivered('a', 0));
      expect(await parked.parkedKeys(consumer, ['a', 'b'])).toEqual(new Set(['a']));
      expect(await parked.parkedKeys(consumer, ['b'])).toEqual(new Set());
      expect(await parked.parkedKeys('another', ['a', 'b'])).toBeUndefined();
      expect(await parked.due('another', now, 100)).toEqual([]);
    });

    test('only the first of each line is due, and its handling makes the next the first', async () => {
      await park(delivered('a', 0), delivered('b', 0), delivered('a', 1), delivered('a', 2));
      await park(delivered('b', 1));
      for (const expected of [['a/0', 'b/0'], ['a/1', 'b/1'], ['a/2'], []]) {
        expect(await due()).toEqual(expected);
        const firsts = await parked.due(consumer, now, 100);
        await parked.recordRetries(
          firsts.map(({ id }) => id),
          [],
        );
      }
      expect(await parked.parkedKeys(consumer, ['a', 'b'])).toBeUndefined();
    });

    test('what follows the handled messages comes with their record, up to the limit, unless one of the line failed', async () => {
      await park(
        ...['a/0', 'b/0', 'a/1', 'c/0', 'a/2', 'b/1', 'a/3', 'c/1'].map((id) => delivered(id[0]!, Number(id[2]))),
      );
      const line = async () => {
        const firsts = await parked.due(consumer, now, 100);
        return (key: string) => firsts.find(({ message }) => message.key === key)!;
      };
      const failure = { attempts: 2, error: 'Error: no', nextAttemptAt: later };
      const of = await line();
      const next = await parked.recordRetries([of('a').id, of('b').id], [{ id: of('c').id, ...failure }], 2);
      expect(next.map(({ message }) => message.id).toSorted()).toEqual(['a/1', 'a/2', 'b/1']);
      const [a1, a2] = next.filter(({ message }) => message.key === 'a');
      expect(await parked.recordRetries([a1!.id], [{ id: a2!.id, ...failure }], 2)).toEqual([]);
      expect(await due(now)).toEqual(['b/1']);
      expect(await due(later)).toEqual(['a/2', 'b/1', 'c/0']);
    });

    test('lines that are not wanted are not due', async () => {
      await park(delivered('a', 0), delivered('b', 0), delivered('a'.repeat(9_000), 0));
      const found = await parked.due(consumer, now, 100, ['a', 'a'.repeat(9_000)]);
      expect(found.map(({ message }) => message.key)).toEqual(['b']);
    });

    test('a message that was parked twice is parked once, at its first place', async () => {
      await park(delivered('a', 0), delivered('a', 0), delivered('a', 1));
      await park(delivered('a', 0), delivered('a', 1), delivered('a', 2));
      for (const expected of [['a/0'], ['a/1'], ['a/2'], []]) {
        expect(await due()).toEqual(expected);
        await parked.recordRetries(
          (await parked.due(consumer, now, 100)).map(({ id }) => id),
          [],
        );
      }
    });

    test('a failed message is due again when its time has come, and its line waits', async () => {
      await park(delivered('a', 0), delivered('a', 1));
      const { id } = await first();
      await parked.recordRetries([], [{ id, attempts: 2, error: 'Error: nul \u0000', nextAttemptAt: later }]);
      expect(await due(now)).toEqual([]);
      expect(await due(later)).toEqual(['a/0']);
      expect(await first(later)).toMatchObject({ attempts: 2, error: expect.stringContaining('nul') });
    });

    test('those that are due longest come first, up to the limit', async () => {
      await park(delivered('a', 0), delivered('b', 0));
      const { id } = (await parked.due(consumer, now, 100)).find(({ message }) => message.key === 'a')!;
      await parked.recordRetries([], [{ id, attempts: 2, error: '', nextAttemptAt: later }]);
      expect((await parked.due(consumer, later, 1)).map(({ message }) => message.key)).toEqual(['b']);
    });

    test('a line whose first is dead waits, and the dead letter is listed', async () => {
      await parkDead(delivered('a', 0));
      await park(delivered('a', 1));
      expect(await due(later)).toEqual([]);
      expect(await parked.parkedKeys(consumer, ['a'])).toEqual(new Set(['a']));
      const letter = await dead();
      const all = await parked.countDead();
      expect(all).toBe((await parked.listDead(0n, 1_000)).length);
      expect(letter).toMatchObject({ attempts: 3, error: 'Error: no', deadAt: now, message: { id: 'a/0' } });
      expect((await parked.listDead(letter.id, 1))[0]).toEqual(letter);
      expect((await parked.listDead(letter.id + 1n, 1))[0]?.id).not.toBe(letter.id);
    });

    test('a retried dead letter is due with its attempts started over', async () => {
      await parkDead(delivered('a', 0));
      await park(delivered('a', 1));
      const letter = await dead();
      expect(await parked.resolve(letter.id, decision('retry'))).toEqual(letter);
      expect(await dead()).toBeUndefined();
      expect(await first(later)).toMatchObject({ attempts: 0, message: { id: 'a/0' } });
      expect(await parked.resolve(letter.id, decision('retry'))).toBeUndefined();
    });

    test('a skipped dead letter leaves its line, and the next message is due', async () => {
      await parkDead(delivered('a', 0));
      await park(delivered('a', 1));
      const letter = await dead();
      expect(await parked.resolve(letter.id, decision('skip'))).toEqual(letter);
      expect(await due(later)).toEqual(['a/1']);
      expect(await parked.resolve(letter.id, decision('skip'))).toBeUndefined();
    });

    test('a message that is still being retried cannot be decided about', async () => {
      await park(delivered('a', 0));
      const { id } = await first();
      expect(await parked.resolve(id, decision('skip'))).toBeUndefined();
      expect(await due()).toEqual(['a/0']);
      expect(await parked.resolutions({ deadLetter: id, limit: 10 })).toEqual([]);
    });

    test.each(['retry', 'skip'] as const)('it is recorded who decided to %s what, when and why', async (action) => {
      await parkDead(delivered('a', 0));
      const { id, message, attempts, error } = await dead();
      const decided = decision(action);
      await parked.resolve(id, decided);
      expect(await parked.resolutions({ deadLetter: id, limit: 10 })).toEqual([
        { ...decided, deadLetter: id, consumer, message, attempts, error, outcome: outcomeOf[action] },
      ]);
    });

    test('a decision tells what became of its dead letter: of a retry, that it waits, is dead again, or is handled', async () => {
      await parkDead(delivered('a', 0));
      const { id } = await dead();
      const outcomes = async () => (await parked.resolutions({ deadLetter: id, limit: 9 })).map((it) => it.outcome);
      const failed = { attempts: 3, error: 'Error: no', nextAttemptAt: later, deadAt: later };
      const decide = (action: 'retry' | 'skip', at: Date) => parked.resolve(id, { ...decision(action), at });
      await decide('retry', now);
      expect(await outcomes()).toEqual(['waiting']);
      await parked.recordRetries([], [{ id, ...failed }]);
      expect(await outcomes()).toEqual(['dead-again']);
      await decide('retry', later);
      expect(await outcomes()).toEqual(['waiting', 'dead-again']);
      await parked.recordRetries([id], []);
      expect(await outcomes()).toEqual(['handled', 'dead-again']);
    });

    test('of several concurrent decisions about one dead letter one takes effect and is recorded', async () => {
      await parkDead(delivered('a', 0));
      const letter = await dead();
      const decided = await Promise.all(
        (['retry', 'skip', 'retry', 'skip'] as const).map((action) => parked.resolve(letter.id, decision(action))),
      );
      expect(decided.filter((it) => it !== undefined)).toEqual([letter]);
      expect(await parked.resolutions({ deadLetter: letter.id, limit: 10 })).toHaveLength(1);
    });

    test('dead letters are found by topic, by type and by what their error begins with', async () => {
      const topic = `topic ${consumer}`;
      const letters = [
        { topic, type: 'A', error: 'NotFound: There is no order 7.' },
        { topic, type: 'A', error: 'NotFound: There is no payment.' },
        { topic, type: ODD, error: 'Error: 100% \u0000' },
        { topic: `${topic}!`, type: 'A', error: 'NotFound: There is no order 8.' },
      ];
      await parkDead(...letters.map((letter, n) => ({ ...delivered(`${n}`, 0), ...letter })));
      await park({ ...delivered('alive', 0), topic });
      for (const [filter, ...found] of [
        [{ topic }, 0, 1, 2],
        [{ topic, type: 'A' }, 0, 1],
        [{ topic, type: ODD }, 2],
        [{ topic, error: 'NotFound' }, 0, 1],
        [{ topic, error: 'NotFound: There is no order' }, 0],
        [{ topic, error: 'There is no order' }],
        [{ topic, error: 'Error: 100% \u0000' }, 2],
        [{ topic, error: 'NotFound%' }],
        [{ topic, type: 'B', error: 'Error' }],
        [{ topic: `${topic}!` }, 3],
        [{ topic: `${topic}?` }],
      ] as [DeadLetterFilter, ...number[]][]) {
        const listed = await parked.listDead(0n, 10, filter);
        expect([filter, listed.map(({ message }) => Number(message.key))]).toEqual([filter, found]);
        expect(await parked.countDead(filter)).toBe(found.length);
      }
      const [first] = await parked.listDead(0n, 1, { topic });
      expect((await parked.listDead(first!.id + 1n, 1, { topic }))[0]?.message.key).toBe('1');
    });

    test('kinds of dead letters are counted, the most frequent first, and those of others together', async () => {
      const topic = `topic ${consumer}`;
      const of = (type: string, ...errors: string[]) =>
        errors.map((error, n) => ({ ...delivered(`${type} ${n}`, 0), topic, type, error }));
      await parkDead(
        ...of(
          'A',
          'NotFound: v1.order.2\nknows no 0b7d30ac-8e0c-4f3e-9d1c-6a5d3a0d2f11.',
          'NotFound: v1.order.2\nknows no ab7d30ac-8e0c-4f3e-9d1c-6a5d3a0d2f11\nof the shop.',
          'NotFound: v1.order.2\nknows no 42\n',
        ),
        ...of('B', '503: The provider is away.', '503: The provider is away.', `Error: ${'köln '.repeat(200)}`),
        ...of('C', ''),
      );
      const kinds = [
        { topic, type: 'A', error: 'NotFound: v1.order.2\nknows no ', count: 3 },
        { topic, type: 'B', error: '503: The provider is away.', count: 2 },
        { topic, type: 'B', error: `Error: ${'köln '.repeat(38)}köl`, count: 1 },
        { topic, type: 'C', error: '', count: 1 },
      ];
      expect(await parked.countKinds(10, { topic })).toEqual({ kinds, others: 0 });
      expect(await parked.countKinds(2, { topic })).toEqual({ kinds: kinds.slice(0, 2), others: 2 });
      expect(await parked.countKinds(10, { topic, type: 'B', error: '5' })).toEqual({ kinds: [kinds[1]], others: 0 });
      expect(await parked.countKinds(10, { topic: `${topic}?` })).toEqual({ kinds: [], others: 0 });
      // What a kind says finds its letters.
      for (const { count, ...kind } of kinds) expect(await parked.countDead(kind)).toBe(count);
    });

    test.each(['retry', 'skip'] as const)('a decision to %s many is about the first that match', async (action) => {
      const topic = `topic ${consumer}`;
      await parkDead(...['a', 'b', 'c', 'd', 'e'].map((key) => ({ ...delivered(key, 0), topic })));
      await parkDead(delivered('other', 0));
      await park({ ...delivered('alive', 0), topic });
      await park({ ...delivered('a', 1), topic });
      const letters = await parked.listDead(0n, 10, { topic });
      const made = { ...decided(action), correlationId: 'one-request' };

      const decisionIds = [randomUUID(), randomUUID()];
      const [, second, third] = letters;
      expect(await parked.resolveMany(second!.id, { topic }, made, decisionIds)).toEqual([second!.id, third!.id]);
      for (const [n, { id, message, attempts, error }] of [second!, third!].entries()) {
        expect(await parked.resolutions({ deadLetter: id, limit: 10 })).toEqual([
          {
            ...made,
            id: decisionIds[n],
            deadLetter: id,
            consumer,
            message,
            attempts,
            error,
            outcome: outcomeOf[action],
          },
        ]);
      }
      const rest = [randomUUID(), randomUUID(), randomUUID(), randomUUID()];
      const [first, , , fourth, fifth] = letters.map(({ id }) => id);
      expect(await parked.resolveMany(0n, { topic }, made, rest)).toEqual([first, fourth, fifth]);
      expect(await parked.resolveMany(0n, { topic }, made, rest)).toEqual([]);
      expect(await parked.countDead({ topic })).toBe(0);
      expect(await due(later)).toEqual(
        action === 'retry' ? ['a/0', 'alive/0', 'b/0', 'c/0', 'd/0', 'e/0'] : ['a/1', 'alive/0'],
      );
      expect(await dead(), 'one that does not match').toMatchObject({ message: { key: 'other' } });
    });

    test('of concurrent decisions about many, each letter is decided about once, and none is left out', async () => {
      const topic = `topic ${consumer}`;
      await parkDead(...Array.from({ length: 60 }, (_, n) => ({ ...delivered(`${n}`, 0), topic })));
      const letters = (await parked.listDead(0n, 100, { topic })).map(({ id }) => id);
      const made = await Promise.all(
        Array.from({ length: 6 }, (_, n) =>
          parked.resolveMany(0n, { topic }, decided(n % 2 ? 'retry' : 'skip'), randomIds(10)),
        ),
      );
      expect(made.map(({ length }) => length)).toEqual([10, 10, 10, 10, 10, 10]);
      expect(new Set(made.flat())).toEqual(new Set(letters));
      for (const deadLetter of letters) expect(await parked.resolutions({ deadLetter, limit: 9 })).toHaveLength(1);
    });

    test('decisions are listed latest first, page by page, of one dead letter or of all', async () => {
      const made: string[] = [];
      await parkDead(delivered('a', 0));
      const letter = await dead();
      for (let n = 0; n < 5; n++) {
        // Two of them in the same millisecond.
        const decided = { ...decision('retry'), at: new Date(later.getTime() + (n === 4 ? 3 : n)) };
        await parked.resolve(letter.id, decided);
        made.push(decided.id);
        await parked.recordRetries(
          [],
          [{ id: letter.id, attempts: 1, error: 'again', nextAttemptAt: now, deadAt: now }],
        );
      }
      const expected = [...made.slice(3).toSorted().reverse(), ...made.slice(0, 3).reverse()];
      const decisions = await parked.resolutions({ limit: 100, deadLetter: letter.id });
      const page = async (after?: string, deadLetter: bigint | undefined = letter.id) => {
        const place = decisions.find(({ id }) => id === after);
        return (await parked.resolutions({ limit: 2, after: place, ...(deadLetter && { deadLetter }) })).map(
          ({ id }) => id,
        );
      };
      expect(await page()).toEqual(expected.slice(0, 2));
      expect(await page(expected[1])).toEqual(expected.slice(2, 4));
      expect(await page(expected[3])).toEqual(expected.slice(4));
      expect(await page(expected[4])).toEqual([]);
      expect(await page(undefined, letter.id + 1_000_000n)).toEqual([]);
      const all = await parked.resolutions({ limit: 1_000 });
      expect(all.map(({ id }) => id).filter((id) => made.includes(id))).toEqual(expected);
    });
  });
}

test('of 12,000 dead letters, kinds and a decision about 50 are a statement each, and fetch no messages', async () => {
  const LETTERS = 12_000;
  const own = postgresPool(await freshDatabase('inventory'), { max: 1 });
  try {
    // Every 100th is large: 200 kB.
    await own.query(
      `INSERT INTO parked_messages
         (consumer, key, message_id, message, attempts, error, parked_at, next_attempt_at, dead_at)
       SELECT 'c', n::text, n::text, json_build_object('offset', '1', 'topic', 't', 'type', 'Large' || n % 100,
         'data', repeat(md5(n::text), CASE WHEN n % 100 = 0 THEN 6250 ELSE 1 END)), 1, 'Error: no ' || n, $1, $1, $1
       FROM generate_series(1, ${LETTERS}) AS n`,
      [now],
    );
    const client = await own.connect();
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    client.release();
    const parked = new PostgresParkedMessages(own);
    const statements = vi.spyOn(own, 'query');
    const readBefore = stream.bytesRead;

    const { kinds, others } = await parked.countKinds(5);
    expect(
      kinds.map(({ count }) => count),
      'of the oldest 10,000',
    ).toEqual([100, 100, 100, 100, 100]);
    expect(others).toBe(LETTERS - 500);
    const filter = { topic: 't', type: 'Large0', error: 'Error' };
    const retried = await parked.resolveMany(0n, filter, decided('retry'), randomIds(50));
    const skipped = await parked.resolveMany(retried.at(-1)! + 1n, filter, decided('skip'), randomIds(50));
    expect([retried.length, skipped.length, await parked.countDead(filter)]).toEqual([50, 50, 20]);
    expect(statements).toHaveBeenCalledTimes(4);
    expect(stream.bytesRead - readBefore).toBeLessThan(30_000);

    const recorded = await own.query<{ kept: string }>(
      `SELECT count(*) AS kept FROM dead_letter_decisions WHERE length(message ->> 'data') = 200000`,
    );
    expect(recorded.rows[0]!.kept, 'with the whole message').toBe('100');
  } finally {
    await own.end();
  }
});

function decided(action: 'retry' | 'skip') {
  return { action, actor: 'ada', reason: 'the shelf was counted again', at: later };
}

function randomIds(length: number): string[] {
  return Array.from({ length }, () => randomUUID());
}

function delivered(key: string, n: number): Delivered {
  return { ...message(key, n), topic: 'test', partition: 3, offset: 7n };
}
