/** What every adapter of Tables promises, as tests. Not exported from the library: it needs vitest. */
import { describe, expect, test } from 'vitest';
import { CheckpointMoved, type Tables } from './port.js';
import { type AnyProjection, projection, type Row } from './projection.js';

/** The table that an adapter under test has to have, empty. */
export const CONTRACT_TABLE = `CREATE TABLE shelf (
  shop text, sku text, quantity bigint NOT NULL, note text, labels jsonb NOT NULL, extra json, fresh boolean NOT NULL,
  due_at timestamptz(3), PRIMARY KEY (shop, sku)
)`;

const shelf = projection<Row, any>({
  name: 'shelf',
  table: 'shelf',
  categories: ['shelf'],
  keyColumns: ['shop', 'sku'],
  key: () => undefined,
  apply: (row) => row,
});

const olives: Row = {
  shop: 'Ghent',
  sku: 'olives',
  quantity: 12,
  note: null,
  labels: ['green', { origin: 'Crete, "Chania" \\ {east}' }],
  extra: null,
  fresh: true,
  due_at: '2026-11-21T10:00:00.125Z',
};
const bread: Row = {
  ...olives,
  sku: 'bread, sliced',
  quantity: 2 ** 40,
  note: "baker's",
  labels: {},
  extra: 'two\nlines',
  fresh: false,
  due_at: null,
};
const oil: Row = { ...olives, shop: 'Lyon', extra: '', due_at: '2026-11-21T09:00:00.000Z' };
const keyOf = ({ shop, sku }: Row): Row => ({ shop: shop!, sku: sku! });

export function tablesContract(adapter: string, open: () => Promise<Tables>): void {
  describe(`tables in ${adapter}`, () => {
    const write = async (tables: Tables, from: bigint, to: bigint, upserts: Row[], deletes: Row[] = []) =>
      tables.commit({ projection: shelf, from, to, upserts, deletes });
    const place = ({ shop, sku }: Row) => `${shop}/${sku}`;
    const all = async (tables: Tables, ...rows: Row[]) =>
      (await tables.load(shelf, rows.map(keyOf))).sort((a, b) => place(a).localeCompare(place(b)));

    test('a projection begins at 0, without rows', async () => {
      const tables = await open();
      expect(await tables.checkpoint(shelf)).toBe(0n);
      expect(await tables.load(shelf, [keyOf(olives)])).toEqual([]);
      expect(await tables.load(shelf, [])).toEqual([]);
    });

    test('rows come back as they were written', async () => {
      const tables = await open();
      await write(tables, 0n, 3n, [olives, bread, oil]);
      expect(await all(tables, olives, bread, oil)).toEqual([bread, olives, oil]);
    });

    test('only the rows that are asked for are loaded', async () => {
      const tables = await open();
      await write(tables, 0n, 3n, [olives, oil]);
      expect(await all(tables, oil, bread)).toEqual([oil]);
    });

    test('a row is replaced as a whole', async () => {
      const tables = await open();
      await write(tables, 0n, 1n, [bread, olives]);
      const changed = {
        ...bread,
        quantity: 3,
        note: null,
        labels: [],
        fresh: true,
        due_at: '2026-11-22T00:00:00.000Z',
      };
      await write(tables, 1n, 2n, [changed]);
      expect(await all(tables, bread, olives)).toEqual([changed, olives]);
    });

    test('rows are written and deleted in one commit', async () => {
      const tables = await open();
      await write(tables, 0n, 2n, [olives, bread]);
      await write(tables, 2n, 3n, [oil], [keyOf(olives)]);
      expect(await all(tables, olives, bread, oil)).toEqual([bread, oil]);
      await write(tables, 3n, 4n, [], [bread, oil]);
      expect(await all(tables, olives, bread, oil)).toEqual([]);
    });

    test('the checkpoint moves with the rows, and without any', async () => {
      const tables = await open();
      await write(tables, 0n, 7n, [olives]);
      expect(await tables.checkpoint(shelf)).toBe(7n);
      await write(tables, 7n, 2n ** 53n + 1n, []);
      expect(await tables.checkpoint(shelf)).toBe(2n ** 53n + 1n);
    });

    test.each([
      ['rows', [bread], [olives]],
      ['deletes', [], [olives]],
      ['nothing', [], []],
    ] as [string, Row[], Row[]][])(
      'a commit of %s from another checkpoint writes nothing',
      async (_, upserts, deletes) => {
        const tables = await open();
        await expect(write(tables, 5n, 6n, upserts, deletes)).rejects.toThrow(CheckpointMoved);
        await write(tables, 0n, 5n, [olives]);
        for (const from of [0n, 4n, 6n]) {
          await expect(write(tables, from, 8n, upserts, deletes)).rejects.toThrow(CheckpointMoved);
        }
        expect(await tables.checkpoint(shelf)).toBe(5n);
        expect(await all(tables, olives, bread)).toEqual([olives]);
      },
    );

    test('of two commits from one checkpoint one is written', async () => {
      const tables = await open();
      const results = await Promise.allSettled([write(tables, 0n, 1n, [olives]), write(tables, 0n, 2n, [oil])]);
      expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
      const [written] = results[0].status === 'fulfilled' ? [olives] : [oil];
      expect(await all(tables, olives, oil)).toEqual([written]);
    });

    test('of projections that commit at once, each has its own verdict', async () => {
      const tables = await open();
      const named = (name: string): AnyProjection => ({ ...shelf, name });
      await tables.commit({ projection: named('behind'), from: 0n, to: 3n, upserts: [], deletes: [] });
      const commit = (name: string, upserts: Row[], deletes: Row[] = []) =>
        tables.commit({ projection: named(name), from: 0n, to: 5n, upserts, deletes });
      const results = await Promise.allSettled([
        commit('rows', [olives]),
        commit('behind', [bread]),
        commit('nothing', []),
        commit('deletes', [oil], [keyOf(bread)]),
      ]);
      expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
      expect(await all(tables, olives, bread, oil)).toEqual([olives, oil]);
      const checkpoints = ['rows', 'behind', 'nothing', 'deletes'].map((name) => tables.checkpoint(named(name)));
      expect(await Promise.all(checkpoints)).toEqual([5n, 3n, 5n, 5n]);
      const both = await tables.positions(['behind', 'rows', 'unknown'].map(named));
      expect(Object.fromEntries(both)).toEqual({ behind: 3n, rows: 5n, unknown: 0n });
    });

    test('projections have checkpoints of their own', async () => {
      const tables = await open();
      const other: AnyProjection = { ...shelf, name: 'shelf-again' };
      await write(tables, 0n, 4n, [olives]);
      expect(await tables.checkpoint(other)).toBe(0n);
    });

    test('a caller who changes a row does not change the table', async () => {
      const tables = await open();
      const row = structuredClone(olives);
      await write(tables, 0n, 1n, [row]);
      (row.labels as unknown[]).push('black');
      row.quantity = 0;
      expect(await all(tables, olives)).toEqual([olives]);
    });

    test('an event is shown since the commit that reached it, and not before', async () => {
      const tables = await open();
      const show = async (from: bigint, to: bigint, upserts: Row[] = [olives]) => {
        await tables.commit({ projection: shelf, from, to, upserts, deletes: [], shows: true });
        // Moments are in milliseconds: the next commit has another.
        const now = new Date();
        await expect.poll(() => new Date().getTime()).toBeGreaterThan(now.getTime() + 1);
        return now;
      };
      const begun = new Date();
      const times = [await show(0n, 3n), await show(3n, 4n, [])];
      await write(tables, 4n, 6n, [bread]);
      times.push(await show(6n, 2n ** 53n + 1n));
      const shown = await tables.shownAt(shelf, [1n, 3n, 4n, 5n, 6n, 7n, 2n ** 53n + 1n, 2n ** 53n + 2n]);
      expect(new Set(shown.keys())).toEqual(new Set([1n, 3n, 4n, 7n, 2n ** 53n + 1n]));
      const [first, second, third] = [1n, 4n, 7n].map((position) => shown.get(position)!.getTime());
      expect([shown.get(3n), shown.get(2n ** 53n + 1n)]).toEqual([new Date(first!), new Date(third!)]);
      expect(first).toBeGreaterThanOrEqual(begun.getTime() - 1);
      expect(second).toBeGreaterThan(times[0]!.getTime());
      expect(third).toBeGreaterThan(times[1]!.getTime());
      expect(third).toBeLessThanOrEqual(times[2]!.getTime() + 1);
      expect(await tables.shownAt({ ...shelf, name: 'other' }, [1n])).toEqual(new Map());
      expect(await tables.shownAt(shelf, [])).toEqual(new Map());
    });

    test('a commit that is not written shows nothing', async () => {
      const tables = await open();
      const change = { projection: shelf, upserts: [olives], deletes: [], shows: true };
      await tables.commit({ ...change, from: 0n, to: 3n });
      const at = await tables.shownAt(shelf, [1n]);
      await expect(tables.commit({ ...change, from: 0n, to: 5n })).rejects.toThrow(CheckpointMoved);
      expect(await tables.shownAt(shelf, [1n, 5n])).toEqual(at);
    });

    test('moments that are old are forgotten, those of one projection', async () => {
      const tables = await open();
      const other: AnyProjection = { ...shelf, name: 'other' };
      const show = (projection: AnyProjection, from: bigint, to: bigint) =>
        tables.commit({ projection, from, to, upserts: [], deletes: [], shows: true });
      for (let i = 0n; i < 3n; i++) await show(shelf, i, i + 1n);
      await show(other, 0n, 1n);
      const [first] = (await tables.shownAt(shelf, [1n])).values();
      expect(await tables.forgetShown(shelf, first!)).toBe(0);
      let forgotten = 0;
      const soon = new Date(Date.now() + 60_000);
      for (let some = 1; some > 0; forgotten += some) some = await tables.forgetShown(shelf, soon);
      expect(forgotten).toBe(3);
      expect((await tables.shownAt(shelf, [1n, 2n, 3n])).size).toBe(0);
      expect((await tables.shownAt(other, [1n])).size).toBe(1);
      await show(shelf, 3n, 4n);
      expect([...(await tables.shownAt(shelf, [3n, 4n])).keys()]).toEqual([4n]);
    });

    test('a table is stale for other code than that which built it', async () => {
      const tables = await open();
      expect(await tables.staleness(shelf)).toBeUndefined();
      await write(tables, 0n, 1n, [olives]);
      expect(await tables.staleness(shelf)).toBeUndefined();
      const changed = { ...shelf, apply: () => undefined };
      for (const other of [changed, { ...shelf, version: 1 }, { ...shelf, categories: ['shelf', 'shop'] }]) {
        expect(await tables.staleness(other)).toBe('code');
        await tables.commit({ projection: other, from: 1n, to: 1n, upserts: [olives], deletes: [] });
        expect(await tables.staleness(other)).toBe('code');
      }
      expect(await tables.staleness(shelf)).toBeUndefined();
    });

    test('what is due comes earliest first, up to a moment and a limit', async () => {
      const tables = await open();
      await write(tables, 0n, 1n, [olives, bread, oil]);
      const due = (until: string, limit = 10) => tables.due(shelf, 'due_at', new Date(until), limit);
      expect(await due('2026-11-21T10:00:00.125Z')).toEqual([oil, olives]);
      expect(await due('2026-11-21T10:00:00.125Z', 1)).toEqual([oil]);
      expect(await due('2026-11-21T10:00:00.124Z')).toEqual([oil]);
      expect(await due('2026-11-21T08:00:00.000Z')).toEqual([]);
    });

    test('what is due comes page by page, by time and then by key, and is counted without being read', async () => {
      const tables = await open();
      const rows = ['a', 'b', 'c'].map((sku) => ({ ...olives, sku }));
      await write(tables, 0n, 1n, [rows[2]!, bread, rows[0]!, oil, rows[1]!]);
      const until = new Date(olives['due_at'] as string);
      const found: Row[] = [];
      for (;;) {
        const page = await tables.due(shelf, 'due_at', until, 2, found.at(-1));
        if (page.length === 0) break;
        found.push(...page);
      }
      expect(found).toEqual([oil, ...rows]);
      expect(await tables.countDue(shelf, 'due_at', until)).toBe(4);
      expect(await tables.countDue(shelf, 'due_at', new Date(until.getTime() - 1))).toBe(1);
    });

    test('what has a time is read from its end, page by page, by time and then by key, and what has none is left out', async () => {
      const tables = await open();
      const rows = ['a', 'b', 'c'].map((sku) => ({ ...olives, sku }));
      await write(tables, 0n, 1n, [rows[2]!, bread, rows[0]!, oil, rows[1]!]);
      const found: Row[] = [];
      for (;;) {
        const page = await tables.latest(shelf, 'due_at', 3, found.at(-1));
        if (page.length === 0) break;
        found.push(...page);
      }
      expect(found).toEqual([...rows.toReversed(), oil]);
    });
  });
}
