import { expect, test } from 'vitest';
import { eventsOf, goldenEvents, shapesOf } from '#test/golden';
import { payment, type PaymentCommand, type PaymentEvent } from './domain/payment.js';
import { upcasters } from './upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('golden/', import.meta.url), upcasters);

const files = {
  PaymentRequested: ['PaymentRequested.v1'],
  PaymentAuthorized: ['PaymentAuthorized.v1'],
  PaymentDeclined: ['PaymentDeclined.v1'],
  PaymentCaptureRequested: ['PaymentCaptureRequested.v1'],
  PaymentCaptured: ['PaymentCaptured.v1'],
  PaymentReturnRequested: ['PaymentReturnRequested.v1'],
  PaymentVoided: ['PaymentVoided.v1', 'PaymentVoided.nothing-held.v1'],
  PaymentRefunded: ['PaymentRefunded.v1'],
  PaymentCaptureRefused: ['PaymentCaptureRefused.v1'],
  PaymentRefundRefused: ['PaymentRefundRefused.v1'],
  PaymentBlocked: ['PaymentBlocked.v1'],
} satisfies Record<PaymentEvent['type'], readonly string[]>;

test('every event has a golden file for each shape that it ever had', () =>
  expect(Object.keys(golden).sort()).toEqual(Object.values(files).flat().sort()));

test('what the decider says today has the shapes of the golden files, and no others', () => {
  const amount = { amountMinor: 3048, currency: 'EUR' };
  const request: PaymentCommand = { type: 'Request', amount, token: 'tok_approved' };
  const authorized: PaymentCommand = { type: 'RecordAuthorized', authorizationId: 'auth_1', amount };
  const giveBack: PaymentCommand = { type: 'Return' };
  const today = [
    ...eventsOf(payment, request, authorized, { type: 'Capture' }, { type: 'RecordCaptured' }, giveBack, {
      type: 'RecordRefunded',
    }),
    ...eventsOf(payment, request, authorized, giveBack, { type: 'RecordVoided', authorizationId: 'auth_1' }),
    ...eventsOf(payment, request, giveBack, { type: 'RecordVoided', authorizationId: undefined }),
    ...eventsOf(payment, request, authorized, { type: 'Capture' }, { type: 'RecordCaptureRefused', reason: 'r' }),
    ...eventsOf(payment, request, giveBack, { type: 'RecordRefundRefused', reason: 'r' }),
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
])('payments of the past are read: %s after %s', (status, history) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  expect(events.reduce(payment.evolve, payment.initialState)).toMatchObject({ status });
});
