import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { PaymentEvent } from '../domain/payment.js';
import { paymentSummary } from './payment-summary.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);

const asked = { amount_minor: 3048, currency: 'EUR' };
const expiresAt = '2026-11-28T12:00:01.000Z';
const notAsked = { amount_minor: null, currency: null };

test.each([
  ['PaymentBlocked', { status: 'blocked', ...notAsked }],
  ['PaymentBlocked PaymentAuthorized PaymentReturnRequested', { status: 'returning', ...asked }],
  ['PaymentRequested', { status: 'requested', ...asked }],
  ['PaymentRequested PaymentDeclined', { status: 'declined', reason: 'insufficient-funds', ...asked }],
  ['PaymentRequested PaymentAuthorized', { status: 'authorized', ...asked }],
  ['PaymentRequested PaymentAuthorized PaymentCaptureRequested', { status: 'capturing', ...asked }],
  ['PaymentRequested PaymentAuthorized.expires', { status: 'authorized', ...asked, hold_expires_at: expiresAt }],
  [
    'PaymentRequested PaymentAuthorized.expires PaymentCaptureRequested PaymentCaptureRefused',
    { status: 'capture-refused', ...asked, reason: 'refused-by-issuer', hold_expires_at: expiresAt },
  ],
  [
    'PaymentRequested PaymentAuthorized.expires PaymentCaptured',
    { status: 'captured', ...asked, captured_minor: 3048 },
  ],
  ['PaymentRequested PaymentAuthorized.expires PaymentReturnRequested PaymentVoided', { status: 'voided', ...asked }],
  ['PaymentRequested PaymentAuthorized PaymentCaptured', { status: 'captured', ...asked, captured_minor: 3048 }],
  ['PaymentRequested PaymentAuthorized PaymentReturnRequested', { status: 'returning', ...asked }],
  ['PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentVoided', { status: 'voided', ...asked }],
  ['PaymentRequested PaymentReturnRequested PaymentVoided.nothing-held', { status: 'voided', ...asked }],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptured PaymentReturnRequested PaymentRefunded',
    { status: 'refunded', ...asked, captured_minor: 3048, refunded_minor: 3048 },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptureRefused',
    { status: 'capture-refused', ...asked, reason: 'refused-by-issuer' },
  ],
  // A reason leaves with the success of what was refused.
  [
    'PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptureRefused PaymentCaptureRequested PaymentCaptured',
    { status: 'captured', ...asked, captured_minor: 3048 },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptured PaymentReturnRequested PaymentRefundRefused PaymentReturnRequested PaymentRefunded',
    { status: 'refunded', ...asked, captured_minor: 3048, refunded_minor: 3048 },
  ],
  [
    'PaymentRequested PaymentDeclined.other-sum-held PaymentAuthorized PaymentReturnRequested PaymentVoided',
    { status: 'voided', reason: 'amount-mismatch', ...asked },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentMiscaptured',
    { status: 'capture-refused', reason: 'amount-mismatch', ...asked, captured_minor: 1524 },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptured PaymentReturnRequested PaymentRefundedInPart',
    { status: 'refund-refused', reason: 'amount-mismatch', ...asked, captured_minor: 3048, refunded_minor: 1524 },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptured PaymentMovedByProvider',
    { status: 'refunded', ...asked, captured_minor: 3048, refunded_minor: 3048 },
  ],
  [
    'PaymentRequested PaymentAuthorized PaymentCaptured PaymentMovedByProvider.unnamed',
    { status: 'disputed', ...asked, captured_minor: 3048 },
  ],
])('after %s: %o', (history, row) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  expect(rowAfter(paymentSummary, 'payment-o1', ...events)).toEqual({
    order_id: 'o1',
    reason: null,
    captured_minor: 0,
    refunded_minor: 0,
    hold_expires_at: null,
    ...row,
    updated_at: recordedAt(events.length - 1),
  });
});
