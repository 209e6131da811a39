import { beforeEach, expect, test } from 'vitest';
import { type Cause, MemoryEventStore } from '#event-store';
import { MemoryTables, projection } from '#projections';
import { ManualClock } from '#runtime/testing';
import { type HoldRow, holdsWithoutVerdict } from './holds.js';
import type { ServicePorts } from './ports.js';

const holds = projection<HoldRow, never>({
  name: 'hold',
  table: 'hold',
  categories: ['hold'],
  keyColumns: ['order_id'],
  key: () => undefined,
  apply: () => undefined,
});
const held = { lines: [{ sku: 'olive-oil', quantity: 2, state: 'reserved' }] };
const DAY_MS = 24 * 60 * 60_000;
const cause: Cause = { correlationId: 'request', causationId: 'request' };
const callOff = { decision: 'call-off', reason: 'The order is lost.' } as const;

let clock: ManualClock;
let inbox: ReturnType<typeof holdsWithoutVerdict>;
let tables: MemoryTables;
let store: MemoryEventStore;
let done: unknown[];
let status: string;
let ends: { expiresAt?: string };

beforeEach(async () => {
  clock = new ManualClock();
  tables = new MemoryTables();
  store = new MemoryEventStore(clock);
  const held_since = clock.now().toISOString();
  const attention_at = new Date(clock.now().getTime() + DAY_MS).toISOString();
  const upserts = ['o1', 'o2'].map((order_id) => ({ order_id, held_since, attention_at, attended_at: null }));
  await tables.commit({ projection: holds, from: 0n, to: 1n, upserts, deletes: [] });
  done = [];
  status = 'made';
  ends = {};
  inbox = holdsWithoutVerdict({ store, tables, clock } as unknown as ServicePorts, {
    projection: holds,
    name: 'reservation',
    find: async (orderId) => {
      if (orderId === 'unknown') return { status: 'none' };
      return status === 'made' && orderId !== 'o2' ? { status, held, ...ends } : { status: 'released' };
    },
    publishAgain: async (orderId) => void done.push(['published again', orderId]),
    giveUp: async (orderId, given) => void done.push(['given up', orderId, given]),
    effects: { retry: 'It is published again.', callOff: 'It is given back.' },
  });
});

test('a hold without a verdict is in the inbox when its time has come, and one that ended is not', async () => {
  await clock.advance(DAY_MS - 1);
  expect((await inbox.inbox({ limit: 10 })).items).toEqual([]);
  await clock.advance(1);
  expect((await inbox.inbox({ limit: 10 })).items).toMatchObject([
    {
      orderId: 'o1',
      since: clock.now().toISOString(),
      held,
      choices: [{ decision: 'retry' }, { decision: 'call-off' }],
    },
  ]);
});

test('when a hold ends by itself, the inbox says when', async () => {
  await clock.advance(DAY_MS);
  ends = { expiresAt: '2026-01-08T00:00:00.000Z' };
  expect((await inbox.inbox({ limit: 10 })).items).toMatchObject([
    { happened: expect.stringMatching(/ The hold ends at 2026-01-08T00:00:00\.000Z\.$/) },
  ]);
});

test('a decision is carried out, with the actor and the reason', async () => {
  await clock.advance(DAY_MS);
  await inbox.resolve('o1', { ...callOff, decision: 'retry' }, cause);
  await inbox.resolve('o1', callOff, { ...cause, actor: 'ada' });
  expect(done).toEqual([
    ['published again', 'o1'],
    ['given up', 'o1', { ...cause, actor: 'ada', reason: 'The order is lost.' }],
  ]);
});

test('until then only the order decides', async () => {
  await clock.advance(DAY_MS - 1);
  await expect(inbox.resolve('o1', callOff, cause)).rejects.toMatchObject({
    code: 'hold-too-young',
    message: expect.stringContaining('Until 2026-01-02T00:00:00.000Z'),
  });
});

test('a decision about a hold that ended, or that never was, is refused', async () => {
  await clock.advance(DAY_MS);
  await expect(inbox.resolve('unknown', callOff, cause)).rejects.toMatchObject({ code: 'reservation-not-found' });
  status = 'released';
  await expect(inbox.resolve('o1', callOff, cause)).rejects.toMatchObject({ code: 'nothing-held' });
  expect(done).toEqual([]);
});

test('of a hold that was given up it is known who decided it and why; one that ended by itself has no decision', async () => {
  const at = (hour: number) => new Date(clock.now().getTime() + hour * 3_600_000).toISOString();
  const past = ['o1', 'o2', 'o3'].map((order_id, i) => ({
    order_id,
    held_since: at(0),
    attention_at: null,
    attended_at: at(24 + i),
  }));
  await tables.commit({ projection: holds, from: 1n, to: 2n, upserts: past, deletes: [] });
  const metadata = { ...cause, actor: 'ada', reason: 'The order is lost.', schema: 1 };
  const event = { id: 'e', type: 'ReservationReleased', data: {}, metadata };
  await store.append([{ stream: 'reservation-o2', expected: 'none', events: [event] }]);
  const first = await inbox.past({ limit: 2 });
  expect(first).toMatchObject([
    { orderId: 'o3', at: at(26), decisions: [], isOver: false },
    {
      orderId: 'o2',
      at: at(25),
      decisions: [{ decision: 'call-off', by: 'ada', reason: 'The order is lost.' }],
      became: 'The reservation is released.',
      isOver: true,
    },
  ]);
  const rest = await inbox.past({ limit: 2, after: first.at(-1) });
  expect(rest.map(({ orderId }) => orderId)).toEqual(['o1']);
  expect(await inbox.past({ limit: 2, after: rest.at(-1) })).toEqual([]);
});
