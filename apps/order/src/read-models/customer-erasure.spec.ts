import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { CustomerEvent } from '../domain/customer.js';
import { upcasters } from '../upcasters.js';
import { customerErasure } from './customer-erasure.js';

const golden = await goldenEvents<CustomerEvent>(new URL('../golden/', import.meta.url), upcasters);
const kept = golden['CustomerRecipientKept.v1']!;
const requested = golden['CustomerErasureRequested.v1']!;
const requestedKept = golden['CustomerErasureRequested.kept.v1']!;
const erased = golden['CustomerErased.v1']!;
const kid = 'q3Zk1n0PZ2c8m5YV7b4d9Q';
const after = (...events: CustomerEvent[]) => rowAfter(customerErasure, 'customer-c1', ...events);

test('whose data are kept, and who has not asked for their end, has no row', () => {
  expect(after(kept)).toBeUndefined();
  expect(after(erased)).toBeUndefined();
});

test('what is requested is due at once, or when it has been kept for long enough', () => {
  const row = { customer_id: 'c1', erased: [], requested_at: recordedAt(1), erased_at: null };
  expect(after(kept, requested)).toEqual({ ...row, pending: [{ kid, from: recordedAt(1) }], due_at: recordedAt(1) });
  const from = '2026-12-21T12:00:00.000Z';
  expect(after(kept, requestedKept)).toEqual({ ...row, pending: [{ kid, from }], due_at: from });
});

test('what is erased is remembered by its name, and no longer due', () =>
  expect(after(kept, requested, erased)).toEqual({
    customer_id: 'c1',
    pending: [],
    erased: [kid],
    requested_at: recordedAt(1),
    due_at: null,
    erased_at: recordedAt(2),
  }));

test('of several keys the first that may be erased is due; an order after the request changes nothing', () => {
  const other = { type: 'CustomerErasureRequested', data: { kids: ['k2'] } } as const;
  const another = { type: 'CustomerRecipientKept', data: { ...kept.data, kid: 'k2' } } as CustomerEvent;
  const row = after(kept, requestedKept, another, other);
  expect(row).toMatchObject({ due_at: recordedAt(3), requested_at: recordedAt(3) });
  expect(row?.pending.map((each) => each.kid)).toEqual([kid, 'k2']);
  const gone = { type: 'CustomerErased', data: { kids: ['k2'] } } as const;
  expect(after(kept, requestedKept, another, other, gone)).toMatchObject({
    due_at: '2026-12-21T12:00:00.000Z',
    erased: ['k2'],
    pending: [{ kid }],
  });
});
