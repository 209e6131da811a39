import { test } from 'vitest';
import { given } from '#decider/scenario';
import { entry, type EntryCommand, type EntryEvent } from './entry.js';

const make: EntryCommand = { type: 'Make', kind: 'receipt', sku: 'olive-oil', quantity: 10 };
const made: EntryEvent = { type: 'EntryMade', data: { kind: 'receipt', sku: 'olive-oil', quantity: 10 } };

test('a booking makes one entry', () => {
  given(entry).when(make).then(made);
  given(entry, made).when(make).thenNothing();
});

test.each<[string, Partial<EntryCommand>]>([
  ['of another kind', { kind: 'recount' }],
  ['of another SKU', { sku: 'sea-salt' }],
  ['of another quantity', { quantity: 11 }],
])('the same key for an entry %s is refused', (_name, other) =>
  given(entry, made)
    .when({ ...make, ...other })
    .thenRefused('idempotency-key-reused'),
);
