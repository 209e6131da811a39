import { expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { ReservationEvent } from '../domain/reservation.js';
import { stockHold } from './stock-hold.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<ReservationEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(stockHold, 'reservation-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

test('a reservation is held from when it was made, and waits for a person after a day', () =>
  expect(after('ReservationMade')).toEqual({
    order_id: 'o1',
    held_since: recordedAt(0),
    attention_at: recordedAt(24 * 60 * 60),
    attended_at: null,
  }));

test('a reservation that waited for a person stays, and waits no longer', () => {
  const { type, data } = golden['ReservationReleased.v1']!;
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
  const released = { type, data, id: 'e', stream: 'reservation-o1', revision: 1, position: 2n, metadata } as const;
  const end = (recordedAt: string) =>
    stockHold.apply(after('ReservationMade'), { ...released, recordedAt } as RecordedEvent<ReservationEvent>);
  const dayLater = recordedAt(24 * 60 * 60);
  expect(end(recordedAt(24 * 60 * 60 - 1))).toBeUndefined();
  const past = { order_id: 'o1', held_since: recordedAt(0), attention_at: null, attended_at: dayLater };
  expect(end(dayLater)).toEqual(past);
  expect(
    stockHold.apply(past, { ...released, recordedAt: recordedAt(90_000) } as RecordedEvent<ReservationEvent>),
  ).toEqual(past);
});

test.each([
  'ReservationMade ReservationShipped',
  'ReservationMade ReservationReleased',
  'ReservationMade ReservationShipped ReservationReturned',
  'ReservationRejected',
  'ReservationBlocked',
])('nothing waits for a verdict after %s', (history) => expect(after(history)).toBeUndefined());
