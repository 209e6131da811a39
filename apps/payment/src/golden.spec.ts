import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { eventsOf, goldenEvents, shapesOf, versionsIn, versionsOf } from '#test/golden';
import { payment, type PaymentCommand, type PaymentEvent } from './domain/payment.js';
import { upcasters } from './upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('golden/', import.meta.url), upcasters);

test('every event has a golden file for each version of its shape, and no file is left over', () =>
  expect(versionsIn(golden)).toEqual(versionsOf(upcasters)));

test('the events that the decider produces today have the shapes of the golden files, and no others', () => {
  const amount = { amountMinor: 3048, currency: 'EUR' };
  const request: PaymentCommand = { type: 'Request', amount, token: 'tok_approved' };
  const authorized: PaymentCommand = { type: 'RecordAuthorized', authorizationId: 'auth_1', amount };
  const giveBack: PaymentCommand = { type: 'Return' };
  const refuse = (step: PaymentCommand, type: 'RecordCaptureRefused' | 'RecordRefundRefused'): PaymentCommand[] => {
    const refused: PaymentCommand = { type, reason: 'r' };
    return [step, refused, { ...step, refusalsKnown: 1 } as PaymentCommand, refused];
  };
  const captured: PaymentCommand = { type: 'RecordCaptured', authorizationId: 'auth_1', amount };
  const part = { ...amount, amountMinor: 1524 };
  const second: PaymentCommand = { ...authorized, authorizationId: 'auth_2' };
  const refunded: PaymentCommand = {
    type: 'RecordRefunded',
    authorizationId: 'auth_1',
    captured: amount,
    refunded: amount,
  };
  const today = [
    ...eventsOf(payment, request, authorized, { type: 'Capture' }, captured, giveBack, refunded),
    ...eventsOf(payment, request, authorized, { type: 'Capture' }, captured, giveBack, { ...refunded, refunded: part }),
    ...eventsOf(payment, request, authorized, { type: 'Capture' }, captured, refunded),
    ...eventsOf(payment, request, authorized, {
      type: 'RecordDisputed',
      authorizationId: undefined,
      amount: undefined,
    }),
    ...eventsOf(payment, request, { ...authorized, amount: part }),
    ...eventsOf(payment, request, { ...authorized, expiresAt: '2026-11-28T12:00:01.000Z' }),
    ...eventsOf(payment, request, authorized, { ...captured, amount: part }),
    ...eventsOf(payment, request, authorized, second, { type: 'RecordHoldReleased', authorizationId: 'auth_2' }),
    ...eventsOf(payment, request, authorized, second, {
      type: 'RecordHoldReleased',
      authorizationId: 'auth_2',
      refunded: amount,
    }),
    ...eventsOf(payment, request, authorized, giveBack, { type: 'RecordVoided', authorizationId: 'auth_1' }),
    ...eventsOf(payment, request, giveBack, { type: 'RecordVoided', authorizationId: undefined }),
    ...eventsOf(payment, request, authorized, ...refuse({ type: 'Capture' }, 'RecordCaptureRefused')),
    ...eventsOf(payment, request, ...refuse(giveBack, 'RecordRefundRefused')),
    ...eventsOf(payment, request, authorized, ...refuse({ type: 'Capture' }, 'RecordCaptureRefused'), {
      ...captured,
      amount: part,
    }),
    ...eventsOf(payment, request, ...refuse(giveBack, 'RecordRefundRefused'), { ...refunded, refunded: part }),
    ...eventsOf(payment, request, { type: 'RecordDeclined', reason: 'declined' }),
    ...eventsOf(payment, giveBack),
  ];
  expect(shapesOf(today)).toEqual(shapesOf(Object.values(golden)));
});

test.each([
  ['declined', 'PaymentRequested PaymentDeclined'],
  ['blocked', 'PaymentBlocked'],
  ['captured', 'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptured'],
  ['capture-refused', 'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptureRefused'],
  ['refund-refused', 'PaymentRequested PaymentAuthorized PaymentCaptured PaymentReturnRequested PaymentRefundRefused'],
  ['voided', 'PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentVoided'],
  ['voided', 'PaymentRequested PaymentReturnRequested PaymentVoided.nothing-held'],
  ['refunded', 'PaymentRequested PaymentAuthorized PaymentCaptured PaymentReturnRequested PaymentRefunded'],
])('payments of the past can be read: %s after %s', (status, history) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  expect(stateAfter(payment, events)).toMatchObject({ status });
});
