import { describe, expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import { idOf } from '#event-store';
import type { OrderEvent } from '../domain/order.js';
import { type OrderTodoRow, orderTodo } from './order-todo.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<OrderEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(orderTodo, 'order-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

/** `minutes` after the event with this index. */
const later = (index: number, minutes: number) =>
  new Date(Date.parse(recordedAt(index)) + minutes * 60_000).toISOString();
const deadline_at = '2026-11-21T12:15:00.000Z';

test.each([
  ['OrderPlaced', { wants: 'stock', deadline_at, due_at: later(0, 1), attention_at: null }],
  ['OrderPlaced OrderStockReserved', { wants: 'payment', deadline_at, due_at: later(1, 1), attention_at: null }],
  [
    'OrderPlaced OrderStockReserved OrderConfirmed',
    { wants: 'fulfilment', deadline_at: null, due_at: later(2, 1), attention_at: later(2, 60) },
  ],
  [
    'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped',
    { wants: 'fulfilment', deadline_at: null, due_at: later(2, 1), attention_at: later(2, 60) },
  ],
  [
    'OrderPlaced OrderStockReserved OrderCancelled OrderStockReleased',
    { wants: 'return', deadline_at: null, due_at: later(2, 1), attention_at: later(2, 60) },
  ],
])('after %s', (history, row) =>
  expect(after(history)).toEqual({ order_id: 'o1', question: false, reminders: 0, attended_at: null, ...row }),
);

test.each([
  'OrderPlaced OrderRejected.out-of-stock OrderSettled',
  'OrderPlaced OrderCancelled OrderStockReleased OrderPaymentReturned OrderSettled',
  'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured OrderCompleted',
])('an order that waits for nothing has no row: %s', (history) => expect(after(history)).toBeUndefined());

test('what the provider refuses waits for a person from now on, and no reminder is due', () =>
  expect(after('OrderPlaced OrderStockReserved OrderConfirmed OrderPaymentRefused')).toMatchObject({
    due_at: null,
    attention_at: recordedAt(3),
  }));

test('a refund that is refused when the order was settled waits for a person, too', () =>
  expect(
    after(
      'OrderPlaced OrderStockReserved OrderCancelled OrderStockReleased OrderPaymentReturned OrderSettled OrderPaymentRefused',
    ),
  ).toEqual({
    order_id: 'o1',
    wants: 'return',
    question: false,
    reminders: 0,
    deadline_at: null,
    due_at: null,
    attention_at: recordedAt(6),
    attended_at: null,
  }));

/** The row of an order after its n-th reminder, by the watchdog or by a person. */
function reminded(row: OrderTodoRow | undefined, attempt: number, actor?: string): OrderTodoRow {
  const { type, data } = golden['OrderReminded.v1'] as Extract<OrderEvent, { type: 'OrderReminded' }>;
  const event = {
    type,
    data: { ...data, attempt },
    id: 'e',
    stream: 'order-o1',
    revision: 9,
    position: 9n,
    metadata: { correlationId: 'c', causationId: 'c', schema: 1, ...(actor && { actor, reason: 'a test' }) },
    recordedAt: recordedAt(10),
  };
  expect(idOf(event.stream)).toBe(row?.order_id);
  return orderTodo.apply(row, event)!;
}

test.each([
  [1, 2],
  [2, 4],
  [5, 32],
  [6, 60],
  [40, 60],
])('after reminder %i the next one comes %i minutes later', (attempt, minutes) => {
  const row = reminded(after('OrderPlaced OrderStockReserved OrderConfirmed'), attempt);
  expect(row).toMatchObject({ reminders: attempt, due_at: later(10, minutes), attention_at: later(2, 60) });
});

test('the deadline comes before a later reminder', () =>
  expect(reminded(after('OrderPlaced'), 5)).toMatchObject({ due_at: deadline_at }));

test('a retry that a person asked for is given an hour, and then the person is asked again', () =>
  expect(reminded(after('OrderPlaced OrderStockReserved OrderConfirmed OrderPaymentRefused'), 1, 'ada')).toMatchObject({
    due_at: later(10, 2),
    attention_at: later(10, 60),
  }));

const paid = 'OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped OrderPaymentCaptured';
const asked = { question: true, attention_at: expect.any(String) };

test('what the provider did by itself waits for a person, also when nothing else does', () => {
  const idle = { wants: null, due_at: null, deadline_at: null };
  expect(after(`${paid} OrderCompleted OrderPaymentMoved`)).toMatchObject({ ...idle, ...asked });
  expect(after(`${paid} OrderPaymentMoved OrderCompleted`)).toMatchObject({ ...idle, ...asked });
  expect(after('OrderPlaced OrderRejected.out-of-stock OrderSettled OrderPaymentMoved')).toMatchObject(asked);
});

/** Of an order that waited for a person. */
const over = { wants: null, question: false, reminders: 0, deadline_at: null, due_at: null, attention_at: null };

test('an order whose question is answered waits only for something else', () => {
  const accepted = after(`${paid} OrderCompleted OrderPaymentMoved OrderPaymentMoveAccepted`);
  expect(accepted).toEqual({ order_id: 'o1', ...over, attended_at: recordedAt(7) });
  expect(after(`${paid} OrderPaymentMoved OrderPaymentMoveAccepted`)).toMatchObject({
    wants: 'fulfilment',
    question: false,
    attention_at: later(6, 60),
    attended_at: recordedAt(6),
  });
  const off = 'OrderPlaced OrderStockReserved OrderRejected.payment-declined OrderStockReleased OrderSettled';
  const returned = after(`${off} OrderPaymentMoved OrderPaymentReturned`);
  expect(returned).toEqual({ order_id: 'o1', ...over, attended_at: recordedAt(6) });
});

/** The row after one more event, `minutes` after the one with this index. */
function then(row: OrderTodoRow | undefined, name: string, index: number, minutes: number, cause = {}) {
  const metadata = { correlationId: 'c', causationId: 'c', schema: 1, ...cause };
  const place = { id: 'e', stream: 'order-o1', revision: 9, position: 9n, metadata, recordedAt: later(index, minutes) };
  return orderTodo.apply(row, { ...golden[`${name}.v1`]!, ...place });
}

describe('what a person was asked is known afterwards', () => {
  const shipped = after('OrderPlaced OrderStockReserved OrderConfirmed OrderStockShipped');

  test('where it ended by itself when they were asked, and not where it ended before', () => {
    expect(then(shipped, 'OrderCompleted', 2, 59)).toBeUndefined();
    expect(then(shipped, 'OrderCompleted', 2, 60)).toEqual({ order_id: 'o1', ...over, attended_at: later(2, 60) });
  });

  test('where a person decided, also before they were asked, and since the last decision', () => {
    const off = then(shipped, 'OrderCancelled', 2, 1, { actor: 'ada', reason: 'a test' });
    expect(off).toMatchObject({ wants: 'return', attended_at: later(2, 1) });
    expect(then(off, 'OrderReminded', 2, 2)).toMatchObject({ attended_at: later(2, 1) });
    expect(then(off, 'OrderReminded', 2, 3, { actor: 'ada', reason: 'again' })).toMatchObject({
      attended_at: later(2, 3),
    });
    expect(then(off, 'OrderSettled', 2, 4)).toEqual({ order_id: 'o1', ...over, attended_at: later(2, 1) });
  });

  test('and what a customer does is no decision', () => {
    const cancelled = then(after('OrderPlaced'), 'OrderCancelled', 0, 1, { actor: 'ada' });
    expect(cancelled).toMatchObject({ attended_at: null });
  });

  test('but not while they are still asked', () => {
    const refused = then(shipped, 'OrderPaymentRefused', 2, 1);
    expect(then(refused, 'OrderPaymentRefused', 2, 2)).toMatchObject({ attention_at: later(2, 2), attended_at: null });
    expect(then(refused, 'OrderPaymentMoved', 2, 2)).toMatchObject({ attended_at: null });
  });

  test('and an order that is over can need them again', () => {
    const settled = then(after(`${paid} OrderPaymentRefused`), 'OrderCompleted', 5, 1);
    expect(settled).toEqual({ order_id: 'o1', ...over, attended_at: later(5, 1) });
    const refused = then(settled, 'OrderPaymentRefused', 5, 2);
    expect(refused).toMatchObject({ wants: 'return', attention_at: later(5, 2), attended_at: later(5, 1) });
    const moved = then(settled, 'OrderPaymentMoved', 5, 2);
    expect(moved).toMatchObject({ wants: null, question: true, attention_at: later(5, 2), attended_at: later(5, 1) });
    expect(then(settled, 'OrderPaymentReturned', 5, 2)).toEqual(settled);
  });
});
