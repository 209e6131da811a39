import { test } from 'vitest';
import { given } from '#decider/scenario';
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
