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
  MoneyRequest,
  ProviderPayment,
  ProviderRequest,
  Refund,
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
}

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
}

export function authorize(
  before: SimulatedPayment | undefined,
  { orderId, amount, token, idempotencyKey, id }: AuthorizeRequest & Named,
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
      case 'authorized':
      case 'captured':
      case 'refunded':
        return { remember: true, answer: { status: 'authorized', authorizationId: known.authorizationId } };
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
    const answer = { status: 'authorized', authorizationId: id } as const;
    const payment = { orderId, ...answer, authorized: amount };
    if (slowness === 0) {
      return {
        remember: true,
        answer,
        changes: { known: payment, failingCaptures, refusedCaptures, refusedRefunds },
        entry: held(amount),
      };
    }
    const untilMs = nowMs + slowness * timing.slowMs;
    return {
      answer: { status: 'pending', untilMs, first: true, silent },
      changes: { known: { orderId, status: 'pending' }, arriving: { atMs: untilMs, payment, answerKey } },
    };
  });
}

export function capture(
  before: SimulatedPayment | undefined,
  { amount, idempotencyKey, id }: MoneyRequest & Named,
  nowMs: number,
): Change<Capture | typeof UNAVAILABLE> {
  return handle<Capture>(
    before,
    nowMs,
    `capture:${idempotencyKey}`,
    ({ known, failingCaptures, refusedCaptures = 0 }) => {
      if (known?.status === 'captured' || known?.status === 'refunded') return refused('already-captured');
      if (known?.status !== 'authorized') return refused('not-authorized');
      if (!within(amount, known.authorized)) return refused('invalid-amount');
      if (failingCaptures > 0) {
        return { answer: UNAVAILABLE, changes: { failingCaptures: failingCaptures - 1 } };
      }
      if (refusedCaptures > 0) {
        return { ...refused('refused-by-issuer'), changes: { refusedCaptures: refusedCaptures - 1 } };
      }
      const { orderId, authorizationId, authorized } = known;
      const answer = { status: 'captured', captureId: id } as const;
      const refunded = { ...amount, amountMinor: 0 };
      return {
        remember: true,
        answer,
        changes: { known: { orderId, authorizationId, ...answer, captured: amount, refunded } },
        entry: {
          type: 'captured',
          currency: amount.currency,
          heldMinor: 0 - authorized.amountMinor,
          chargedMinor: amount.amountMinor,
        },
      };
    },
  );
}

/** The port's `void`: a function cannot have that name. */
export function cancel(
  before: SimulatedPayment | undefined,
  { orderId, idempotencyKey }: ProviderRequest,
  nowMs: number,
): Change<Void | typeof UNAVAILABLE> {
  return handle<Void>(before, nowMs, `void:${idempotencyKey}`, ({ known }) => {
    switch (known?.status) {
      case 'captured':
      case 'refunded':
        return { answer: { status: 'captured', amount: keptOf(known) } };
      case 'declined':
        return { remember: true, answer: { status: 'voided' } };
      case 'voided': {
        const { orderId: _, ...answer } = known;
        return { remember: true, answer };
      }
      case 'authorized': {
        const { amountMinor, currency } = known.authorized;
        const answer = { status: 'voided', authorizationId: known.authorizationId } as const;
        const entry = { type: 'voided', currency, heldMinor: 0 - amountMinor, chargedMinor: 0 } as const;
        return { remember: true, answer, changes: { known: { orderId, ...answer } }, entry };
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
  { amount, idempotencyKey, id }: MoneyRequest & Named,
  nowMs: number,
): Change<Refund | typeof UNAVAILABLE> {
  return handle<Refund>(before, nowMs, `refund:${idempotencyKey}`, ({ known, refusedRefunds = 0 }) => {
    if (known?.status !== 'captured' && known?.status !== 'refunded') return refused('not-captured');
    const kept = keptOf(known);
    if (!within(amount, kept)) return refused('invalid-amount');
    if (refusedRefunds > 0) {
      return { ...refused('refused-by-issuer'), changes: { refusedRefunds: refusedRefunds - 1 } };
    }
    const { amountMinor, currency } = amount;
    const refunded = { amountMinor: known.refunded.amountMinor + amountMinor, currency };
    const status = amountMinor === kept.amountMinor ? 'refunded' : 'captured';
    return {
      remember: true,
      answer: { status: 'refunded', refundId: id },
      changes: { known: { ...known, status, refunded } },
      entry: { type: 'refunded', currency, heldMinor: 0, chargedMinor: 0 - amountMinor },
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
  readonly changes?: Partial<SimulatedPayment>;
  readonly entry?: Entry;
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

  const { answer, remember, changes, entry } = step(payment ?? NEW);
  if (!remember && !changes) return { payment, entries, answer };
  const answers = remember && answerKey ? { ...payment?.answers, [answerKey]: answer } : (payment?.answers ?? {});
  return {
    payment: { ...(payment ?? NEW), ...changes, answers },
    entries: entry ? [...entries, entry] : entries,
    answer,
  };
}

/** Turns a pending payment into an authorized one if its time has come. */
function arrive(before: SimulatedPayment | undefined, nowMs: number): Omit<Change<never>, 'answer'> {
  const arriving = before?.arriving;
  if (before?.known?.status !== 'pending' || arriving === undefined || nowMs < arriving.atMs) {
    return { payment: before, entries: [] };
  }
  const { authorizationId, authorized } = arriving.payment;
  const answers = { ...before.answers, [arriving.answerKey]: { status: 'authorized', authorizationId } };
  return { payment: { ...before, known: arriving.payment, answers }, entries: [held(authorized)] };
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
