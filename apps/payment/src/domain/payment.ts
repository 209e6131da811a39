/**
 * The payment of one order.
 *
 *            Request               RecordAuthorized              Capture                RecordCaptured
 *   (none) ───────────▶ (requested) ──────────▶ (authorized) ──────────▶ (capturing) ──────────▶ (captured)
 *     │                   │      │                   │                        │                      │
 *     │ Return            │      │ RecordDeclined    │ Return                 │ Return               │ Return
 *     ▼                   │      ▼                   ▼                        ▼                      ▼
 *   (blocked)             │  (declined)          (returning) ◀──────────────────────────────────────┘
 *                         └─────────────────────────▲   │ RecordVoided          │ RecordRefunded
 *                              Return               │   ▼                       ▼
 *                                                   │ (voided)              (refunded)
 *                                                   └── money that arrives after all: it is given back too
 *
 * If the provider refuses to capture or to refund, the payment is (capture-refused) or (refund-refused) until the same is
 * requested again, or the return of the money.
 *
 * The provider is only called for what is already in the stream: (requested), (capturing) and (returning) say what is to
 * be done, cashier.ts does it, and the provider's answer is the next event. After a crash the stream still says so.
 */
import { Conflict, type Decider, DomainError, NotFound } from '#decider';

/** In minor units of an ISO 4217 currency. */
export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

export type PaymentCommand =
  | { type: 'Request'; amount: Money; token: string }
  /** `refusalsKnown`: up to which refusal the order knows them. Absent: it knows of none. */
  | { type: 'Capture'; refusalsKnown?: number }
  | { type: 'Return'; refusalsKnown?: number }
  /** From a person: releases a hold that the order has not decided about. */
  | { type: 'GiveUp' }
  | { type: 'RecordAuthorized'; authorizationId: string; amount: Money }
  | { type: 'RecordDeclined'; reason: string }
  | { type: 'RecordCaptured' }
  /** `authorizationId` is undefined when the provider held nothing. */
  | { type: 'RecordVoided'; authorizationId: string | undefined }
  | { type: 'RecordRefunded' }
  | { type: 'RecordCaptureRefused'; reason: string }
  | { type: 'RecordRefundRefused'; reason: string };

type Nothing = Record<string, never>;
/**
 * `number` counts the refusals of one payment, of either step, so that a refusal that is told again is not taken for a new
 * one. Absent: 1, the first; or one from before they were counted.
 */
type RefusalData = { reason: string; number?: number };

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type PaymentEvent =
  | { type: 'PaymentRequested'; data: { amount: Money; token: string } }
  | { type: 'PaymentAuthorized'; data: { authorizationId: string; amount: Money } }
  | { type: 'PaymentDeclined'; data: { reason: string } }
  | { type: 'PaymentCaptureRequested'; data: Nothing }
  | { type: 'PaymentCaptured'; data: { amount: Money } }
  | { type: 'PaymentReturnRequested'; data: Nothing }
  /** `authorizationId` is null when there was nothing to void. */
  | { type: 'PaymentVoided'; data: { authorizationId: string | null } }
  | { type: 'PaymentRefunded'; data: { amount: Money } }
  | { type: 'PaymentCaptureRefused'; data: RefusalData }
  | { type: 'PaymentRefundRefused'; data: RefusalData }
  | { type: 'PaymentBlocked'; data: Nothing };

/** What the provider holds, or has taken, for an order. */
interface Authorization {
  readonly authorizationId: string;
  readonly amount: Money;
}

/** `refusals`: the number of the last refusal; 0 while there was none. */
export type Payment = PaymentState & { readonly refusals: number };

type PaymentState =
  | { readonly status: 'none' | 'blocked' | 'declined' | 'refunded' }
  | { readonly status: 'requested'; readonly amount: Money; readonly token: string }
  | ({ readonly status: 'authorized' | 'capturing' | 'capture-refused' | 'captured' } & Authorization)
  | {
      readonly status: 'returning' | 'refund-refused';
      readonly amount: Money;
      readonly authorizationId: string | undefined;
      /** Whether we know that it was captured. The provider may have captured it and its answer been lost. */
      readonly captured: boolean;
    }
  | { readonly status: 'voided'; readonly authorizationId: string | undefined };

export const payment: Decider<PaymentCommand, PaymentEvent, Payment> = {
  initialState: { status: 'none', refusals: 0 },

  decide(command, state) {
    switch (command.type) {
      case 'Request': {
        const { amount, token } = command;
        return state.status === 'none' ? [{ type: 'PaymentRequested', data: { amount, token } }] : [];
      }
      case 'Capture':
        return capture(state, command.refusalsKnown);
      case 'Return':
        return giveBack(state, command.refusalsKnown);
      case 'GiveUp':
        if (state.status === 'authorized') return giveBack(state);
        throw new Conflict('nothing-held', `Nothing is held without a verdict: the payment is ${state.status}.`);
      case 'RecordAuthorized':
        return recordAuthorized(command, state);
      case 'RecordDeclined': {
        // Also while it is to be given back: a decline means that there is nothing to give back.
        const open = state.status === 'requested' || (state.status === 'returning' && !state.authorizationId);
        return open ? [{ type: 'PaymentDeclined', data: { reason: command.reason } }] : [];
      }
      case 'RecordCaptured':
        if (state.status !== 'capturing' && state.status !== 'authorized' && state.status !== 'capture-refused')
          return [];
        return [{ type: 'PaymentCaptured', data: { amount: state.amount } }];
      case 'RecordCaptureRefused': {
        const data = nextRefusal(state, command.reason);
        return state.status === 'capturing' ? [{ type: 'PaymentCaptureRefused', data }] : [];
      }
      case 'RecordVoided': {
        if (state.status !== 'returning' && state.status !== 'refund-refused') return [];
        if (state.captured) {
          throw new DomainError('already-captured', 'The money was captured: it is refunded, not voided.');
        }
        const authorizationId = command.authorizationId ?? state.authorizationId ?? null;
        return [{ type: 'PaymentVoided', data: { authorizationId } }];
      }
      case 'RecordRefundRefused': {
        const data = nextRefusal(state, command.reason);
        return state.status === 'returning' ? [{ type: 'PaymentRefundRefused', data }] : [];
      }
      case 'RecordRefunded': {
        if (state.status !== 'returning' && state.status !== 'refund-refused') return [];
        const { amount } = state;
        const refunded: PaymentEvent = { type: 'PaymentRefunded', data: { amount } };
        // What goes back was captured first, even if that answer was lost: the books have to balance.
        return state.captured ? [refunded] : [{ type: 'PaymentCaptured', data: { amount } }, refunded];
      }
    }
  },

  evolve(state, event) {
    const refused = event.type === 'PaymentCaptureRefused' || event.type === 'PaymentRefundRefused';
    return { ...nextState(state, event), refusals: refused ? (event.data.number ?? 1) : state.refusals };
  },
};

function nextState(state: PaymentState, event: PaymentEvent): PaymentState {
  switch (event.type) {
    case 'PaymentRequested':
      return { status: 'requested', ...event.data };
    case 'PaymentBlocked':
      return { status: 'blocked' };
    case 'PaymentAuthorized':
      return { status: 'authorized', ...event.data };
    case 'PaymentDeclined':
      return { status: 'declined' };
    case 'PaymentCaptureRequested':
      return state.status === 'authorized' || state.status === 'capture-refused'
        ? { ...state, status: 'capturing' }
        : state;
    case 'PaymentCaptureRefused':
      return state.status === 'capturing' ? { ...state, status: 'capture-refused' } : state;
    case 'PaymentCaptured':
      if ('captured' in state) return { ...state, captured: true };
      return 'authorizationId' in state && 'amount' in state ? { ...state, status: 'captured' } : state;
    case 'PaymentReturnRequested': {
      if (!('amount' in state)) return state;
      return {
        status: 'returning',
        amount: state.amount,
        authorizationId: authorizationOf(state),
        captured: isCaptured(state),
      };
    }
    case 'PaymentRefundRefused':
      return state.status === 'returning' ? { ...state, status: 'refund-refused' } : state;
    case 'PaymentVoided':
      return { status: 'voided', authorizationId: event.data.authorizationId ?? undefined };
    case 'PaymentRefunded':
      return { status: 'refunded' };
  }
}

function nextRefusal({ refusals }: Payment, reason: string): RefusalData {
  return refusals === 0 ? { reason } : { reason, number: refusals + 1 };
}

/**
 * Whether this answer is recorded already. Most arrive twice, as a response and as a webhook. No event takes back the two
 * kinds that are checked here, so the state need not be the latest.
 */
export function isRecorded(state: Payment, answer: PaymentCommand): boolean {
  if (answer.type === 'RecordAuthorized') return authorizationOf(state) === answer.authorizationId;
  return answer.type === 'RecordCaptured' && isCaptured(state);
}

/**
 * What was refused is requested again only by an order that knows so: somebody has decided that it be tried again. A
 * request that left before is the same request twice, or a reminder of an answer that is still under way.
 */
function capture(state: Payment, refusalsKnown = 0): readonly PaymentEvent[] {
  switch (state.status) {
    case 'authorized':
      return [{ type: 'PaymentCaptureRequested', data: {} }];
    case 'capture-refused':
      return refusalsKnown < state.refusals ? [] : [{ type: 'PaymentCaptureRequested', data: {} }];
    case 'capturing':
    case 'captured':
      return [];
    // A duplicate request, after the order was called off.
    case 'returning':
    case 'refund-refused':
    case 'voided':
    case 'refunded':
      return [];
    case 'none':
    case 'requested':
    case 'blocked':
    case 'declined':
      throw new DomainError('not-authorized', `There is no money to capture: the payment is ${state.status}.`);
  }
}

function giveBack(state: Payment, refusalsKnown = 0): readonly PaymentEvent[] {
  switch (state.status) {
    case 'none':
      return [{ type: 'PaymentBlocked', data: {} }];
    case 'requested':
    case 'authorized':
    case 'capturing':
    case 'capture-refused':
    case 'captured':
      return [{ type: 'PaymentReturnRequested', data: {} }];
    case 'refund-refused':
      return refusalsKnown < state.refusals ? [] : [{ type: 'PaymentReturnRequested', data: {} }];
    case 'blocked':
    case 'declined':
    case 'returning':
    case 'voided':
    case 'refunded':
      return [];
  }
}

function recordAuthorized(
  { authorizationId, amount }: Extract<PaymentCommand, { type: 'RecordAuthorized' }>,
  state: Payment,
): readonly PaymentEvent[] {
  const arrived: PaymentEvent = { type: 'PaymentAuthorized', data: { authorizationId, amount } };
  // Money that arrived after the payment was decided: it is recorded, and goes back.
  const late: readonly PaymentEvent[] = [arrived, { type: 'PaymentReturnRequested', data: {} }];
  switch (state.status) {
    case 'requested':
      return [arrived];
    case 'authorized':
    case 'capturing':
    case 'capture-refused':
    case 'captured':
    case 'refund-refused':
    case 'refunded':
      return [];
    case 'returning':
      // Recorded, so that a late decline does not end the return while there is money to give back.
      return state.authorizationId === undefined ? late : [];
    case 'voided':
      return state.authorizationId === authorizationId ? [] : late;
    case 'blocked':
    case 'declined':
      return late;
    case 'none':
      throw new NotFound('payment-not-found', 'There is no payment for this order.');
  }
}

/** Whether we know that the money was captured; it may be on its way back by now. */
function isCaptured(state: PaymentState): boolean {
  return state.status === 'captured' || ('captured' in state && state.captured);
}

function authorizationOf(state: PaymentState): string | undefined {
  return 'authorizationId' in state ? state.authorizationId : undefined;
}
