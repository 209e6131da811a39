/**
 * One payment as the simulated provider keeps it: pure functions from (payment, request, now) to a change. The state
 * machine is drawn in provider.ts. What a token does is decided here, from what is stored with the payment, so it survives
 * a crash and is the same for every instance.
 */
import type { Money } from '../domain/payment.js';
import type {
  Authorization,
  AuthorizeRequest,
  Capture,
  DeclineReason,
  Hold,
  MoneyRequest,
  ProviderPayment,
  Refund,
  ReturnRequest,
  RefusalReason,
  Void,
} from '../provider.js';

interface Behaviour {
  readonly declines?: DeclineReason;
  /** First pending for this many times `slowMs`. */
  readonly slowness?: number;
  /** The call that created the payment is never answered. */
  readonly silent?: boolean;
  /** How many captures find the provider unavailable. */
  readonly failingCaptures?: number;
  /** How many captures, and refunds, are refused. */
  readonly refusedCaptures?: number;
  readonly refusedRefunds?: number;
  /** Unavailable for `downMs` from the first call. */
  readonly down?: boolean;
  /** What it does with the money without having been asked: see simulated-provider.ts. */
  readonly strays?: Stray;
}

/**
 * 'less', 'other-currency': that is held. 'twice': a second hold beside the one that was asked for. 'captures-part',
 * 'refunds-part': the first time, half of what was asked for. 'refunds': all of it, `slowMs` after the capture. 'expires':
 * the hold ends after `slowMs` instead of a week, and until then captures find the provider unavailable.
 */
export type Stray = (typeof STRAYS)[keyof typeof STRAYS][number];

/** Each by the request at which it begins. */
export const STRAYS = {
  authorize: ['less', 'other-currency', 'twice', 'expires'],
  capture: ['captures-part', 'refunds'],
  refund: ['refunds-part'],
} as const;

/** Those that no answer to a request tells: the shop hears of them in a webhook, or too late. */
export const UNASKED: readonly Stray[] = ['twice', 'expires', 'refunds'];

/** How long a hold lasts. */
const HOLD_MS = 7 * 24 * 60 * 60_000;

/** Any other token is declined: 'invalid-token'. */
const TOKENS = new Map<string, Behaviour>([
  ['tok_approved', {}],
  ['tok_declined', { declines: 'declined' }],
  ['tok_insufficient_funds', { declines: 'insufficient-funds' }],
  ['tok_slow', { slowness: 1 }],
  ['tok_charged_after_timeout', { slowness: 2, silent: true }],
  ['tok_capture_fails_twice', { failingCaptures: 2 }],
  ['tok_capture_refused', { refusedCaptures: 1_000_000 }],
  ['tok_capture_refused_once', { refusedCaptures: 1 }],
  ['tok_refund_refused_once', { refusedRefunds: 1 }],
  ['tok_down_30s', { down: true }],
  ['tok_held_less', { strays: 'less' }],
  ['tok_held_other_currency', { strays: 'other-currency' }],
  ['tok_held_twice', { strays: 'twice' }],
  ['tok_captured_in_part', { strays: 'captures-part' }],
  ['tok_refunded_in_part', { strays: 'refunds-part' }],
  ['tok_refunded_by_provider', { strays: 'refunds' }],
  ['tok_hold_expires', { strays: 'expires' }],
]);

/** Stored as JSON. Times are milliseconds since 1970. */
export interface SimulatedPayment {
  /** What `find` returns; undefined while every request has been turned away. */
  readonly known?: ProviderPayment;
  /** How a pending payment ends, unless it is voided before. */
  readonly arriving?: {
    readonly atMs: number;
    readonly payment: Extract<ProviderPayment, { status: 'authorized' }>;
    readonly answerKey: string;
  };
  /** Until then no request for this payment gets through. */
  readonly downUntilMs?: number;
  /** How many captures are still to fail. */
  readonly failingCaptures: number;
  /** How many captures, and refunds, are still to be refused. */
  readonly refusedCaptures?: number;
  readonly refusedRefunds?: number;
  /** What it will still do without having been asked. */
  readonly strays?: Stray;
  /** When the provider does something by itself: it refunds what is captured, or lets go of what is held. */
  readonly actsAtMs?: number;
  /** What is still held after a capture of a part. */
  readonly restMinor?: number;
  /** A second hold, while it lasts. */
  readonly second?: Hold;
  /** The first answers, by operation and idempotency key. */
  readonly answers: Readonly<Record<string, unknown>>;
}

/** A line of the ledger: what happened to a payment, and the money that it moved (signed, in minor units). */
export interface Entry {
  readonly type: 'authorized' | 'declined' | 'captured' | 'voided' | 'refunded';
  /** Null when a void came before any amount was known. */
  readonly currency: string | null;
  /** Into the hold on the customer's money. */
  readonly heldMinor: number;
  /** From the customer to the shop. */
  readonly chargedMinor: number;
}

export interface Change<T> {
  /** What to store; the identical object when nothing changed. */
  readonly payment: SimulatedPayment | undefined;
  readonly entries: readonly Entry[];
  readonly answer: T;
}

/** The request was turned away; nothing happened. */
export const UNAVAILABLE = Symbol('unavailable');

/** Not decided before `untilMs`. */
export interface Pending {
  readonly status: 'pending';
  readonly untilMs: number;
  /** This request created the payment. */
  readonly first: boolean;
  /** This request gets no answer, not even then. */
  readonly silent: boolean;
}

export interface Timing {
  readonly slowMs: number;
  readonly downMs: number;
}

/** The id that the authorization, capture or refund will have. */
interface Named {
  readonly id: string;
  /** What the provider does by itself with this payment, whatever its token. */
  readonly stray?: Stray | undefined;
}

export function authorize(
  before: SimulatedPayment | undefined,
  { orderId, amount, token, idempotencyKey, id, stray }: AuthorizeRequest & Named,
  nowMs: number,
  timing: Timing,
): Change<Authorization | Pending | typeof UNAVAILABLE> {
  const behaviour = TOKENS.get(token);
  if (before === undefined && behaviour?.down) {
    return { payment: { ...NEW, downUntilMs: nowMs + timing.downMs }, entries: [], answer: UNAVAILABLE };
  }
  const answerKey = `authorize:${idempotencyKey}`;
  return handle<Authorization | Pending>(before, nowMs, answerKey, ({ known, arriving }) => {
    switch (known?.status) {
      case 'pending':
        return { answer: { status: 'pending', untilMs: arriving?.atMs ?? nowMs, first: false, silent: false } };
      case 'authorized': {
        const { orderId: _, ...answer } = known;
        return { remember: true, answer };
      }
      case 'captured':
      case 'refunded': {
        const { authorizationId, captured: authorized } = known;
        return { remember: true, answer: { status: 'authorized', authorizationId, authorized } };
      }
      case 'declined':
        return { remember: true, answer: { status: 'declined', reason: known.reason } };
      case 'voided':
        return { remember: true, answer: { status: 'declined', reason: 'canceled' } };
    }

    const declines = behaviour ? behaviour.declines : 'invalid-token';
    const reason = within(amount, amount) ? declines : 'invalid-amount';
    if (reason) {
      const answer = { status: 'declined', reason } as const;
      const entry = { type: 'declined', currency: amount.currency, heldMinor: 0, chargedMinor: 0 } as const;
      return { remember: true, answer, changes: { known: { orderId, ...answer } }, entry };
    }
    const {
      slowness = 0,
      silent = false,
      failingCaptures = 0,
      refusedCaptures = 0,
      refusedRefunds = 0,
    } = behaviour ?? {};
    const strays = stray ?? behaviour?.strays;
    const authorized = heldInstead(amount, strays);
    const untilMs = nowMs + slowness * timing.slowMs;
    const actsAtMs = strays === 'expires' ? nowMs + timing.slowMs : undefined;
    const expiresAt = new Date(actsAtMs ?? untilMs + HOLD_MS).toISOString();
    const answer = { status: 'authorized', authorizationId: id, authorized, expiresAt } as const;
    const payment = { orderId, ...answer };
    if (slowness === 0) {
      const second =
        strays === 'twice' ? { ...answer, authorizationId: `${id}_second`, authorized: amount } : undefined;
      return {
        remember: true,
        answer,
        changes: {
          known: payment,
          failingCaptures,
          refusedCaptures,
          refusedRefunds,
          ...(strays && { strays }),
          ...(second && { second }),
          ...(actsAtMs && { actsAtMs }),
        },
        entry: held(authorized),
        ...(second && { further: [held(second.authorized)] }),
      };
    }
    return {
      answer: { status: 'pending', untilMs, first: true, silent },
      changes: { known: { orderId, status: 'pending' }, arriving: { atMs: untilMs, payment, answerKey } },
    };
  });
}

export function capture(
  before: SimulatedPayment | undefined,
  { amount, idempotencyKey, id, stray }: MoneyRequest & Named,
  nowMs: number,
  timing: Timing,
): Change<Capture | typeof UNAVAILABLE> {
  return handle<Capture>(before, nowMs, `capture:${idempotencyKey}`, (payment) => {
    const { known, failingCaptures, refusedCaptures = 0, restMinor = 0 } = payment;
    if (known?.status === 'captured' && restMinor > 0) return captureRest(payment, known, amount, id);
    if (known?.status === 'captured' || known?.status === 'refunded') return refused('already-captured');
    if (known?.status !== 'authorized') return refused('not-authorized');
    if (!within(amount, known.authorized)) return refused('invalid-amount');
    const strays = payment.strays ?? stray;
    if (strays === 'expires') return { answer: UNAVAILABLE };
    if (failingCaptures > 0) return { answer: UNAVAILABLE, changes: { failingCaptures: failingCaptures - 1 } };
    if (refusedCaptures > 0) {
      return { ...refused('refused-by-issuer'), changes: { refusedCaptures: refusedCaptures - 1 } };
    }
    const { orderId, authorizationId, authorized } = known;
    const captured = strays === 'captures-part' ? halfOf(amount) : amount;
    // The rest of the hold is released, unless there is more to capture.
    const rest = strays === 'captures-part' ? authorized.amountMinor - captured.amountMinor : 0;
    const answer = { status: 'captured', captureId: id, captured } as const;
    const refunded = { ...amount, amountMinor: 0 };
    return {
      remember: true,
      answer,
      changes: {
        known: { orderId, authorizationId, ...answer, refunded },
        ...(rest > 0 && { restMinor: rest }),
        ...(strays && { strays }),
        ...(strays === 'refunds' && { actsAtMs: nowMs + timing.slowMs }),
      },
      entry: {
        type: 'captured',
        currency: amount.currency,
        heldMinor: rest - authorized.amountMinor,
        chargedMinor: captured.amountMinor,
      },
    };
  });
}

/** What was left by a capture of a part. */
function captureRest(
  { restMinor = 0 }: SimulatedPayment,
  known: Taken,
  amount: Money,
  captureId: string,
): Step<Capture> {
  const { currency } = known.captured;
  if (!within(amount, { amountMinor: restMinor, currency })) return refused('invalid-amount');
  const captured = { amountMinor: known.captured.amountMinor + amount.amountMinor, currency };
  return {
    remember: true,
    answer: { status: 'captured', captureId, captured },
    changes: { known: { ...known, captureId, captured }, restMinor: 0 },
    entry: { type: 'captured', currency, heldMinor: 0 - restMinor, chargedMinor: amount.amountMinor },
  };
}

type Taken = Extract<ProviderPayment, { readonly captured: Money }>;

/** The port's `void`: a function cannot have that name. */
export function cancel(
  before: SimulatedPayment | undefined,
  { orderId, authorizationId, idempotencyKey }: ReturnRequest,
  nowMs: number,
): Change<Void | typeof UNAVAILABLE> {
  return handle<Void>(before, nowMs, `void:${idempotencyKey}`, ({ known, second, restMinor = 0 }) => {
    const isOwn = known && 'authorizationId' in known && known.authorizationId === authorizationId;
    if (authorizationId !== undefined && !isOwn) {
      // Of a hold that is not there, nothing is held.
      if (second?.authorizationId !== authorizationId) return { answer: { status: 'voided' } };
      const answer = { status: 'voided', authorizationId } as const;
      return { remember: true, answer, changes: { second: undefined }, entry: letGo(second.authorized) };
    }
    if (authorizationId !== undefined && second && known?.status === 'authorized') {
      // The other hold is the payment's own from then on.
      const changes = { known: { orderId, status: 'authorized', ...second } as const, second: undefined };
      return {
        remember: true,
        answer: { status: 'voided', authorizationId },
        changes,
        entry: letGo(known.authorized),
      };
    }
    // All that the order has is ended, a second hold with it.
    const gone = {
      changes: { second: undefined, actsAtMs: undefined },
      further: second ? [letGo(second.authorized)] : [],
    };
    switch (known?.status) {
      case 'captured':
      case 'refunded': {
        const answer = { status: 'captured', amount: keptOf(known) } as const;
        const rest = { amountMinor: restMinor, currency: known.captured.currency };
        if (restMinor === 0 && !second) return { answer };
        return {
          answer,
          changes: { second: undefined, restMinor: 0 },
          further: [...(restMinor > 0 ? [letGo(rest)] : []), ...gone.further],
        };
      }
      case 'declined':
        return { remember: true, answer: { status: 'voided' } };
      case 'voided': {
        const { orderId: _, ...answer } = known;
        return { remember: true, answer, ...gone };
      }
      case 'authorized': {
        const answer = { status: 'voided', authorizationId: known.authorizationId } as const;
        const changes = { ...gone.changes, known: { orderId, ...answer } };
        return { remember: true, answer, changes, entry: letGo(known.authorized), further: gone.further };
      }
      case 'pending':
      case undefined: {
        const answer = { status: 'voided' } as const;
        const entry = { type: 'voided', currency: null, heldMinor: 0, chargedMinor: 0 } as const;
        return { remember: true, answer, changes: { known: { orderId, ...answer } }, entry };
      }
    }
  });
}

export function refund(
  before: SimulatedPayment | undefined,
  { amount, authorizationId, idempotencyKey, id, stray }: MoneyRequest & ReturnRequest & Named,
  nowMs: number,
): Change<Refund | typeof UNAVAILABLE> {
  return handle<Refund>(before, nowMs, `refund:${idempotencyKey}`, ({ known, strays = stray, refusedRefunds = 0 }) => {
    if (known?.status !== 'captured' && known?.status !== 'refunded') return refused('not-captured');
    if (authorizationId !== undefined && known.authorizationId !== authorizationId) return refused('not-captured');
    const kept = keptOf(known);
    if (!within(amount, kept)) return refused('invalid-amount');
    if (refusedRefunds > 0) {
      return { ...refused('refused-by-issuer'), changes: { refusedRefunds: refusedRefunds - 1 } };
    }
    const isFirst = known.refunded.amountMinor === 0;
    const given = strays === 'refunds-part' && isFirst ? halfOf(amount) : amount;
    const { currency } = given;
    const refunded = { amountMinor: known.refunded.amountMinor + given.amountMinor, currency };
    const status = given.amountMinor === kept.amountMinor ? 'refunded' : 'captured';
    return {
      remember: true,
      answer: { status: 'refunded', refundId: id, refunded },
      changes: { known: { ...known, status, refunded } },
      entry: { type: 'refunded', currency, heldMinor: 0, chargedMinor: 0 - given.amountMinor },
    };
  });
}

export function find(
  before: SimulatedPayment | undefined,
  nowMs: number,
): Change<ProviderPayment | undefined | typeof UNAVAILABLE> {
  return handle(before, nowMs, undefined, ({ known }) => ({ answer: known }));
}

const NEW: SimulatedPayment = { failingCaptures: 0, answers: {} };

interface Step<T> {
  readonly answer: T;
  /** Whether the same key gets this answer again. */
  readonly remember?: boolean;
  readonly changes?: { readonly [Key in keyof SimulatedPayment]?: SimulatedPayment[Key] | undefined };
  readonly entry?: Entry;
  /** Of holds beside the payment's own. */
  readonly further?: readonly Entry[];
}

/**
 * Applies a request to the payment as it is at this moment. Nothing gets through while the provider is down; a pending
 * payment arrives once its time has come, with whichever request is the first to see it; and a key that was already
 * answered gets the same answer again.
 */
function handle<T>(
  before: SimulatedPayment | undefined,
  nowMs: number,
  answerKey: string | undefined,
  step: (payment: SimulatedPayment) => Step<T | typeof UNAVAILABLE>,
): Change<T | typeof UNAVAILABLE> {
  if (before?.downUntilMs !== undefined && nowMs < before.downUntilMs) {
    return { payment: before, entries: [], answer: UNAVAILABLE };
  }
  const { payment, entries } = arrive(before, nowMs);
  const first = answerKey === undefined ? undefined : payment?.answers[answerKey];
  if (first !== undefined) return { payment, entries, answer: first as T };

  const { answer, remember, changes, entry, further = [] } = step(payment ?? NEW);
  if (!remember && !changes) return { payment, entries, answer };
  const answers = remember && answerKey ? { ...payment?.answers, [answerKey]: answer } : (payment?.answers ?? {});
  return {
    payment: { ...(payment ?? NEW), ...changes, answers },
    entries: [...entries, ...(entry ? [entry] : []), ...further],
    answer,
  };
}

/** Does what its time has come for: a pending payment is authorized, and the provider does by itself what it is about to. */
function arrive(before: SimulatedPayment | undefined, nowMs: number): Omit<Change<never>, 'answer'> {
  const { known, arriving } = before ?? {};
  if (!before || !known) return { payment: before, entries: [] };
  if (known.status === 'pending' && arriving && nowMs >= arriving.atMs) {
    const { orderId: _, ...answer } = arriving.payment;
    const answers = { ...before.answers, [arriving.answerKey]: answer };
    return { payment: { ...before, known: arriving.payment, answers }, entries: [held(answer.authorized)] };
  }
  const endsAtMs = known.status === 'authorized' && known.expiresAt ? Date.parse(known.expiresAt) : undefined;
  const actsAtMs = before.actsAtMs ?? endsAtMs;
  if (actsAtMs === undefined || nowMs < actsAtMs) return { payment: before, entries: [] };
  const { actsAtMs: _, ...rest } = before;
  if (known.status === 'authorized') {
    const { orderId, authorizationId, authorized } = known;
    return {
      payment: { ...rest, known: { orderId, status: 'voided', authorizationId } },
      entries: [letGo(authorized)],
    };
  }
  if (known.status !== 'captured') return { payment: rest, entries: [] };
  const { amountMinor, currency } = keptOf(known);
  const entry = { type: 'refunded', currency, heldMinor: 0, chargedMinor: 0 - amountMinor } as const;
  return { payment: { ...rest, known: { ...known, status: 'refunded', refunded: known.captured } }, entries: [entry] };
}

/**
 * When something happens to a payment without a request; undefined when nothing will. Nobody waits a week for the end of a
 * hold: that happens with the first request after it.
 */
export function nextMoveOf({ known, arriving, actsAtMs }: SimulatedPayment): number | undefined {
  return known?.status === 'pending' ? arriving?.atMs : actsAtMs;
}

function heldInstead(amount: Money, strays: Stray | undefined): Money {
  if (strays === 'less') return halfOf(amount);
  if (strays === 'other-currency') return { ...amount, currency: amount.currency === 'JPY' ? 'EUR' : 'JPY' };
  return amount;
}

function halfOf({ amountMinor, currency }: Money): Money {
  return { amountMinor: Math.ceil(amountMinor / 2), currency };
}

function letGo({ amountMinor, currency }: Money): Entry {
  return { type: 'voided', currency, heldMinor: 0 - amountMinor, chargedMinor: 0 };
}

function held({ amountMinor, currency }: Money): Entry {
  return { type: 'authorized', currency, heldMinor: amountMinor, chargedMinor: 0 };
}

function keptOf({ captured, refunded }: { readonly captured: Money; readonly refunded: Money }): Money {
  return { amountMinor: captured.amountMinor - refunded.amountMinor, currency: captured.currency };
}

function refused(reason: RefusalReason): Step<{ readonly status: 'refused'; readonly reason: RefusalReason }> {
  return { answer: { status: 'refused', reason } };
}

function within({ amountMinor, currency }: Money, limit: Money): boolean {
  return (
    Number.isSafeInteger(amountMinor) &&
    amountMinor >= 0 &&
    amountMinor <= limit.amountMinor &&
    currency === limit.currency
  );
}
