import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError } from '#decider';
import { given } from '#decider/scenario';
import { isRecorded, payment, type PaymentCommand, type PaymentEvent } from './payment.js';

const amount = { amountMinor: 3048, currency: 'EUR' };
const authorizationId = 'auth_1';

const requested: PaymentEvent = { type: 'PaymentRequested', data: { amount, token: 'tok_approved' } };
const authorized: PaymentEvent = { type: 'PaymentAuthorized', data: { authorizationId, amount } };
const declined: PaymentEvent = { type: 'PaymentDeclined', data: { reason: 'declined' } };
const captureRequested: PaymentEvent = { type: 'PaymentCaptureRequested', data: {} };
const captured: PaymentEvent = { type: 'PaymentCaptured', data: { amount } };
const returnRequested: PaymentEvent = { type: 'PaymentReturnRequested', data: {} };
const voided: PaymentEvent = { type: 'PaymentVoided', data: { authorizationId } };
const nothingToVoid: PaymentEvent = { type: 'PaymentVoided', data: { authorizationId: null } };
const refunded: PaymentEvent = { type: 'PaymentRefunded', data: { amount } };
const captureRefused: PaymentEvent = { type: 'PaymentCaptureRefused', data: { reason: 'refused-by-issuer' } };
const refundRefused: PaymentEvent = { type: 'PaymentRefundRefused', data: { reason: 'refused-by-issuer' } };
const blocked: PaymentEvent = { type: 'PaymentBlocked', data: {} };

const commands = {
  Request: { type: 'Request', amount, token: 'tok_approved' },
  Capture: { type: 'Capture' },
  Return: { type: 'Return' },
  'Capture, the refusal known': { type: 'Capture', refusalsKnown: 1 },
  'Return, the refusal known': { type: 'Return', refusalsKnown: 1 },
  GiveUp: { type: 'GiveUp' },
  RecordAuthorized: { type: 'RecordAuthorized', authorizationId, amount },
  RecordDeclined: { type: 'RecordDeclined', reason: 'declined' },
  RecordCaptured: { type: 'RecordCaptured' },
  RecordVoided: { type: 'RecordVoided', authorizationId },
  'RecordVoided, nothing held': { type: 'RecordVoided', authorizationId: undefined },
  RecordRefunded: { type: 'RecordRefunded' },
  RecordCaptureRefused: { type: 'RecordCaptureRefused', reason: 'refused-by-issuer' },
  RecordRefundRefused: { type: 'RecordRefundRefused', reason: 'refused-by-issuer' },
} as const satisfies Record<string, PaymentCommand>;

type Answers = Partial<Record<keyof typeof commands, readonly PaymentEvent[] | string>>;

/** Every state of the machine: how a payment gets there, and each command that has an effect on it, or is refused. */
const machine: Record<string, { history: PaymentEvent[]; answers: Answers }> = {
  none: {
    history: [],
    answers: {
      Request: [requested],
      Capture: 'not-authorized',
      Return: [blocked],
      RecordAuthorized: 'payment-not-found',
    },
  },
  requested: {
    history: [requested],
    answers: {
      Capture: 'not-authorized',
      Return: [returnRequested],
      RecordAuthorized: [authorized],
      RecordDeclined: [declined],
    },
  },
  authorized: {
    history: [requested, authorized],
    answers: { Capture: [captureRequested], Return: [returnRequested], RecordCaptured: [captured] },
  },
  capturing: {
    history: [requested, authorized, captureRequested],
    answers: { Return: [returnRequested], RecordCaptured: [captured], RecordCaptureRefused: [captureRefused] },
  },
  'capture-refused': {
    history: [requested, authorized, captureRequested, captureRefused],
    answers: {
      'Capture, the refusal known': [captureRequested],
      Return: [returnRequested],
      'Return, the refusal known': [returnRequested],
      RecordCaptured: [captured],
    },
  },
  'refund-refused': {
    history: [requested, authorized, captureRequested, captured, returnRequested, refundRefused],
    answers: {
      'Return, the refusal known': [returnRequested],
      RecordVoided: 'already-captured',
      'RecordVoided, nothing held': 'already-captured',
      RecordRefunded: [refunded],
    },
  },
  'refund-refused of a capture whose answer was lost': {
    history: [requested, authorized, returnRequested, refundRefused],
    answers: {
      'Return, the refusal known': [returnRequested],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [voided],
      RecordRefunded: [captured, refunded],
    },
  },
  captured: {
    history: [requested, authorized, captureRequested, captured],
    answers: { Return: [returnRequested] },
  },
  declined: {
    history: [requested, declined],
    answers: { Capture: 'not-authorized', RecordAuthorized: [authorized, returnRequested] },
  },
  'blocked by a cancellation that came first': {
    history: [blocked],
    answers: { Capture: 'not-authorized', RecordAuthorized: [authorized, returnRequested] },
  },
  'returning what was asked for': {
    history: [requested, returnRequested],
    answers: {
      RecordRefundRefused: [refundRefused],
      RecordAuthorized: [authorized, returnRequested],
      RecordDeclined: [declined],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [nothingToVoid],
      RecordRefunded: [captured, refunded],
    },
  },
  'returning what was authorized': {
    history: [requested, authorized, returnRequested],
    answers: {
      RecordRefundRefused: [refundRefused],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [voided],
      RecordRefunded: [captured, refunded],
    },
  },
  'returning what was captured': {
    history: [requested, authorized, captureRequested, captured, returnRequested],
    answers: {
      RecordRefundRefused: [refundRefused],
      RecordVoided: 'already-captured',
      'RecordVoided, nothing held': 'already-captured',
      RecordRefunded: [refunded],
    },
  },
  voided: {
    history: [requested, authorized, returnRequested, voided],
    answers: {},
  },
  'voided before anything was held': {
    history: [requested, returnRequested, nothingToVoid],
    answers: { RecordAuthorized: [authorized, returnRequested] },
  },
  refunded: {
    history: [requested, authorized, captureRequested, captured, returnRequested, refunded],
    answers: {},
  },
};

describe.each(Object.entries(machine))('%s', (state, { history, answers }) => {
  test.each(Object.keys(commands) as (keyof typeof commands)[])('%s', (name) => {
    const { then, thenRefused } = given(payment, ...history).when(commands[name]);
    // Only what is authorized, and nothing else yet, is a hold that waits for the order.
    const givenUp = state === 'authorized' ? [returnRequested] : 'nothing-held';
    // That a refusal is known makes a difference only where one is.
    const plain = /refused/.test(state) ? name : (name.replace(', the refusal known', '') as typeof name);
    const answer = name === 'GiveUp' ? givenUp : (answers[plain] ?? []);
    return typeof answer === 'string' ? thenRefused(answer) : then(...answer);
  });
});

test('what was refused is requested again only by an order that knows of it, and each refusal has its number', () => {
  const history = [requested, authorized, captureRequested, captureRefused, captureRequested];
  const second: PaymentEvent = { type: 'PaymentCaptureRefused', data: { reason: 'refused-by-issuer', number: 2 } };
  given(payment, ...history)
    .when(commands.RecordCaptureRefused)
    .then(second);
  // The reminder that led to the second attempt, delivered twice.
  given(payment, ...history, second)
    .when({ type: 'Capture', refusalsKnown: 1 })
    .thenNothing();
  given(payment, ...history, second)
    .when({ type: 'Capture', refusalsKnown: 2 })
    .then(captureRequested);
  given(payment, ...history, second, returnRequested)
    .when(commands.RecordRefundRefused)
    .then({ type: 'PaymentRefundRefused', data: { reason: 'refused-by-issuer', number: 3 } });
});

test('refusals from before they were numbered count as the first', () => {
  const history = [requested, authorized, captureRequested, captureRefused, captureRequested, captureRefused];
  given(payment, ...history)
    .when({ type: 'Capture', refusalsKnown: 1 })
    .then(captureRequested);
  given(payment, ...history, captureRequested)
    .when(commands.RecordCaptureRefused)
    .then({ type: 'PaymentCaptureRefused', data: { reason: 'refused-by-issuer', number: 2 } });
});

test('money that arrives late goes back, and goes back once when it arrives twice', () => {
  const history = [requested, declined, authorized, returnRequested];
  given(payment, ...history)
    .when(commands.RecordAuthorized)
    .thenNothing();
  given(payment, ...history)
    .when(commands.RecordVoided)
    .then(voided);
  given(payment, ...history, voided)
    .when(commands.RecordAuthorized)
    .thenNothing();
});

test('whatever comes in any order, a payment captures money at most once and gives back no more than it captured', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...Object.values(commands)), { maxLength: 20 }), (sequence) => {
      let state = payment.initialState;
      const history: PaymentEvent[] = [];
      const states = [state];
      for (const command of sequence) {
        if (states.some((earlier) => isRecorded(earlier, command))) {
          expect(attempt(command), 'what is recorded stays recorded').toEqual([]);
        }
        const events = attempt(command);
        history.push(...events);
        state = events.reduce(payment.evolve, state);
        states.push(state);
        expect(attempt(command), 'a retry is an answer').toEqual([]);
        const count = (type: PaymentEvent['type']) => history.filter((event) => event.type === type).length;
        expect(count('PaymentCaptured')).toBeLessThanOrEqual(1);
        expect(count('PaymentRefunded')).toBeLessThanOrEqual(count('PaymentCaptured'));
      }

      function attempt(command: PaymentCommand): readonly PaymentEvent[] {
        try {
          return payment.decide(command, state);
        } catch (error) {
          expect(error).toBeInstanceOf(DomainError);
          return [];
        }
      }
    }),
    { numRuns: 500 },
  );
});
