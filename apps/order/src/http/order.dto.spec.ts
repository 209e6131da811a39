import { expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import { historyOf } from './order.dto.js';
import type { OrderEvent } from '../domain/order.js';

const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const stored = [
  {
    type: 'OrderPlaced',
    data: {
      customerId: '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e',
      lines: [{ sku: 'tea', quantity: 1, unitPrice: eur(300) }],
      total: eur(300),
      paymentToken: 'tok_approved',
      placedAt: '2026-11-21T12:00:00.000Z',
      deadlineAt: '2026-11-21T12:15:00.000Z',
    },
  },
  { type: 'OrderStockReserved', data: {} },
  { type: 'OrderConfirmed', data: {} },
] as unknown as [Extract<OrderEvent, { type: 'OrderPlaced' }>, ...OrderEvent[]];

/** Recorded by instances whose clocks differ, at these seconds. */
function recordAt(seconds: readonly number[]): RecordedEvent<OrderEvent>[] {
  return stored.map((event, revision) => ({
    ...event,
    id: `${revision}`,
    stream: 'order-1',
    revision,
    position: BigInt(revision + 1),
    metadata: { correlationId: 'c', causationId: 'c', schema: 1 },
    recordedAt: new Date(Date.UTC(2026, 10, 21, 12, 0, seconds[revision])).toISOString(),
  }));
}

test('the past of an order ends before its first event that is later', () => {
  const events = recordAt([1, 2, 3]);
  expect(historyOf('1', events, '2026-11-21T12:00:02Z', true)?.order.status).toBe('stock-reserved');
  expect(historyOf('1', events, '2026-11-21T13:00:01.999+01:00', true)?.order.status).toBe('placed');
  expect(historyOf('1', events, '2026-11-21T11:59:59.999Z', true)).toBeUndefined();
});

test('at its placedAt an order is as it was placed, however much later, or by which clock, its first event was recorded', () => {
  for (const recordedAt of [1, 0, -5]) {
    const history = historyOf('1', recordAt([recordedAt, 2, 3]), stored[0].data.placedAt, true);
    expect(history?.order).toMatchObject({ status: 'placed', placedAt: '2026-11-21T12:00:00.000Z' });
    expect(history?.events.map(({ revision }) => revision)).toEqual([0]);
  }
  // The time that its history shows for the first event is a time at which there was one.
  expect(historyOf('1', recordAt([-5, 2, 3]), '2026-11-21T11:59:55Z', true)?.order.status).toBe('placed');
});

test('an event is not shown without the previous one, even if the clock of another instance dated it earlier', () => {
  const history = historyOf('1', recordAt([1, 5, 3]), '2026-11-21T12:00:04Z', true);
  expect(history?.order.status).toBe('placed');
  expect(history?.events.map(({ revision }) => revision)).toEqual([0]);
});

test('the payment token is not shown', () => {
  expect(JSON.stringify(historyOf('1', recordAt([1, 2, 3]), undefined, true))).not.toContain('tok_');
});
