import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { ReservationEvent } from '../domain/reservation.js';
import { reservationSummary } from './reservation-summary.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<ReservationEvent>(new URL('../golden/', import.meta.url), upcasters);
const lines = [
  { sku: 'olive-oil', quantity: 2 },
  { sku: 'sea-salt', quantity: 1 },
];

test.each([
  ['ReservationMade', { status: 'made', lines }],
  ['ReservationRejected', { status: 'rejected', lines: [] }],
  ['ReservationMade ReservationReleased', { status: 'released', lines }],
  ['ReservationMade ReservationShipped', { status: 'shipped', lines }],
  ['ReservationBlocked', { status: 'blocked', lines: [] }],
])('after %s: %o', (history, row) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  const updated_at = recordedAt(events.length - 1);
  expect(rowAfter(reservationSummary, 'reservation-o1', ...events)).toEqual({ order_id: 'o1', ...row, updated_at });
});
