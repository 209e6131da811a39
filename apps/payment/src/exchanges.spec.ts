import { expect, test } from 'vitest';
import type { RecordedEvent } from '#event-store';
import type { PaymentEvent } from './domain/payment.js';
import { exchangesOf } from './exchanges.js';

/** Each is a type, and what caused it: a step of the cashier, or the id of a webhook or a message. */
function told(...events: [type: PaymentEvent['type'], cause: string][]) {
  const recorded = events.map(([type, cause]) => {
    const causationId = cause.startsWith(':') ? `1${cause}` : cause;
    return { id: type, type, stream: 'payment-1', metadata: { correlationId: '1', causationId, schema: 1 } };
  });
  return exchangesOf(recorded as unknown as RecordedEvent<PaymentEvent>[]);
}

const AUTHORIZED = { what: 'authorize', asked: 'PaymentRequested', answer: 'PaymentAuthorized', by: 'call' };

test('each thing that is asked for has its answer, to a call or by a webhook', () => {
  const exchanges = told(
    ['PaymentRequested', 'm1'],
    ['PaymentAuthorized', ':requested'],
    ['PaymentCaptureRequested', 'm2'],
    ['PaymentCaptured', 'evt_1'],
  );
  const captured = { what: 'capture', asked: 'PaymentCaptureRequested', answer: 'PaymentCaptured', by: 'webhook' };
  expect(exchanges).toEqual([AUTHORIZED, captured]);
});

test('what has no answer yet is open', () => {
  expect(told(['PaymentRequested', 'm1'])).toEqual([{ what: 'authorize', asked: 'PaymentRequested' }]);
});

test('what was refused and is asked for once more is asked for twice', () => {
  const exchanges = told(
    ['PaymentCaptureRequested', 'm1'],
    ['PaymentCaptureRefused', ':capturing'],
    ['PaymentCaptureRequested', 'm2'],
  );
  const refused = { what: 'capture', asked: 'PaymentCaptureRequested', answer: 'PaymentCaptureRefused', by: 'call' };
  expect(exchanges).toEqual([refused, { what: 'capture', asked: 'PaymentCaptureRequested' }]);
});

test('who asks for the money back awaits nothing else; a late answer is an answer all the same', () => {
  const early = told(['PaymentRequested', 'm1'], ['PaymentReturnRequested', 'm2'], ['PaymentVoided', ':returning']);
  const back = { what: 'give back', asked: 'PaymentReturnRequested' };
  expect(early).toEqual([
    { what: 'authorize', asked: 'PaymentRequested', dropped: true },
    { ...back, answer: 'PaymentVoided', by: 'call' },
  ]);
  const late = told(['PaymentRequested', 'm1'], ['PaymentReturnRequested', 'm2'], ['PaymentAuthorized', 'evt_1']);
  expect(late).toEqual([{ ...AUTHORIZED, by: 'webhook', dropped: true }, back]);
});

test('what the provider tells without having been asked asks for nothing', () => {
  const exchanges = told(
    ['PaymentRequested', 'm1'],
    ['PaymentAuthorized', ':requested'],
    ['PaymentHeldTwice', 'evt_2'],
    ['PaymentHoldReleased', ':second-hold'],
    ['PaymentMovedByProvider', 'evt_3'],
  );
  const release = { what: 'release the second hold', asked: 'PaymentHeldTwice', answer: 'PaymentHoldReleased' };
  expect(exchanges).toEqual([
    AUTHORIZED,
    { what: 'tell', answer: 'PaymentHeldTwice', by: 'webhook' },
    { ...release, by: 'call' },
    { what: 'tell', answer: 'PaymentMovedByProvider', by: 'webhook' },
  ]);
});

test('one answer that is several events is told once', () => {
  const mismatch = told(
    ['PaymentRequested', 'm1'],
    ['PaymentDeclined', ':requested'],
    ['PaymentAuthorized', ':requested'],
    ['PaymentReturnRequested', ':requested'],
    ['PaymentCaptured', ':returning'],
    ['PaymentRefunded', ':returning'],
  );
  expect(mismatch.map(({ what, answer }) => [what, answer])).toEqual([
    ['authorize', 'PaymentDeclined'],
    ['give back', 'PaymentRefunded'],
  ]);
});

test('a payment that was blocked before anything was asked for has none', () => {
  expect(told(['PaymentBlocked', 'm1'])).toEqual([]);
});
