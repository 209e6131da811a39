import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { PaymentEvent } from '../domain/payment.js';
import { moneyHold } from './money-hold.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(moneyHold, 'payment-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

test('money is held from when it was authorized', () =>
  expect(after('PaymentRequested PaymentAuthorized')).toEqual({ order_id: 'o1', held_since: recordedAt(1) }));

test('a second hold that comes and goes does not change that', () =>
  expect(after('PaymentRequested PaymentAuthorized PaymentHeldTwice PaymentHoldReleased')).toEqual({
    order_id: 'o1',
    held_since: recordedAt(1),
  }));

test.each([
  'PaymentRequested',
  'PaymentRequested PaymentDeclined',
  'PaymentRequested PaymentAuthorized PaymentCaptureRequested',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentVoided',
])('no money waits for a verdict after %s', (history) => expect(after(history)).toBeUndefined());
