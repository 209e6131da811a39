/**
 * The port of the payment provider: what this service needs from Stripe, Adyen or the simulator, and what it may not
 * assume about any of them.
 *
 *   (unknown) ───authorize──▶ pending ──────────▶ authorized ───capture──▶ captured ───refund──▶ refunded
 *       │                      │   └──▶ declined     │                               all of it
 *       │ void                 │ void                │ void
 *       └──────────────────────┴─────────────────────┴──▶ voided   what arrives later is declined: 'canceled'
 *
 * A payment is identified by its order, our own reference, so that we can ask about it and end it without having received
 * the provider's id. How real providers do that:
 * - Stripe: a PaymentIntent is created first, under an idempotency key made from the order, and confirmed second.
 *   Creating it again yields its id, and one that was canceled cannot be confirmed. Stripe's search by metadata lags
 *   behind and is no way to find out. https://docs.stripe.com/api/payment_intents/cancel, https://docs.stripe.com/search#data-freshness
 * - Adyen: the order is the merchant reference, and a cancel takes that reference when no pspReference was received (once
 *   called technical cancel). Its outcome comes as a webhook. https://docs.adyen.com/online-payments/cancel
 *
 * What every adapter guarantees
 * - An idempotency key belongs to one request of one operation. The same key again does nothing and repeats the first
 *   answer, even when the payment has changed since; `find` returns the current state. A refusal changes nothing and is
 *   not remembered.
 * - `signal` ends the wait and not the payment: a call that has no answer by then fails with ProviderTimeout.
 * - An answer reports what is done: it is stored at the provider and outlives a crash on either side.
 *
 * What is asked of a provider, and what is checked instead
 * - Asked: that it honours an idempotency key and a void, and that it sends the webhook of what it did by itself until that
 *   is accepted, also after a crash. Nothing here can make good for that.
 * - Checked, by the payment's stream (domain/payment.ts): every sum, currency and id that it names. So each answer says
 *   what was held, captured or given back, as the provider has it, and never what was asked for. Sums are totals of the
 *   payment so far, as Stripe's `amount_received` and `amount_refunded` are.
 * - An adapter of a provider that names no sum in an answer asks for the payment before it answers.
 * - Holds end after days: Stripe names the time as `capture_before`, and where a provider names none, the adapter works it
 *   out from the rules of the card's network. A hold without a verdict reaches a person before that time.
 *   https://docs.stripe.com/payments/place-a-hold-on-a-payment-method#auth-capture-limitations
 *
 * What a caller does when it received no answer: it makes the same call with the same key until it receives one, or it
 * ends the payment with `void`. It never concludes from silence, nor from a `find` that found nothing, that there will
 * be no payment: the request may still be on its way.
 */
import type { Money } from './domain/payment.js';

/** 'canceled' is the answer after a void; an adapter reports reasons that are not listed here as 'declined'. */
export type DeclineReason = 'declined' | 'insufficient-funds' | 'invalid-token' | 'invalid-amount' | 'canceled';

/**
 * 'refused-by-issuer': for example, the hold has expired or the account is closed. 'invalid-amount': negative, not a whole
 * number, in another currency, or more than there is.
 */
export type RefusalReason =
  'refused-by-issuer' | 'not-authorized' | 'already-captured' | 'not-captured' | 'invalid-amount';

/** What the provider holds. */
export type Hold = {
  readonly authorizationId: string;
  readonly authorized: Money;
  /** When the provider lets go of it by itself, in ISO 8601 (UTC); undefined when it does not say. */
  readonly expiresAt?: string;
};

export type Authorization =
  ({ readonly status: 'authorized' } & Hold) | { readonly status: 'declined'; readonly reason: DeclineReason };

export type Capture =
  /** `captured` is all that has been captured of the payment so far. */
  | { readonly status: 'captured'; readonly captureId: string; readonly captured: Money }
  | { readonly status: 'refused'; readonly reason: RefusalReason };

export type Void =
  /** `authorizationId` is the hold that was released, if there was one. */
  | { readonly status: 'voided'; readonly authorizationId?: string }
  /** Too late to void: `amount` is captured and not refunded yet, and has to be refunded. */
  | { readonly status: 'captured'; readonly amount: Money };

export type Refund =
  /** `refunded` is all that has been given back so far: of the payment, or of the one hold that was named. */
  | { readonly status: 'refunded'; readonly refundId: string; readonly refunded: Money }
  | { readonly status: 'refused'; readonly reason: RefusalReason };

/** What the provider knows about a payment. */
export type ProviderPayment = { readonly orderId: string } & (
  | { readonly status: 'pending' }
  | ({ readonly status: 'authorized' } & Hold)
  | { readonly status: 'declined'; readonly reason: DeclineReason }
  | {
      /** 'refunded' when everything that was captured has been given back. */
      readonly status: 'captured' | 'refunded';
      readonly authorizationId: string;
      readonly captureId: string;
      readonly captured: Money;
      readonly refunded: Money;
    }
  | { readonly status: 'voided'; readonly authorizationId?: string }
);

export interface ProviderRequest {
  readonly orderId: string;
  readonly idempotencyKey: string;
}

/** `authorizationId`: only that hold of the order's, or what was captured of it. Without it, all that the order has. */
export interface ReturnRequest extends ProviderRequest {
  readonly authorizationId?: string;
}

export interface MoneyRequest extends ProviderRequest {
  readonly amount: Money;
}

export interface AuthorizeRequest extends MoneyRequest {
  /** Represents the customer's means of payment. */
  readonly token: string;
}

/** Every method may throw ProviderTimeout or ProviderUnavailable; any other error is to be treated as ProviderTimeout. */
export abstract class PaymentProvider {
  /**
   * Asks for a hold on the customer's money, which may take a while. An order has one payment: a second key is answered
   * with what became of that one.
   */
  abstract authorize(request: AuthorizeRequest, signal: AbortSignal): Promise<Authorization>;

  /** Captures what is held, once and not more than that; the rest of the hold is released. */
  abstract capture(request: MoneyRequest, signal: AbortSignal): Promise<Capture>;

  /**
   * Ends the payment, whether or not any request for it has arrived yet, and releases what is held; with an
   * `authorizationId`, that hold alone.
   */
  abstract void(request: ReturnRequest, signal: AbortSignal): Promise<Void>;

  /** Gives back captured money, not more than is left of it. Each key is one refund. */
  abstract refund(request: MoneyRequest & ReturnRequest, signal: AbortSignal): Promise<Refund>;

  /** What the provider knows; undefined while no request for this order has reached it. */
  abstract find(orderId: string, signal: AbortSignal): Promise<ProviderPayment | undefined>;
}

/** No answer in time, or a connection that broke half-way. The outcome is unknown: call again with the same key. */
export class ProviderTimeout extends Error {
  constructor(message = 'The payment provider did not answer in time; call again with the same idempotency key.') {
    super(message);
    this.name = 'ProviderTimeout';
  }
}

/**
 * The provider was not reached, or turned the request away before processing it. It is certain that nothing happened: call
 * again later. An adapter that cannot be certain throws ProviderTimeout.
 */
export class ProviderUnavailable extends Error {
  constructor(message = 'The payment provider is not available; call again later.') {
    super(message);
    this.name = 'ProviderUnavailable';
  }
}
