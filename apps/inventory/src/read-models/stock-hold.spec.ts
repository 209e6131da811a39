import { expect, test } from 'vitest';
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
  }));

test.each([
  'ReservationMade ReservationShipped',
  'ReservationMade ReservationReleased',
  'ReservationMade ReservationShipped ReservationReturned',
  'ReservationRejected',
  'ReservationBlocked',
])('nothing waits for a verdict after %s', (history) => expect(after(history)).toBeUndefined());
