import { expect, test } from 'vitest';
import { inventoryEvents } from '#contracts';
import { parseMessage } from '#message-bus';
import { goldenEvents } from '#test/golden';
import { inventoryMessageOf } from './messages.js';
import type { ReservationEvent } from '../domain/reservation.js';
import { upcasters } from '../upcasters.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const golden = await goldenEvents<ReservationEvent>(new URL('../golden/', import.meta.url), upcasters);
const messageOf = (name: string) => inventoryMessageOf(orderId, golden[`${name}.v1`]!);

test.each([
  ['ReservationMade', 'StockReserved', {}],
  ['ReservationRejected', 'StockRejected', { short: ['sea-salt'] }],
  ['ReservationReleased', 'StockReleased', { outcome: 'released' }],
  ['ReservationBlocked', 'StockReleased', { outcome: 'nothing-held' }],
  ['ReservationShipped', 'StockShipped', {}],
])('of %s other services learn %s %o', (name, type, data) =>
  expect(messageOf(name)).toEqual({ type, data: { orderId, ...data } }),
);

test('what a reservation publishes keeps the contract, and everything in the contract is published', () => {
  const events = Object.values(golden).filter(({ type }) => type.startsWith('Reservation'));
  const messages = events.map((event) => inventoryMessageOf(orderId, event));
  expect(messages.map((message) => parseMessage(inventoryEvents, message))).toEqual(messages);
  expect(new Set(messages.map(({ type }) => type))).toEqual(new Set(Object.keys(inventoryEvents.schemas)));
});
