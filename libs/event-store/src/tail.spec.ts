import { expect, test } from 'vitest';
import type { RecordedEvent } from './port.js';
import { Tail } from './tail.js';

const event = (position: number, stream = 'note-1'): RecordedEvent => ({
  id: `${position}`,
  stream,
  revision: position,
  position: BigInt(position),
  type: 'Noted',
  data: {},
  metadata: { correlationId: 'c', causationId: 'c', schema: 1 },
  recordedAt: '2026-01-01T00:00:00.000Z',
});
const positions = (tail: Tail, after: bigint, categories = ['note']) =>
  tail.readAfter(after, categories)?.events.map(({ position }) => Number(position));

test('a tail that has not begun covers nothing', () => {
  const tail = new Tail();
  tail.add(0n, [event(1)], 1n);
  expect(tail.covers(0n)).toBe(false);
});

test('events that would leave a gap are not added, and known events are not added twice', () => {
  const tail = new Tail();
  tail.begin(5n);
  tail.add(5n, [event(6), event(7)], 7n);
  tail.add(9n, [event(10)], 10n);
  expect(tail.end).toBe(7n);
  tail.add(6n, [event(7), event(8)], 8n);
  expect(positions(tail, 5n)).toEqual([6, 7, 8]);
  expect(positions(tail, 7n)).toEqual([8]);
  expect(tail.readAfter(8n, ['note'])).toBeUndefined();
});

test('other categories are left out, and the position moves past them', () => {
  const tail = new Tail();
  tail.begin(0n);
  tail.add(0n, [event(1), event(2, 'stock-a')], 2n);
  expect(tail.readAfter(1n, ['note'])).toEqual({ events: [], position: 2n });
});

test('it keeps a bounded number of events, and covers only those', () => {
  const tail = new Tail();
  tail.begin(0n);
  for (let i = 1; i <= 1_500; i++) tail.add(BigInt(i - 1), [event(i)], BigInt(i));
  expect([tail.covers(0n), tail.covers(499n), tail.covers(500n), tail.covers(1_500n), tail.covers(1_501n)]).toEqual([
    false,
    false,
    true,
    true,
    false,
  ]);
  expect(positions(tail, 500n)).toHaveLength(1_000);
});
