import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { PaymentEvent } from '../domain/payment.js';
import { paymentTodo } from './payment-todo.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(paymentTodo, 'payment-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

test.each([
  ['authorize', 'PaymentRequested'],
  ['capture', 'PaymentRequested PaymentAuthorized PaymentCaptureRequested'],
  ['return', 'PaymentRequested PaymentReturnRequested'],
  ['return', 'PaymentRequested PaymentDeclined PaymentAuthorized PaymentReturnRequested'],
])('the provider is to %s after %s', (step, history) => {
  const last = history.split(' ').length - 1;
  expect(after(history)).toEqual({ order_id: 'o1', step, position: last + 1, due_at: recordedAt(last) });
});

test.each([
  'PaymentBlocked',
  'PaymentRequested PaymentAuthorized',
  'PaymentRequested PaymentDeclined',
  'PaymentRequested PaymentReturnRequested PaymentDeclined',
  'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptured',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentVoided',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentCaptured PaymentRefunded',
])('there is nothing to do after %s', (history) => expect(after(history)).toBeUndefined());
