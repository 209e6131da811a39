import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DomainError, stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import {
  isRecorded,
  type Money,
  type Movement,
  payment,
  type PaymentCommand,
  type PaymentEvent,
  restOf,
  secondHoldOf,
} from './payment.js';

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
const part = { amountMinor: 1524, currency: 'EUR' };
const other = { amountMinor: 3048, currency: 'JPY' };
const heldTwice: PaymentEvent = { type: 'PaymentHeldTwice', data: { authorizationId: 'auth_2', amount } };
const miscaptured: PaymentEvent = { type: 'PaymentMiscaptured', data: { amount: part } };
const refundedInPart: PaymentEvent = { type: 'PaymentRefundedInPart', data: { amount: part } };
const again = <E extends PaymentEvent>(event: E): E => ({ ...event, data: { ...event.data, number: 2 } });
const moved = (how: Movement, sum = amount, id: string | null = authorizationId): PaymentEvent => ({
  type: 'PaymentMovedByProvider',
  data: { how, amount: sum, authorizationId: id },
});
const mismatch = (held: Money): PaymentEvent => ({
  type: 'PaymentDeclined',
  data: { reason: 'amount-mismatch', held },
});
const held = (sum: Money): PaymentEvent => ({ type: 'PaymentAuthorized', data: { authorizationId, amount: sum } });
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
  'RecordAuthorized, part': { type: 'RecordAuthorized', authorizationId, amount: part },
  'RecordAuthorized, other currency': { type: 'RecordAuthorized', authorizationId, amount: other },
  'RecordAuthorized, second': { type: 'RecordAuthorized', authorizationId: 'auth_2', amount },
  'RecordCaptured, part': { type: 'RecordCaptured', authorizationId, amount: part },
  'RecordRefunded, part': { type: 'RecordRefunded', authorizationId, captured: amount, refunded: part },
  RecordDisputed: { type: 'RecordDisputed', authorizationId, amount },
  RecordHoldReleased: { type: 'RecordHoldReleased', authorizationId: 'auth_2' },
  RecordDeclined: { type: 'RecordDeclined', reason: 'declined' },
  RecordCaptured: { type: 'RecordCaptured', authorizationId, amount },
  RecordVoided: { type: 'RecordVoided', authorizationId },
  'RecordVoided, nothing held': { type: 'RecordVoided', authorizationId: undefined },
  RecordRefunded: { type: 'RecordRefunded', authorizationId, captured: amount, refunded: amount },
  RecordCaptureRefused: { type: 'RecordCaptureRefused', reason: 'refused-by-issuer' },
  RecordRefundRefused: { type: 'RecordRefundRefused', reason: 'refused-by-issuer' },
} as const satisfies Record<string, PaymentCommand>;

type Answers = Partial<Record<keyof typeof commands, readonly PaymentEvent[] | string>>;

const NOT_FOUND = 'payment-not-found';
const late = [moved('captured'), returnRequested];
const lateSecond = [{ ...heldTwice, type: 'PaymentAuthorized' } as PaymentEvent, returnRequested];

/** Every state of the machine: how a payment gets there, and each command that has an effect on it, or is refused. */
const machine: Record<string, { history: PaymentEvent[]; answers: Answers }> = {
  none: {
    history: [],
    answers: {
      ...Object.fromEntries(Object.keys(commands).map((name) => [name, name.startsWith('Record') ? NOT_FOUND : []])),
      Request: [requested],
      Capture: 'not-authorized',
      Return: [blocked],
    },
  },
  requested: {
    history: [requested],
    answers: {
      Capture: 'not-authorized',
      Return: [returnRequested],
      RecordAuthorized: [authorized],
      'RecordAuthorized, part': [mismatch(part), held(part), returnRequested],
      'RecordAuthorized, other currency': [mismatch(other), held(other), returnRequested],
      'RecordAuthorized, second': [lateSecond[0]!],
      RecordDeclined: [declined],
      RecordDisputed: [moved('disputed')],
    },
  },
  authorized: {
    history: [requested, authorized],
    answers: {
      Capture: [captureRequested],
      Return: [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordCaptured: [captured],
      'RecordCaptured, part': [miscaptured],
      RecordVoided: [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      'RecordVoided, nothing held': [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      RecordRefunded: [captured, moved('refunded')],
      'RecordRefunded, part': [captured, moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
    },
  },
  capturing: {
    history: [requested, authorized, captureRequested],
    answers: {
      Return: [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordCaptured: [captured],
      'RecordCaptured, part': [miscaptured],
      RecordCaptureRefused: [captureRefused],
      RecordVoided: [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      'RecordVoided, nothing held': [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      RecordRefunded: [captured, moved('refunded')],
      'RecordRefunded, part': [captured, moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
    },
  },
  'capturing, held twice': {
    history: [requested, authorized, captureRequested, heldTwice],
    answers: {
      Return: [returnRequested],
      RecordCaptured: [captured],
      'RecordCaptured, part': [miscaptured],
      RecordCaptureRefused: [captureRefused],
      RecordVoided: [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      'RecordVoided, nothing held': [{ type: 'PaymentCaptureRefused', data: { reason: 'voided' } }],
      RecordRefunded: [captured, moved('refunded')],
      'RecordRefunded, part': [captured, moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
      RecordHoldReleased: [{ type: 'PaymentHoldReleased', data: { authorizationId: 'auth_2', refunded: null } }],
    },
  },
  'capture-refused': {
    history: [requested, authorized, captureRequested, captureRefused],
    answers: {
      'Capture, the refusal known': [captureRequested],
      Return: [returnRequested],
      'Return, the refusal known': [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordCaptured: [captured],
      'RecordCaptured, part': [again(miscaptured)],
      RecordRefunded: [captured, moved('refunded')],
      'RecordRefunded, part': [captured, moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
    },
  },
  'capture-refused after a capture of a part': {
    history: [requested, authorized, captureRequested, miscaptured],
    answers: {
      'Capture, the refusal known': [captureRequested],
      Return: [returnRequested],
      'Return, the refusal known': [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordCaptured: [captured],
      RecordRefunded: [captured, moved('refunded')],
      'RecordRefunded, part': [captured, moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
    },
  },
  'refund-refused': {
    history: [requested, authorized, captureRequested, captured, returnRequested, refundRefused],
    answers: {
      'Return, the refusal known': [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordRefunded: [refunded],
      'RecordRefunded, part': [again(refundedInPart)],
      RecordDisputed: [moved('disputed')],
    },
  },
  'refund-refused after a refund of a part': {
    history: [requested, authorized, captureRequested, captured, returnRequested, refundedInPart],
    answers: {
      'Return, the refusal known': [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordRefunded: [refunded],
      RecordDisputed: [moved('disputed')],
    },
  },
  'refund-refused of a capture whose answer was lost': {
    history: [requested, authorized, returnRequested, refundRefused],
    answers: {
      'Return, the refusal known': [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [voided],
      RecordRefunded: [captured, refunded],
      'RecordRefunded, part': [captured, again(refundedInPart)],
      RecordDisputed: [moved('disputed')],
    },
  },
  captured: {
    history: [requested, authorized, captureRequested, captured],
    answers: {
      Return: [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordVoided: [moved('voided')],
      'RecordVoided, nothing held': [moved('voided', amount, null)],
      RecordRefunded: [moved('refunded')],
      'RecordRefunded, part': [moved('refunded', part)],
      RecordDisputed: [moved('disputed')],
    },
  },
  'captured, and given back by the provider': {
    history: [requested, authorized, captureRequested, captured, moved('refunded')],
    answers: {
      Return: [returnRequested],
      'RecordAuthorized, second': [heldTwice],
      RecordDisputed: [moved('disputed')],
    },
  },
  declined: {
    history: [requested, declined],
    answers: {
      Capture: 'not-authorized',
      RecordAuthorized: [authorized, returnRequested],
      'RecordAuthorized, part': [held(part), returnRequested],
      'RecordAuthorized, other currency': [held(other), returnRequested],
      'RecordAuthorized, second': lateSecond,
      RecordCaptured: late,
      'RecordCaptured, part': [moved('captured', part), returnRequested],
      RecordRefunded: [...late, refunded],
      'RecordRefunded, part': [...late, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'declined, for another sum was held': {
    history: [requested, mismatch(part), held(part), returnRequested],
    answers: {
      'RecordAuthorized, second': [heldTwice],
      RecordRefundRefused: [refundRefused],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [voided],
      RecordRefunded: [captured, refunded],
      'RecordRefunded, part': [captured, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'blocked by a cancellation that came first': {
    history: [blocked],
    answers: {
      Capture: 'not-authorized',
      RecordAuthorized: [authorized, returnRequested],
      'RecordAuthorized, part': [held(part), returnRequested],
      'RecordAuthorized, other currency': [held(other), returnRequested],
      'RecordAuthorized, second': lateSecond,
      RecordCaptured: late,
      'RecordCaptured, part': [moved('captured', part), returnRequested],
      RecordRefunded: [...late, refunded],
      'RecordRefunded, part': [...late, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'returning what was asked for': {
    history: [requested, returnRequested],
    answers: {
      RecordRefundRefused: [refundRefused],
      RecordAuthorized: [authorized, returnRequested],
      'RecordAuthorized, part': [held(part), returnRequested],
      'RecordAuthorized, other currency': [held(other), returnRequested],
      'RecordAuthorized, second': lateSecond,
      RecordDeclined: [declined],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [nothingToVoid],
      RecordRefunded: [captured, refunded],
      'RecordRefunded, part': [captured, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'returning what was authorized': {
    history: [requested, authorized, returnRequested],
    answers: {
      'RecordAuthorized, second': [heldTwice],
      RecordRefundRefused: [refundRefused],
      RecordVoided: [voided],
      'RecordVoided, nothing held': [voided],
      RecordRefunded: [captured, refunded],
      'RecordRefunded, part': [captured, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'returning what was captured': {
    history: [requested, authorized, captureRequested, captured, returnRequested],
    answers: {
      'RecordAuthorized, second': [heldTwice],
      RecordRefundRefused: [refundRefused],
      RecordVoided: [{ type: 'PaymentRefundRefused', data: { reason: 'not-captured' } }],
      'RecordVoided, nothing held': [{ type: 'PaymentRefundRefused', data: { reason: 'not-captured' } }],
      RecordRefunded: [refunded],
      'RecordRefunded, part': [refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  voided: {
    history: [requested, authorized, returnRequested, voided],
    answers: {
      'RecordAuthorized, second': lateSecond,
      RecordCaptured: late,
      'RecordCaptured, part': [moved('captured', part), returnRequested],
      RecordRefunded: [...late, refunded],
      'RecordRefunded, part': [...late, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  'voided before anything was held': {
    history: [requested, returnRequested, nothingToVoid],
    answers: {
      RecordAuthorized: [authorized, returnRequested],
      'RecordAuthorized, part': [held(part), returnRequested],
      'RecordAuthorized, other currency': [held(other), returnRequested],
      'RecordAuthorized, second': lateSecond,
      RecordCaptured: late,
      'RecordCaptured, part': [moved('captured', part), returnRequested],
      RecordRefunded: [...late, refunded],
      'RecordRefunded, part': [...late, refundedInPart],
      RecordDisputed: [moved('disputed')],
    },
  },
  refunded: {
    history: [requested, authorized, captureRequested, captured, returnRequested, refunded],
    answers: { 'RecordAuthorized, second': [heldTwice], RecordDisputed: [moved('disputed')] },
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

test('what is still to be captured is what was asked for, without what was captured', () => {
  expect(restOf({ amount })).toEqual(amount);
  expect(restOf({ amount, captured: part })).toEqual({ amountMinor: 1524, currency: 'EUR' });
  expect(restOf({ amount: part, captured: amount })).toBeUndefined();
  expect(restOf({ amount, captured: other })).toBeUndefined();
});

test('a second hold that stays captured is a matter for a person', () => {
  given(payment, requested, authorized, captured, heldTwice)
    .when({ type: 'RecordHoldReleased', authorizationId: 'auth_2', taken: amount })
    .then(moved('captured', { ...amount, amountMinor: 6096 }, 'auth_2'), {
      type: 'PaymentHoldReleased',
      data: { authorizationId: 'auth_2', refunded: null },
    });
});

test.each([
  ['a part', part, amount.amountMinor * 2 - part.amountMinor],
  ['another currency', other, amount.amountMinor * 2],
])('of a second hold that was captured %s is given back: a matter for a person', (_what, back, kept) => {
  given(payment, requested, authorized, captured, heldTwice)
    .when({ type: 'RecordHoldReleased', authorizationId: 'auth_2', taken: amount, refunded: back })
    .then(moved('captured', { ...amount, amountMinor: kept }, 'auth_2'), {
      type: 'PaymentHoldReleased',
      data: { authorizationId: 'auth_2', refunded: back },
    });
});

test('a refund that gives nothing back is a refusal when it was asked for, and old news otherwise', () => {
  const history = [requested, authorized, captured, returnRequested];
  const nothing = {
    type: 'RecordRefunded',
    authorizationId: undefined,
    captured: amount,
    refunded: { ...amount, amountMinor: 0 },
  } as const;
  given(payment, ...history)
    .when(nothing)
    .thenNothing();
  const refused = (number: object) =>
    ({ type: 'PaymentRefundRefused', data: { reason: 'nothing-refunded', ...number } }) as const;
  given(payment, ...history)
    .when({ ...nothing, asked: true })
    .then(refused({}));
  given(payment, ...history, refundedInPart, returnRequested)
    .when({ ...nothing, refunded: part, asked: true })
    .then(refused({ number: 2 }));
});

test('when a hold ends is kept with it', () => {
  const expiresAt = '2026-01-08T00:00:00.000Z';
  given(payment, requested)
    .when({ ...commands.RecordAuthorized, expiresAt })
    .then({ type: 'PaymentAuthorized', data: { authorizationId: 'auth_1', amount, expiresAt } });
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
        const { captured, refunded, holds = {} } = state.status === 'none' ? {} : state;
        expect(refunded?.amountMinor ?? 0).toBeLessThanOrEqual(captured?.amountMinor ?? 0);
        const second = Object.values(holds).filter((is) => is === 'second').length;
        expect(count('PaymentHeldTwice') - count('PaymentHoldReleased')).toBe(second);
        expect(secondHoldOf(state) !== undefined).toBe(second > 0);
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

const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
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
    ...eventsOf(payment, { ...request, customerId: 'ada' }),
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
  expect(shapesOf(today)).toEqual(goldenShapes('payment', golden));
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
