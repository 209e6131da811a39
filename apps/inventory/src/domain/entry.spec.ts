import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { type Booking, entry, type EntryCommand, type EntryEvent } from './entry.js';

const booking: Booking = { kind: 'recount', sku: 'olive-oil', quantity: 10, asOf: '7' };
const answer = { available: 10, reserved: 0, shipped: 2, difference: 1 };
const make: EntryCommand = { type: 'Make', booking, answer };
const made: EntryEvent = { type: 'EntryMade', data: { ...booking, answer } };

test('a booking makes one entry, and keeps what it was answered with', () => {
  given(entry).when(make).then(made);
  given(entry, made)
    .when({ ...make, answer: { ...answer, available: 99 } })
    .thenNothing();
});

test.each<[string, Partial<Booking>]>([
  ['of another kind', { kind: 'receipt' }],
  ['of another SKU', { sku: 'sea-salt' }],
  ['of another quantity', { quantity: 11 }],
  ['as of another position', { asOf: '8' }],
])('the same key for an entry %s is refused', (_name, other) =>
  given(entry, made)
    .when({ ...make, booking: { ...booking, ...other } })
    .thenRefused('idempotency-key-reused'),
);

const golden = await goldenEvents<EntryEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const { difference: _, ...ofReceipt } = answer;
  const { asOf: __, ...recount } = booking;
  const receipt = { ...recount, kind: 'receipt' } as const;
  const today = [
    ...eventsOf(entry, { type: 'Make', booking: receipt, answer: ofReceipt }),
    ...eventsOf(entry, { type: 'Make', booking: recount, answer }),
    ...eventsOf(entry, make),
  ];
  // Entries were once made without their answer.
  const { 'EntryMade.v1': ___, ...written } = golden;
  expect(shapesOf(today)).toEqual(goldenShapes('entry', written));
});

test('entries of the past can be read', () =>
  expect(stateAfter(entry, [golden['EntryMade.v1']!])).toEqual({
    status: 'made',
    kind: 'receipt',
    sku: 'olive-oil',
    quantity: 10,
  }));
