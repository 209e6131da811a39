import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { postgresPool } from '#runtime/postgres';
import { freshDatabase } from '#test/database';
import { message } from './contract.js';
import { MemoryParkedMessages } from './parked-memory.js';
import { PostgresParkedMessages } from './postgres/parked.js';
import type { DeadLetters, ParkedMessages } from './parked.js';
import type { Delivered } from './port.js';

const now = new Date('2026-01-01T00:00:00.000Z');
const later = new Date('2026-01-01T00:00:10.000Z');

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
    const parkDead = (message: Delivered) =>
      parked.park(consumer, [{ message, attempts: 3, error: 'Error: no', nextAttemptAt: now, deadAt: now }], now);
    const due = async (at = now) => (await parked.due(consumer, at, 100)).map((first) => first.message.id).toSorted();
    const first = async (at = now) => (await parked.due(consumer, at, 1))[0]!;
    const decision = (action: 'retry' | 'skip') => ({
      id: randomUUID(),
      action,
      actor: 'ada',
      reason: 'the shelf was counted again',
      at: later,
    });
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
        { ...decided, deadLetter: id, consumer, message, attempts, error },
      ]);
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

function delivered(key: string, n: number): Delivered {
  return { ...message(key, n), topic: 'test', partition: 3, offset: 7n };
}
