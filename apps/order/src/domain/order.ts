/**
 * An order: the whole checkout as one state machine.
 *
 *                 StockReserved            PaymentAuthorized         StockShipped, PaymentCaptured
 *   (placed) ────────────────────▶ (stock-reserved) ────────▶ (confirmed) ────────────────────▶ (completed)
 *      │                                  │                     PIVOT
 *      │ StockRejected                    │ PaymentDeclined
 *      ├──────────────▶ (rejected) ◀──────┤              Before the pivot an order that fails or is cancelled
 *      │                                  │              gives back what it holds; it is settled when
 *      │ Cancel, Expire, CallOff          │              inventory and payment have confirmed that.
 *      └──────────────▶ (cancelled) ◀─────┘              After the pivot there is only forward, unless a person
 *                            ▲                           calls the order off: then stock and money come back.
 *                            └── (confirmed): CallOff
 *
 * Only the order decides that a checkout is off. The other services report what they did; a duplicate report changes
 * nothing, and a late one changes nothing that is decided. While an order waits for them it reminds them, now and then,
 * of what it wants: a reminder carries everything needed to do it, in case the first request was lost.
 *
 * `deadlineAt` is set by service.ts from ORDER_DEADLINE; watchdog.ts sends Expire when it has passed.
 */
import { Conflict, type Decider, DomainError, NotFound } from '#decider';

/** In minor units of an ISO 4217 currency. */
export interface Money {
  readonly amountMinor: number;
  readonly currency: string;
}

export interface OrderLine {
  readonly sku: string;
  readonly quantity: number;
  readonly unitPrice: Money;
}

export type OrderCommand =
  | {
      type: 'Place';
      customerId: string;
      lines: readonly OrderLine[];
      paymentToken: string;
      /** ISO 8601. */
      placedAt: string;
      /** ISO 8601: the order is called off when it is not confirmed by then. */
      deadlineAt: string;
    }
  | { type: 'Cancel' }
  | { type: 'Expire'; now: string }
  /** From an operator: possible past the pivot, too. */
  | { type: 'CallOff' }
  /** From the watchdog: reminder number `attempt`, from 1, of what the order waits for. From an operator: no number. */
  | { type: 'Remind'; attempt?: number }
  | { type: 'RecordStockReserved' }
  | { type: 'RecordStockRejected'; short: readonly string[] }
  | { type: 'RecordStockReleased'; outcome: StockOutcome }
  | { type: 'RecordStockShipped' }
  | { type: 'RecordPaymentAuthorized' }
  | { type: 'RecordPaymentDeclined'; reason: string }
  | { type: 'RecordPaymentCaptured' }
  | { type: 'RecordPaymentReturned'; outcome: PaymentOutcome }
  | ({ type: 'RecordPaymentRefused' } & Refusal);

/** What an order wants from the other services. */
export type Want = 'stock' | 'payment' | 'fulfilment' | 'return';
/** 'returned': it had been shipped, and came back. */
type StockOutcome = 'released' | 'returned' | 'nothing-held';
type PaymentOutcome = 'voided' | 'refunded' | 'nothing-held';
/** The provider refuses, and waiting does not help: a person decides. */
type Refusal = { step: 'capture' | 'refund'; reason: string };
type CancelReason = 'customer' | 'deadline' | 'operator';
type Nothing = Record<string, never>;

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type OrderEvent =
  | {
      type: 'OrderPlaced';
      data: {
        customerId: string;
        lines: readonly OrderLine[];
        total: Money;
        paymentToken: string;
        placedAt: string;
        deadlineAt: string;
      };
    }
  | { type: 'OrderStockReserved'; data: { total: Money; paymentToken: string } }
  | { type: 'OrderConfirmed'; data: Nothing }
  | { type: 'OrderStockShipped'; data: Nothing }
  | { type: 'OrderPaymentCaptured'; data: Nothing }
  | { type: 'OrderCompleted'; data: Nothing }
  | { type: 'OrderRejected'; data: { reason: 'out-of-stock'; short: readonly string[] } }
  | { type: 'OrderRejected'; data: { reason: 'payment-declined'; detail: string } }
  | { type: 'OrderCancelled'; data: { reason: CancelReason } }
  | { type: 'OrderStockReleased'; data: { outcome: StockOutcome } }
  | { type: 'OrderPaymentReturned'; data: { outcome: PaymentOutcome } }
  | { type: 'OrderPaymentRefused'; data: Refusal }
  | {
      type: 'OrderReminded';
      data: { attempt: number; wants: Want; lines: readonly OrderLine[]; total: Money; paymentToken: string };
    }
  | { type: 'OrderSettled'; data: Nothing };

/** What the customer and the shop agreed on. */
export type Terms = Extract<OrderEvent, { type: 'OrderPlaced' }>['data'];

/** An order that may wait for other services. */
interface Open {
  readonly terms: Terms;
  /** How many reminders it has sent since it began to want what it wants now. */
  readonly reminders: number;
  /** What the provider has refused since then. */
  readonly refusal: Refusal | undefined;
}

export type Order =
  | { readonly status: 'none' }
  | ({ readonly status: 'placed' | 'stock-reserved' } & Open)
  | ({ readonly status: 'confirmed'; readonly shipped: boolean; readonly captured: boolean } & Open)
  | { readonly status: 'completed'; readonly terms: Terms }
  | ({
      readonly status: 'rejected' | 'cancelled';
      readonly reason: 'out-of-stock' | 'payment-declined' | CancelReason;
      /** Whether it may still hold stock, and money: the order is settled when it holds neither. */
      readonly stockHeld: boolean;
      readonly moneyHeld: boolean;
      /** Whether money did go back, which is recorded once. */
      readonly moneyReturned: boolean;
    } & Open);

/** An order that exists. */
export type PlacedOrder = Exclude<Order, { status: 'none' }>;
export type OpenOrder = Exclude<PlacedOrder, { status: 'completed' }>;
export type CalledOffOrder = Extract<Order, { status: 'rejected' | 'cancelled' }>;

export const order: Decider<OrderCommand, OrderEvent, Order> = {
  initialState: { status: 'none' },

  decide(command, state) {
    if (command.type === 'Place') return place(command, state);
    if (state.status === 'none') throw new NotFound('order-not-found', 'There is no such order.');

    switch (command.type) {
      case 'Cancel':
        if (state.status === 'confirmed' || state.status === 'completed') {
          throw new Conflict(
            'order-confirmed',
            'The order is confirmed: it will be shipped and can no longer be cancelled.',
          );
        }
        return cancelBeforePivot(state, 'customer');

      case 'Expire':
        if (command.now < state.terms.deadlineAt) return [];
        return cancelBeforePivot(state, 'deadline');

      case 'CallOff':
        return callOff(state);

      case 'Remind':
        return remind(state, command.attempt);

      case 'RecordStockReserved': {
        if (state.status !== 'placed') return [];
        const { total, paymentToken } = state.terms;
        return [{ type: 'OrderStockReserved', data: { total, paymentToken } }];
      }

      case 'RecordStockRejected':
        if (state.status !== 'placed') return recordStockGone(state, 'nothing-held');
        return [
          { type: 'OrderRejected', data: { reason: 'out-of-stock', short: command.short } },
          { type: 'OrderSettled', data: {} },
        ];

      case 'RecordStockReleased':
        return recordStockGone(state, command.outcome);

      case 'RecordPaymentAuthorized':
        return state.status === 'stock-reserved' ? [{ type: 'OrderConfirmed', data: {} }] : [];

      case 'RecordPaymentDeclined':
        if (state.status !== 'stock-reserved') return recordMoneyGone(state, 'nothing-held');
        return [{ type: 'OrderRejected', data: { reason: 'payment-declined', detail: command.reason } }];

      case 'RecordPaymentReturned':
        return recordMoneyGone(state, command.outcome);

      case 'RecordPaymentRefused': {
        const { step, reason } = command;
        const wanted =
          step === 'capture' ? state.status === 'confirmed' && !state.captured : isCalledOff(state) && state.moneyHeld;
        if (!wanted || !isOpen(state) || state.refusal) return [];
        return [{ type: 'OrderPaymentRefused', data: { step, reason } }];
      }

      case 'RecordStockShipped': {
        if (state.status !== 'confirmed' || state.shipped) return [];
        const shipped: OrderEvent = { type: 'OrderStockShipped', data: {} };
        return state.captured ? [shipped, { type: 'OrderCompleted', data: {} }] : [shipped];
      }

      case 'RecordPaymentCaptured': {
        if (state.status !== 'confirmed' || state.captured) return [];
        const captured: OrderEvent = { type: 'OrderPaymentCaptured', data: {} };
        return state.shipped ? [captured, { type: 'OrderCompleted', data: {} }] : [captured];
      }
    }
  },

  evolve(state, event) {
    if (event.type === 'OrderPlaced') return { status: 'placed', terms: event.data, ...UNREMINDED };
    if (state.status === 'none') return state;
    const { terms } = state;

    switch (event.type) {
      case 'OrderStockReserved':
        return { status: 'stock-reserved', terms, ...UNREMINDED };
      case 'OrderConfirmed':
        return { status: 'confirmed', terms, shipped: false, captured: false, ...UNREMINDED };
      case 'OrderStockShipped':
        return state.status === 'confirmed' ? { ...state, shipped: true } : state;
      case 'OrderPaymentCaptured':
        return state.status === 'confirmed' ? { ...state, captured: true, refusal: undefined } : state;
      case 'OrderCompleted':
        return { status: 'completed', terms };
      case 'OrderRejected': {
        // Out of stock: nothing was held. Declined: the stock is.
        const { reason } = event.data;
        const stockHeld = reason === 'payment-declined';
        return { status: 'rejected', terms, reason, stockHeld, moneyHeld: false, moneyReturned: false, ...UNREMINDED };
      }
      case 'OrderCancelled': {
        // Stock was asked for as soon as the order was placed; money not before the stock was reserved.
        const { reason } = event.data;
        const moneyHeld = state.status !== 'placed';
        return { status: 'cancelled', terms, reason, stockHeld: true, moneyHeld, moneyReturned: false, ...UNREMINDED };
      }
      case 'OrderStockReleased':
        return isCalledOff(state) ? { ...state, stockHeld: false } : state;
      case 'OrderPaymentReturned': {
        if (!isCalledOff(state)) return state;
        const moneyReturned = state.moneyReturned || event.data.outcome !== 'nothing-held';
        return { ...state, moneyHeld: false, moneyReturned, refusal: undefined };
      }
      case 'OrderPaymentRefused':
        return isOpen(state) ? { ...state, refusal: event.data } : state;
      case 'OrderReminded':
        return isOpen(state) ? { ...state, reminders: event.data.attempt, refusal: undefined } : state;
      case 'OrderSettled':
        return state;
    }
  },
};

const UNREMINDED = { reminders: 0, refusal: undefined };

/** Whether the order may still wait for other services. */
function isOpen(state: Order): state is OpenOrder {
  return state.status !== 'none' && state.status !== 'completed';
}

function isCalledOff(state: Order): state is CalledOffOrder {
  return state.status === 'rejected' || state.status === 'cancelled';
}

/** Whether nothing more will happen to the order's stock and money. */
export function isSettled(state: Order): boolean {
  return state.status === 'completed' || (isCalledOff(state) && !state.stockHeld && !state.moneyHeld);
}

/** What an order waits for; undefined when it waits for nothing. */
export function wantOf(state: Order): Want | undefined {
  switch (state.status) {
    case 'none':
    case 'completed':
      return undefined;
    case 'placed':
      return 'stock';
    case 'stock-reserved':
      return 'payment';
    case 'confirmed':
      return 'fulfilment';
    case 'rejected':
    case 'cancelled':
      return isSettled(state) ? undefined : 'return';
  }
}

function place(command: Extract<OrderCommand, { type: 'Place' }>, state: Order): readonly OrderEvent[] {
  const { customerId, lines, paymentToken, placedAt, deadlineAt } = command;
  if (state.status !== 'none') {
    // Prices may have changed since, so only what the customer asked for is compared.
    if (contentsOf(lines, paymentToken) === contentsOf(state.terms.lines, state.terms.paymentToken)) return [];
    throw new DomainError('idempotency-key-reused', 'This Idempotency-Key was used for an order with other contents.');
  }
  if (lines.length === 0) throw new DomainError('no-lines', 'An order has at least one line.');
  if (new Set(lines.map((line) => line.sku)).size < lines.length) {
    throw new DomainError('duplicate-sku', 'Each SKU stands in one line of an order: add its quantities.');
  }
  const total = lines.reduce<Money>(
    (sum, { quantity, unitPrice }) => {
      if (!Number.isSafeInteger(quantity) || quantity <= 0) {
        throw new DomainError('invalid-quantity', `A quantity is a whole number above zero, not ${quantity}.`);
      }
      if (unitPrice.currency !== sum.currency) {
        throw new DomainError(
          'mixed-currencies',
          `One order has one currency, not ${sum.currency} and ${unitPrice.currency}.`,
        );
      }
      return { ...sum, amountMinor: sum.amountMinor + quantity * unitPrice.amountMinor };
    },
    { amountMinor: 0, currency: lines[0]!.unitPrice.currency },
  );
  if (!Number.isSafeInteger(total.amountMinor)) {
    throw new DomainError('total-out-of-range', 'The total of the order is too large.');
  }
  return [{ type: 'OrderPlaced', data: { customerId, lines, total, paymentToken, placedAt, deadlineAt } }];
}

function contentsOf(lines: readonly OrderLine[], paymentToken: string): string {
  return JSON.stringify([paymentToken, lines.map(({ sku, quantity }) => [sku, quantity])]);
}

/** An order that is already off, or confirmed, stays as it is. */
function cancelBeforePivot(state: Order, reason: CancelReason): readonly OrderEvent[] {
  const before = state.status === 'placed' || state.status === 'stock-reserved';
  return before ? [{ type: 'OrderCancelled', data: { reason } }] : [];
}

function callOff(state: Order): readonly OrderEvent[] {
  if (state.status === 'completed') {
    throw new Conflict('order-completed', 'The order is shipped and paid: there is nothing left to call off.');
  }
  if (isCalledOff(state)) {
    if (state.reason === 'operator') return [];
    throw new Conflict('order-off', `The order is already off: it was ${state.status} (${state.reason}).`);
  }
  return [{ type: 'OrderCancelled', data: { reason: 'operator' } }];
}

/** A reminder that was already sent, or of something the order no longer waits for, is ignored. */
function remind(state: Order, attempt: number | undefined): readonly OrderEvent[] {
  const wants = wantOf(state);
  if (wants === undefined || !isOpen(state)) {
    if (attempt !== undefined) return [];
    throw new Conflict('nothing-to-retry', `The order is ${state.status} and no longer waits for anything.`);
  }
  const next = state.reminders + 1;
  if (attempt !== undefined && attempt !== next) return [];
  const { lines, total, paymentToken } = state.terms;
  return [{ type: 'OrderReminded', data: { attempt: next, wants, lines, total, paymentToken } }];
}

function recordStockGone(state: Order, outcome: StockOutcome): readonly OrderEvent[] {
  if (!isCalledOff(state) || !state.stockHeld) return [];
  const released: OrderEvent = { type: 'OrderStockReleased', data: { outcome } };
  return state.moneyHeld ? [released] : [released, { type: 'OrderSettled', data: {} }];
}

function recordMoneyGone(state: Order, outcome: PaymentOutcome): readonly OrderEvent[] {
  if (!isCalledOff(state)) return [];
  const returned: OrderEvent = { type: 'OrderPaymentReturned', data: { outcome } };
  if (state.moneyHeld) return state.stockHeld ? [returned] : [returned, { type: 'OrderSettled', data: {} }];
  // Money that arrived when none was expected any longer, and went back: nothing waits for it, but the history shows it.
  return outcome === 'nothing-held' || state.moneyReturned ? [] : [returned];
}
