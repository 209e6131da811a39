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
 *                              Return,              │   ▼                       ▼
 *                              RecordAuthorized     │ (voided)              (refunded)
 *                              of another sum       └── money that arrives after all: it is given back too
 *
 * If the provider refuses to capture or to refund, or does so with another sum than was asked for, the payment is
 * (capture-refused) or (refund-refused) until the same is requested again, or the return of the money.
 *
 * The provider is only called for what is already in the stream: (requested), (capturing) and (returning) say what is to
 * be done, cashier.ts does it, and the provider's answer is the next event. After a crash the stream still says so.
 *
 * What the provider says is compared here, and nowhere else, whether it was the answer to a call, to a question or a
 * webhook. It names sums that are totals: all that is captured, and given back, of a payment so far. A total that is not
 * above the known one is old news.
 * - A hold of another sum than was asked for is declined and given back.
 * - A second hold, with an id of its own, is recorded beside the payment and given back by itself.
 * - What is captured, or given back, is booked as what it was. What is missing is left to a person.
 * - What the provider does without having been asked is an event, PaymentMovedByProvider, and a person is told. Money that
 *   it captures for a payment that is over goes back.
 */
import { Conflict, type Decider, DomainError, NotFound } from '#decider';

/** In minor units of an ISO 4217 currency. */
export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

export type PaymentCommand =
  /** `token` is sealed; of an order from before tokens were, it is plain. An older order does not say whose it is. */
  | { type: 'Request'; amount: Money; token: string; customerId?: string | undefined }
  /** `refusalsKnown`: up to which refusal the order knows them. Absent: it knows of none. */
  | { type: 'Capture'; refusalsKnown?: number }
  | { type: 'Return'; refusalsKnown?: number }
  /** From a person: releases a hold that the order has not decided about. */
  | { type: 'GiveUp' }
  /** `expiresAt`: when the provider lets go of the hold by itself, in ISO 8601. */
  | { type: 'RecordAuthorized'; authorizationId: string; amount: Money; expiresAt?: string | undefined }
  | { type: 'RecordDeclined'; reason: string }
  /** `amount` is all that was captured. Where an id is undefined, it is the payment's own. */
  | { type: 'RecordCaptured'; authorizationId: string | undefined; amount: Money }
  /** `authorizationId` is undefined when the provider held nothing. */
  | { type: 'RecordVoided'; authorizationId: string | undefined }
  /** `captured` and `refunded` are all that was captured, and given back. `asked`: in answer to the request of a refund. */
  | { type: 'RecordRefunded'; authorizationId: string | undefined; captured: Money; refunded: Money; asked?: true }
  /** `amount` is undefined when the whole payment is disputed. */
  | { type: 'RecordDisputed'; authorizationId: string | undefined; amount: Money | undefined }
  | { type: 'RecordCaptureRefused'; reason: string }
  | { type: 'RecordRefundRefused'; reason: string }
  /** Of a second hold. `taken` is what had been captured of it, `refunded` what the provider gave back of that. */
  | { type: 'RecordHoldReleased'; authorizationId: string; taken?: Money; refunded?: Money };

type Nothing = Record<string, never>;
/**
 * `number` counts the refusals of one payment, of either step, so that a refusal that is told again is not taken for a new
 * one. Absent: 1, the first; or one from before they were counted. Another sum than was asked for counts as a refusal.
 */
interface Numbered {
  number?: number;
}

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type PaymentEvent =
  /** `customerId` is absent where the order did not say whose it is. */
  | { type: 'PaymentRequested'; data: { amount: Money; token: string; customerId?: string } }
  /** `expiresAt` is absent when the provider did not say. */
  | { type: 'PaymentAuthorized'; data: { authorizationId: string; amount: Money; expiresAt?: string } }
  /** `held` is the other sum that the provider held: it is given back. */
  | { type: 'PaymentDeclined'; data: { reason: string; held?: Money } }
  | { type: 'PaymentCaptureRequested'; data: Nothing }
  | { type: 'PaymentCaptured'; data: { amount: Money } }
  /** Another sum was captured than was asked for. `amount` is all that was captured. */
  | { type: 'PaymentMiscaptured'; data: { amount: Money } & Numbered }
  | { type: 'PaymentReturnRequested'; data: Nothing }
  /** `authorizationId` is null when there was nothing to void. */
  | { type: 'PaymentVoided'; data: { authorizationId: string | null } }
  | { type: 'PaymentRefunded'; data: { amount: Money } }
  /** Less was given back than was asked for. `amount` is all that was given back. */
  | { type: 'PaymentRefundedInPart'; data: { amount: Money } & Numbered }
  | { type: 'PaymentCaptureRefused'; data: { reason: string } & Numbered }
  | { type: 'PaymentRefundRefused'; data: { reason: string } & Numbered }
  | { type: 'PaymentBlocked'; data: Nothing }
  | { type: 'PaymentHeldTwice'; data: { authorizationId: string; amount: Money } }
  /** A second hold is gone. `refunded` is what was given back, of what had been captured of it; null when that was nothing. */
  | { type: 'PaymentHoldReleased'; data: { authorizationId: string; refunded: Money | null } }
  /** What the provider did without having been asked. `amount` is the total of what it did so. */
  | { type: 'PaymentMovedByProvider'; data: { how: Movement; amount: Money; authorizationId: string | null } };

/** 'voided': a capture was taken back as if it had never been. 'disputed': the customer contests it. */
export type Movement = 'captured' | 'refunded' | 'voided' | 'disputed';

/** What the provider holds, or has taken, for an order. */
interface Authorization {
  readonly authorizationId: string;
  readonly amount: Money;
}

/** What is known of the money, whatever the status. */
interface Books {
  /** All that was captured, given back and disputed, as totals. */
  readonly captured?: Money;
  readonly refunded?: Money;
  readonly disputed?: Money;
  /** Every hold that was ever reported, by its id. A second one is still to be given back. */
  readonly holds: Readonly<Record<string, 'own' | 'second' | 'released'>>;
}

/** `refusals`: the number of the last refusal; 0 while there was none. `customerId`: whose it is, where that is known. */
export type Payment = PaymentState & { readonly refusals: number; readonly customerId?: string };

type PaymentState =
  | { readonly status: 'none' }
  | ({ readonly status: 'blocked' | 'declined' | 'voided' | 'refunded' } & Books)
  | ({ readonly status: 'requested'; readonly amount: Money; readonly token: string } & Books)
  | ({
      readonly status: 'authorized' | 'capturing' | 'capture-refused' | 'captured';
      readonly expiresAt?: string;
    } & Authorization &
      Books)
  | ({
      readonly status: 'returning' | 'refund-refused';
      readonly amount: Money;
      readonly authorizationId: string | undefined;
    } & Books);

export const payment: Decider<PaymentCommand, PaymentEvent, Payment> = {
  initialState: { status: 'none', refusals: 0 },

  decide(command, state) {
    switch (command.type) {
      case 'Request': {
        const { amount, token, customerId } = command;
        const data = { amount, token, ...(customerId !== undefined && { customerId }) };
        return state.status === 'none' ? [{ type: 'PaymentRequested', data }] : [];
      }
      case 'Capture':
        return capture(state, command.refusalsKnown);
      case 'Return':
        return giveBack(state, command.refusalsKnown);
      case 'GiveUp':
        if (state.status === 'authorized') return giveBack(state);
        throw new Conflict('nothing-held', `Nothing is held without a verdict: the payment is ${state.status}.`);
    }
    // All kinds of news of a payment that is not known yet are answered alike, so that the provider tells them again.
    if (state.status === 'none') throw new NotFound('payment-not-found', 'There is no payment for this order.');

    switch (command.type) {
      case 'RecordAuthorized':
        return recordAuthorized(command, state);
      case 'RecordDeclined': {
        // Also while it is to be given back: a decline means that there is nothing to give back.
        const nothingHeld = state.status === 'returning' && !state.authorizationId && !state.captured;
        const open = state.status === 'requested' || nothingHeld;
        return open ? [{ type: 'PaymentDeclined', data: { reason: command.reason } }] : [];
      }
      case 'RecordCaptured':
        return recordCaptured(command, state);
      case 'RecordCaptureRefused': {
        const data = { reason: command.reason, ...nextNumber(state) };
        return state.status === 'capturing' ? [{ type: 'PaymentCaptureRefused', data }] : [];
      }
      case 'RecordVoided':
        return recordVoided(command, state);
      case 'RecordRefundRefused': {
        const data = { reason: command.reason, ...nextNumber(state) };
        return state.status === 'returning' ? [{ type: 'PaymentRefundRefused', data }] : [];
      }
      case 'RecordRefunded':
        return recordRefunded(command, state);
      case 'RecordDisputed':
        return recordDisputed(command, state);
      case 'RecordHoldReleased': {
        const { authorizationId, taken, refunded = null } = command;
        if (state.holds[authorizationId] !== 'second') return [];
        const released: PaymentEvent = { type: 'PaymentHoldReleased', data: { authorizationId, refunded } };
        if (taken === undefined || !exceeds(taken, refunded ?? undefined)) return [released];
        // The customer has paid twice, and the provider does not give all of it back.
        const captured = state.status === 'captured' ? state.captured : undefined;
        const given = refunded?.currency === taken.currency ? refunded.amountMinor : 0;
        const total = { ...taken, amountMinor: taken.amountMinor - given + (captured?.amountMinor ?? 0) };
        return [moved('captured', total, authorizationId), released];
      }
    }
  },

  evolve(state, event) {
    const counts = REFUSALS.some((type) => type === event.type);
    const number = 'number' in event.data ? event.data.number : undefined;
    const customerId = event.type === 'PaymentRequested' ? event.data.customerId : state.customerId;
    const whose = customerId !== undefined && { customerId };
    return { ...nextState(state, event), refusals: counts ? (number ?? 1) : state.refusals, ...whose };
  },
};

const REFUSALS: readonly PaymentEvent['type'][] = [
  'PaymentCaptureRefused',
  'PaymentMiscaptured',
  'PaymentRefundRefused',
  'PaymentRefundedInPart',
];

function nextState(state: PaymentState, event: PaymentEvent): PaymentState {
  const books = booksOf(state);
  switch (event.type) {
    case 'PaymentRequested':
      return { status: 'requested', amount: event.data.amount, token: event.data.token, ...books };
    case 'PaymentBlocked':
      return { status: 'blocked', ...books };
    case 'PaymentAuthorized': {
      const { authorizationId } = event.data;
      return { status: 'authorized', ...event.data, ...withHold(books, authorizationId, 'own') };
    }
    case 'PaymentDeclined':
      return { status: 'declined', ...books };
    case 'PaymentCaptureRequested':
      return state.status === 'authorized' || state.status === 'capture-refused'
        ? { ...state, status: 'capturing' }
        : state;
    case 'PaymentCaptureRefused':
      return state.status === 'authorized' || state.status === 'capturing'
        ? { ...state, status: 'capture-refused' }
        : state;
    case 'PaymentCaptured': {
      const captured = event.data.amount;
      if (state.status === 'returning' || state.status === 'refund-refused') return { ...state, captured };
      return isHeld(state) ? { ...state, status: 'captured', captured } : state;
    }
    case 'PaymentMiscaptured':
      return isHeld(state) ? { ...state, status: 'capture-refused', captured: event.data.amount } : state;
    case 'PaymentReturnRequested': {
      if (!('amount' in state)) return state;
      return { status: 'returning', amount: state.amount, authorizationId: authorizationOf(state), ...books };
    }
    case 'PaymentRefundRefused':
      return state.status === 'returning' ? { ...state, status: 'refund-refused' } : state;
    case 'PaymentRefundedInPart':
      return state.status === 'returning' || state.status === 'refund-refused'
        ? { ...state, status: 'refund-refused', refunded: event.data.amount }
        : state;
    case 'PaymentVoided': {
      const { authorizationId } = event.data;
      return { status: 'voided', ...(authorizationId ? withHold(books, authorizationId, 'released') : books) };
    }
    case 'PaymentRefunded':
      return { status: 'refunded', ...books, refunded: event.data.amount };
    case 'PaymentHeldTwice':
      return state.status === 'none' ? state : { ...state, ...withHold(books, event.data.authorizationId, 'second') };
    case 'PaymentHoldReleased':
      return state.status === 'none' ? state : { ...state, ...withHold(books, event.data.authorizationId, 'released') };
    case 'PaymentMovedByProvider':
      return moveByProvider(state, event.data);
  }
}

function nextNumber({ refusals }: Payment): Numbered {
  return refusals === 0 ? {} : { number: refusals + 1 };
}

/**
 * Whether this answer is recorded already. Most arrive twice, as a response and as a webhook. No event takes back the two
 * kinds that are checked here, so the state need not be the latest.
 */
export function isRecorded(state: Payment, answer: PaymentCommand): boolean {
  if (state.status === 'none') return false;
  if (answer.type === 'RecordAuthorized') return Object.hasOwn(state.holds, answer.authorizationId);
  if (answer.type !== 'RecordCaptured' || state.status !== 'captured') return false;
  const known = answer.authorizationId === undefined || Object.hasOwn(state.holds, answer.authorizationId);
  return known && !exceeds(answer.amount, state.captured);
}

/** A hold beside the payment's own that is still to be given back. */
export function secondHoldOf(state: Payment): string | undefined {
  if (state.status === 'none') return undefined;
  return Object.keys(state.holds).find((id) => state.holds[id] === 'second');
}

/** What is still to be captured; undefined when more, or another currency, was captured than was asked for. */
export function restOf({ amount, captured }: { readonly amount: Money; readonly captured?: Money }): Money | undefined {
  if (captured === undefined) return amount;
  if (exceeds(captured, amount)) return undefined;
  return { ...amount, amountMinor: amount.amountMinor - captured.amountMinor };
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

type Known = Exclude<PaymentState, { status: 'none' }> & { readonly refusals: number };
type News<T extends PaymentCommand['type']> = Extract<PaymentCommand, { type: T }>;

function recordAuthorized(
  { authorizationId, amount, expiresAt }: News<'RecordAuthorized'>,
  state: Known,
): readonly PaymentEvent[] {
  if (Object.hasOwn(state.holds, authorizationId)) return [];
  const data = { authorizationId, amount, ...(expiresAt && { expiresAt }) };
  const arrived: PaymentEvent = { type: 'PaymentAuthorized', data };
  // Money that arrived after the payment was decided: it is recorded, and goes back.
  const late: readonly PaymentEvent[] = [arrived, { type: 'PaymentReturnRequested', data: {} }];
  switch (state.status) {
    case 'requested':
      if (isSame(amount, state.amount)) return [arrived];
      return [{ type: 'PaymentDeclined', data: { reason: 'amount-mismatch', held: amount } }, ...late];
    case 'returning':
    case 'refund-refused':
      // Recorded, so that a late decline does not end the return while there is money to give back.
      return state.authorizationId === undefined ? late : [heldTwice(authorizationId, amount)];
    case 'voided':
    case 'blocked':
    case 'declined':
      return late;
    case 'authorized':
    case 'capturing':
    case 'capture-refused':
    case 'captured':
    case 'refunded':
      return [heldTwice(authorizationId, amount)];
  }
}

function recordCaptured({ authorizationId, amount }: News<'RecordCaptured'>, state: Known): readonly PaymentEvent[] {
  const hold = authorizationId === undefined ? 'own' : state.holds[authorizationId];
  if (hold === 'second') return []; // It is about to be given back.
  switch (state.status) {
    case 'requested': // The answer to the call that is under way decides.
    case 'returning': // The answer to the void says what there is to refund.
    case 'refund-refused':
      return [];
    case 'authorized':
    case 'capturing':
    case 'capture-refused':
      if (hold !== 'own') return hold ? [] : [heldTwice(authorizationId!, amount)];
      if (isSame(amount, state.amount)) return [{ type: 'PaymentCaptured', data: { amount } }];
      if (state.status === 'capture-refused' && !exceeds(amount, state.captured)) return [];
      return [{ type: 'PaymentMiscaptured', data: { amount, ...nextNumber(state) } }];
    case 'captured':
      if (hold !== 'own') return hold ? [] : [heldTwice(authorizationId!, amount)];
      return exceeds(amount, state.captured) ? [moved('captured', amount, authorizationId)] : [];
    case 'blocked':
    case 'declined':
    case 'voided':
    case 'refunded':
      if (!exceeds(amount, state.captured)) return [];
      return [moved('captured', amount, authorizationId), { type: 'PaymentReturnRequested', data: {} }];
  }
}

function recordVoided({ authorizationId }: News<'RecordVoided'>, state: Known): readonly PaymentEvent[] {
  if (authorizationId !== undefined && state.holds[authorizationId] === 'second') {
    return [{ type: 'PaymentHoldReleased', data: { authorizationId, refunded: null } }];
  }
  const own = authorizationOf(state);
  const isOwn = authorizationId === undefined || own === undefined || authorizationId === own;
  switch (state.status) {
    case 'authorized':
    case 'capturing':
      // The provider has let go of the hold by itself: there is nothing to capture any more.
      return isOwn ? [{ type: 'PaymentCaptureRefused', data: { reason: 'voided', ...nextNumber(state) } }] : [];
    case 'captured': {
      const kept = keptOf(state);
      return kept.amountMinor > 0 && !isReleased(state, authorizationId)
        ? [moved('voided', kept, authorizationId)]
        : [];
    }
    case 'returning':
    case 'refund-refused':
      if (!isOwn || isReleased(state, authorizationId)) return [];
      if (state.captured === undefined) {
        return [{ type: 'PaymentVoided', data: { authorizationId: authorizationId ?? own ?? null } }];
      }
      // It was captured, and the provider knows of nothing to give back: a person has to find out.
      return state.status === 'returning'
        ? [{ type: 'PaymentRefundRefused', data: { reason: 'not-captured', ...nextNumber(state) } }]
        : [];
    case 'requested': // The answer to the call that is under way decides.
    case 'capture-refused':
    case 'blocked':
    case 'declined':
    case 'voided':
    case 'refunded':
      return [];
  }
}

function recordRefunded(news: News<'RecordRefunded'>, state: Known): readonly PaymentEvent[] {
  const { authorizationId, captured, refunded } = news;
  const hold = authorizationId === undefined ? 'own' : state.holds[authorizationId];
  if (hold === 'second') return []; // It is about to be given back.
  switch (state.status) {
    case 'requested': // The answer to the call that is under way decides.
      return [];
    case 'returning':
    case 'refund-refused': {
      if (hold === 'released') return [];
      // What goes back was captured first, even if that answer was lost: the books have to balance.
      const first: PaymentEvent[] = [];
      if (state.captured === undefined) first.push({ type: 'PaymentCaptured', data: { amount: captured } });
      else if (exceeds(captured, state.captured)) first.push(moved('captured', captured, authorizationId));
      const owed = state.captured && exceeds(state.captured, captured) ? state.captured : captured;
      if (!exceeds(owed, refunded)) return [...first, { type: 'PaymentRefunded', data: { amount: refunded } }];
      if (exceeds(refunded, state.refunded)) {
        return [...first, { type: 'PaymentRefundedInPart', data: { amount: refunded, ...nextNumber(state) } }];
      }
      // Old news; but in answer to the request it means that nothing is given back.
      if (!news.asked || state.status !== 'returning') return [];
      return [...first, { type: 'PaymentRefundRefused', data: { reason: 'nothing-refunded', ...nextNumber(state) } }];
    }
    case 'captured':
      // An id that is not known counts as the payment's own: it may be all that is left of it.
      if (hold === 'released') return [];
      return exceeds(refunded, state.refunded) ? [moved('refunded', refunded, authorizationId)] : [];
    case 'authorized':
    case 'capturing':
    case 'capture-refused':
    case 'blocked':
    case 'declined':
    case 'voided':
    case 'refunded': {
      // That it was captured is news, too.
      const first = recordCaptured({ type: 'RecordCaptured', authorizationId, amount: captured }, state);
      const then = first.reduce(payment.evolve, state);
      return then.status === 'captured' || then.status === 'returning'
        ? [...first, ...recordRefunded(news, then)]
        : first;
    }
  }
}

function recordDisputed({ authorizationId, amount }: News<'RecordDisputed'>, state: Known): readonly PaymentEvent[] {
  const disputed = amount ?? state.captured ?? ('amount' in state ? state.amount : undefined);
  if (disputed === undefined || !exceeds(disputed, state.disputed)) return [];
  return [moved('disputed', disputed, authorizationId)];
}

function heldTwice(authorizationId: string, amount: Money): PaymentEvent {
  return { type: 'PaymentHeldTwice', data: { authorizationId, amount } };
}

function moved(how: Movement, amount: Money, authorizationId: string | undefined): PaymentEvent {
  return { type: 'PaymentMovedByProvider', data: { how, amount, authorizationId: authorizationId ?? null } };
}

function moveByProvider(state: PaymentState, { how, amount, authorizationId }: MovedData): PaymentState {
  if (state.status === 'none') return state;
  switch (how) {
    case 'disputed':
      return { ...state, disputed: amount };
    case 'refunded':
      return { ...state, refunded: amount };
    case 'voided':
      // Nothing of it is left: as if all had been given back.
      return { ...state, ...(state.captured && { refunded: state.captured }) };
    case 'captured': {
      if (state.status === 'captured') return { ...state, captured: amount };
      if (authorizationId !== null && state.holds[authorizationId] === 'second') return state;
      // Of a payment that was over: its return is requested with the next event.
      const books = authorizationId === null ? booksOf(state) : withHold(booksOf(state), authorizationId, 'own');
      return {
        status: 'returning',
        authorizationId: authorizationId ?? authorizationOf(state),
        amount,
        ...books,
        captured: amount,
      };
    }
  }
}

type MovedData = Extract<PaymentEvent, { type: 'PaymentMovedByProvider' }>['data'];

function booksOf(state: PaymentState): Books {
  if (state.status === 'none') return { holds: {} };
  const { captured, refunded, disputed, holds } = state;
  return { ...(captured && { captured }), ...(refunded && { refunded }), ...(disputed && { disputed }), holds };
}

function withHold(books: Books, authorizationId: string, is: Books['holds'][string]): Books {
  return { ...books, holds: { ...books.holds, [authorizationId]: is } };
}

/** What was captured and is not given back. */
function keptOf({ amount, captured = amount, refunded }: Authorization & Books): Money {
  return { ...captured, amountMinor: captured.amountMinor - (refunded?.amountMinor ?? 0) };
}

function isReleased(state: Known, authorizationId: string | undefined): boolean {
  return authorizationId !== undefined && state.holds[authorizationId] === 'released';
}

function isHeld(state: PaymentState): state is Extract<PaymentState, Authorization> {
  return (
    state.status === 'authorized' ||
    state.status === 'capturing' ||
    state.status === 'capture-refused' ||
    state.status === 'captured'
  );
}

function authorizationOf(state: PaymentState): string | undefined {
  return 'authorizationId' in state ? state.authorizationId : undefined;
}

function isSame(a: Money, b: Money): boolean {
  return a.currency === b.currency && a.amountMinor === b.amountMinor;
}

/** Whether a total is news: more than is known. In another currency it always is, unless it is nothing. */
function exceeds(total: Money, known: Money | undefined): boolean {
  if (known === undefined) return total.amountMinor > 0;
  return total.currency === known.currency ? total.amountMinor > known.amountMinor : total.amountMinor > 0;
}
