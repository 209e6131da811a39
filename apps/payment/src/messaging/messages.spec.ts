import { expect, test } from 'vitest';
import { paymentEvents } from '#contracts';
import { parseMessage } from '#message-bus';
import { goldenEvents } from '#test/golden';
import { paymentMessageOf } from './messages.js';
import type { PaymentEvent } from '../domain/payment.js';
import { upcasters } from '../upcasters.js';

const orderId = '9d1e7a30-52c1-5b0f-8a4e-3f1f5f0a2b6c';
const amount = { amountMinor: 3048, currency: 'EUR' };
const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);
const messageOf = (name: string) => paymentMessageOf(orderId, golden[`${name}.v1`]!);

test.each([
  ['PaymentAuthorized', 'PaymentAuthorized', { amount }],
  ['PaymentDeclined', 'PaymentDeclined', { reason: 'insufficient-funds' }],
  ['PaymentCaptured', 'PaymentCaptured', { amount }],
  ['PaymentVoided', 'PaymentReturned', { outcome: 'voided' }],
  ['PaymentVoided.nothing-held', 'PaymentReturned', { outcome: 'nothing-held' }],
  ['PaymentRefunded', 'PaymentReturned', { outcome: 'refunded' }],
  ['PaymentBlocked', 'PaymentReturned', { outcome: 'nothing-held' }],
  ['PaymentCaptureRefused', 'PaymentRefused', { step: 'capture', reason: 'refused-by-issuer' }],
  ['PaymentRefundRefused.again', 'PaymentRefused', { step: 'refund', reason: 'refused-by-issuer', number: 2 }],
  [
    'PaymentDeclined.other-sum-held',
    'PaymentDeclined',
    { reason: 'amount-mismatch', held: { ...amount, amountMinor: 1 } },
  ],
  [
    'PaymentMiscaptured',
    'PaymentRefused',
    { step: 'capture', reason: 'amount-mismatch', moved: { ...amount, amountMinor: 1524 } },
  ],
  [
    'PaymentRefundedInPart',
    'PaymentRefused',
    { step: 'refund', reason: 'amount-mismatch', moved: { ...amount, amountMinor: 1524 } },
  ],
  ['PaymentMovedByProvider', 'PaymentMovedByProvider', { how: 'refunded', amount }],
])('of %s other services learn %s %o', (name, type, data) =>
  expect(messageOf(name)).toEqual({ type, data: { orderId, ...data } }),
);

test.each(['PaymentHeldTwice', 'PaymentHoldReleased'])('%s concerns no other service', (name) =>
  expect(messageOf(name)).toBeUndefined(),
);

test.each(['PaymentRequested', 'PaymentCaptureRequested', 'PaymentReturnRequested'])('%s is a private intent', (name) =>
  expect(messageOf(name)).toBeUndefined(),
);

test('what a payment publishes keeps the contract, and everything in the contract is published', () => {
  const messages = Object.values(golden).flatMap((event) => paymentMessageOf(orderId, event) ?? []);
  expect(messages.map((message) => parseMessage(paymentEvents, message))).toEqual(messages);
  expect(new Set(messages.map(({ type }) => type))).toEqual(new Set(Object.keys(paymentEvents.schemas)));
});
