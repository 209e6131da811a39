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
  expect(after(history)).toEqual({
    order_id: 'o1',
    step,
    second_holds: 0,
    position: last + 1,
    due_at: recordedAt(last),
  });
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

test.each([
  ['a second hold is to be given back, and the capture made', 'capture', 1, 'PaymentCaptureRequested PaymentHeldTwice'],
  ['the capture is made', null, 1, 'PaymentCaptureRequested PaymentHeldTwice PaymentCaptured'],
  ['the second hold is gone', 'capture', 0, 'PaymentCaptureRequested PaymentHeldTwice PaymentHoldReleased'],
  ['the provider did something by itself', 'capture', 0, 'PaymentCaptureRequested PaymentMovedByProvider'],
])('%s', (_what, step, second_holds, history) =>
  expect(after(`PaymentRequested PaymentAuthorized ${history}`)).toMatchObject({ step, second_holds }),
);

test('nothing is left to do when both are done, in any order', () => {
  const before = 'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentHeldTwice';
  expect(after(`${before} PaymentCaptured PaymentHoldReleased`)).toBeUndefined();
  expect(after(`${before} PaymentHoldReleased PaymentCaptured`)).toBeUndefined();
});
