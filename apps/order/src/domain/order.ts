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
 * An order of nothing has nothing to pay: with its stock reserved it is confirmed, and completed when it is shipped.
 *
 * What the payment provider does by itself to an order's money (RecordPaymentMoved) changes no status: it is recorded, and
 * is a question to a person until one accepts it, or the money of an order that is off has gone back.
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

/** What is asked for, and what it costs now: nothing that is not sold. */
type PricedLine = Omit<OrderLine, 'unitPrice'> & { readonly unitPrice: Money | undefined };

export type OrderCommand =
  | {
      type: 'Place';
      customerId: string;
      lines: readonly PricedLine[];
      /** The customer's means of payment, sealed for the payment service alone: another text each time. */
      paymentToken: string;
      /** What a repeated request is compared by. */
      tokenDigest: string;
      /** Other digests that the same token may have in an order that was placed before. */
      olderDigests?: readonly string[];
      /** Who it is sent to, sealed with a key of the customer; absent: nobody was named. */
      recipient?: string;
      /** What a repeated request is compared by. */
      recipientDigest?: string;
      /** What the customer was shown. Any total will do if it is left out. */
      expectedTotal?: Money | undefined;
      /** ISO 8601. */
      placedAt: string;
      /** ISO 8601: the order is called off when it is not confirmed by then. */
      deadlineAt: string;
    }
  /** `owner` is whose order it has to be; absent: anybody's. */
  | { type: 'Cancel'; owner?: string | undefined }
  | { type: 'Expire'; now: string }
  /** From an operator: possible past the pivot, too. */
  | { type: 'CallOff' }
  /** From the watchdog: reminder number `attempt`, from 1, of what the order waits for. From an operator, as a retry: no number. */
  | { type: 'Remind'; attempt?: number }
  | { type: 'RecordStockReserved' }
  | { type: 'RecordStockRejected'; short: readonly string[] }
  | { type: 'RecordStockReleased'; outcome: StockOutcome }
  | { type: 'RecordStockShipped' }
  | { type: 'RecordPaymentAuthorized'; amount: Money }
  /** `held` is another sum that the provider holds: it goes back. */
  | { type: 'RecordPaymentDeclined'; reason: string; held?: Money | undefined }
  | { type: 'RecordPaymentCaptured' }
  | { type: 'RecordPaymentReturned'; outcome: PaymentOutcome }
  | ({ type: 'RecordPaymentRefused'; number: number } & Refusal)
  | ({ type: 'RecordPaymentMoved' } & Move)
  /** From an operator: what the provider did by itself is settled with the customer. */
  | { type: 'Accept' };

/** What an order wants from the other services. */
export type Want = 'stock' | 'payment' | 'fulfilment' | 'return';
/** 'returned': it had been shipped, and came back. */
type StockOutcome = 'released' | 'returned' | 'nothing-held';
type PaymentOutcome = 'voided' | 'refunded' | 'nothing-held';
/**
 * The provider refuses, and waiting does not help: a person decides. `number` counts the refusals of the order's payment;
 * absent: 1, the first, or one from before they were counted. `moved` is all that was captured, or given back, when that is
 * not what was asked for.
 */
type Refusal = { step: 'capture' | 'refund'; reason: string; moved?: Money | undefined; number?: number };
/** What the payment provider did without having been asked, and the total of what it did so. */
type Move = { how: 'captured' | 'refunded' | 'voided' | 'disputed'; amount: Money };
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
        tokenDigest: string;
        recipient?: string;
        recipientDigest?: string;
        placedAt: string;
        deadlineAt: string;
      };
    }
  /** `customerId` is absent in older ones, here and below. */
  | { type: 'OrderStockReserved'; data: { total: Money; paymentToken: string; customerId?: string } }
  | { type: 'OrderConfirmed'; data: { nothingToPay?: true } }
  | { type: 'OrderStockShipped'; data: Nothing }
  | { type: 'OrderPaymentCaptured'; data: Nothing }
  | { type: 'OrderCompleted'; data: Nothing }
  | { type: 'OrderRejected'; data: { reason: 'out-of-stock'; short: readonly string[] } }
  /** `held` is what the provider holds instead of the total: it goes back. */
  | { type: 'OrderRejected'; data: { reason: 'payment-declined'; detail: string; held?: Money } }
  | { type: 'OrderCancelled'; data: { reason: CancelReason } }
  | { type: 'OrderStockReleased'; data: { outcome: StockOutcome } }
  | { type: 'OrderPaymentReturned'; data: { outcome: PaymentOutcome } }
  | { type: 'OrderPaymentRefused'; data: Refusal }
  | { type: 'OrderPaymentMoved'; data: Move }
  | { type: 'OrderPaymentMoveAccepted'; data: Nothing }
  | {
      type: 'OrderReminded';
      data: {
        attempt: number;
        wants: Want;
        lines: readonly OrderLine[];
        total: Money;
        paymentToken: string;
        /** Only of one that wants payment. */
        customerId?: string;
        /** The number of the last refusal that the order knew of; absent: it knew of none. */
        refusalsKnown?: number;
        /** A person decided that it be tried again; absent: the watchdog sent it. */
        retry?: true;
      };
    }
  | { type: 'OrderSettled'; data: Nothing };

/** What the customer and the shop agreed on. */
export type Terms = Extract<OrderEvent, { type: 'OrderPlaced' }>['data'];

/** What the payment provider did by itself. */
interface Moves {
  /** The totals that are recorded. */
  readonly moves?: Readonly<Partial<Record<Move['how'], Money>>>;
  /** What a person has not decided about yet. */
  readonly question?: Move;
}

/** An order that may wait for other services. */
interface Open extends Moves {
  readonly terms: Terms;
  /** How many reminders it has sent since it began to want what it wants now. */
  readonly reminders: number;
  /** Whether the last of them is a person's retry that is not answered yet. */
  readonly retried: boolean;
  /** What the provider has refused since then. */
  readonly refusal: Refusal | undefined;
  /** The number of the last refusal that it knows of: one with a lower number is old news. 0: it knows of none. */
  readonly refusalsKnown: number;
}

export type Order =
  | { readonly status: 'none' }
  | ({ readonly status: 'placed' | 'stock-reserved' } & Open)
  | ({ readonly status: 'confirmed'; readonly shipped: boolean; readonly captured: boolean } & Open)
  | ({ readonly status: 'completed'; readonly terms: Terms } & Moves)
  | ({
      readonly status: 'rejected' | 'cancelled';
      readonly reason: 'out-of-stock' | 'payment-declined' | CancelReason;
      /** Whether it may still hold stock, and money: the order is settled when it holds neither. */
      readonly stockHeld: boolean;
      readonly moneyHeld: boolean;
      /** What the provider held instead of the total. */
      readonly otherSum?: Money;
      /** How money did go back, which is recorded once. */
      readonly returned: 'voided' | 'refunded' | undefined;
    } & Open);

/** An order that exists. */
export type PlacedOrder = Exclude<Order, { status: 'none' }>;
export type OpenOrder = Exclude<PlacedOrder, { status: 'completed' }>;
export type CalledOffOrder = Extract<Order, { status: 'rejected' | 'cancelled' }>;

export const order: Decider<OrderCommand, OrderEvent, Order> = {
  initialState: { status: 'none' },

  decide(command, state) {
    if (command.type === 'Place') return place(command, state);
    if (state.status === 'none') throw orderNotFound();

    switch (command.type) {
      case 'Cancel':
        assertOwn(state, command.owner);
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
        const { total, paymentToken, customerId } = state.terms;
        if (total.amountMinor === 0) return [{ type: 'OrderConfirmed', data: { nothingToPay: true } }];
        return [{ type: 'OrderStockReserved', data: { total, paymentToken, customerId } }];
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
        // Payment declines another sum than was asked for; an order would not be confirmed for it in any case.
        if (state.status !== 'stock-reserved' || !isSame(command.amount, state.terms.total)) return [];
        return [{ type: 'OrderConfirmed', data: {} }];

      case 'RecordPaymentDeclined': {
        const { reason, held } = command;
        if (state.status !== 'stock-reserved') return held ? [] : recordMoneyGone(state, 'nothing-held');
        return [{ type: 'OrderRejected', data: { reason: 'payment-declined', detail: reason, ...(held && { held }) } }];
      }

      case 'RecordPaymentReturned':
        return recordMoneyGone(state, command.outcome);

      case 'RecordPaymentRefused': {
        const { step, reason, moved, number } = command;
        // A refund is also refused of money that arrived when the order was settled: then it is no longer.
        const wanted =
          step === 'capture'
            ? state.status === 'confirmed' && !state.captured
            : isCalledOff(state) && (state.returned !== 'refunded' || state.question !== undefined);
        if (!wanted || !isOpen(state) || number <= state.refusalsKnown) return [];
        const data = { step, reason, ...(moved && { moved }), ...(number > 1 && { number }) };
        return [{ type: 'OrderPaymentRefused', data }];
      }

      case 'RecordPaymentMoved': {
        const { how, amount } = command;
        const known = state.moves?.[how];
        const isNews = !known || known.currency !== amount.currency || known.amountMinor < amount.amountMinor;
        return isNews ? [{ type: 'OrderPaymentMoved', data: { how, amount } }] : [];
      }

      case 'Accept':
        if (state.question) return [{ type: 'OrderPaymentMoveAccepted', data: {} }];
        if (state.moves) return [];
        throw new Conflict('nothing-to-accept', 'The payment provider has done nothing by itself with this order.');

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
    if (event.type === 'OrderPlaced') return { status: 'placed', terms: event.data, ...UNREMINDED, refusalsKnown: 0 };
    if (state.status === 'none') return state;
    const { terms } = state;
    const moves = movesOf(state);
    const open = { terms, ...moves, ...UNREMINDED, refusalsKnown: isOpen(state) ? state.refusalsKnown : 0 };

    switch (event.type) {
      case 'OrderStockReserved':
        return { status: 'stock-reserved', ...open };
      case 'OrderConfirmed':
        return { status: 'confirmed', ...open, shipped: false, captured: event.data.nothingToPay === true };
      case 'OrderStockShipped':
        return state.status === 'confirmed' ? { ...state, shipped: true } : state;
      case 'OrderPaymentCaptured':
        return state.status === 'confirmed' ? { ...state, captured: true, refusal: undefined } : state;
      case 'OrderCompleted':
        return { status: 'completed', terms, ...moves };
      case 'OrderRejected': {
        // Out of stock: nothing was held. Declined: the stock is, and money where it was another sum.
        const { reason } = event.data;
        const stockHeld = reason === 'payment-declined';
        const otherSum = 'held' in event.data ? event.data.held : undefined;
        const money = { moneyHeld: otherSum !== undefined, returned: undefined, ...(otherSum && { otherSum }) };
        return { status: 'rejected', ...open, reason, stockHeld, ...money };
      }
      case 'OrderCancelled': {
        // Stock was asked for as soon as the order was placed; money not before the stock was reserved.
        const { reason } = event.data;
        const moneyHeld = state.status !== 'placed';
        return { status: 'cancelled', ...open, reason, stockHeld: true, moneyHeld, returned: undefined };
      }
      case 'OrderStockReleased':
        return isCalledOff(state) ? { ...state, stockHeld: false } : state;
      case 'OrderPaymentReturned': {
        if (!isCalledOff(state)) return state;
        const { outcome } = event.data;
        const returned = outcome === 'nothing-held' ? state.returned : outcome;
        const { question: _, ...rest } = state; // What was captured by itself, too, has gone back.
        return { ...rest, moneyHeld: false, returned, refusal: undefined };
      }
      case 'OrderPaymentRefused': {
        if (!isOpen(state)) return state;
        const refusalsKnown = Math.max(state.refusalsKnown, event.data.number ?? 1);
        const refused = { ...state, retried: false, refusal: event.data, refusalsKnown };
        // What cannot be refunded is still held.
        return isCalledOff(refused) ? { ...refused, moneyHeld: true } : refused;
      }
      case 'OrderReminded': {
        if (!isOpen(state)) return state;
        const { attempt, retry } = event.data;
        return { ...state, reminders: attempt, retried: retry === true, refusal: undefined };
      }
      case 'OrderPaymentMoved': {
        const { how, amount } = event.data;
        return { ...state, moves: { ...state.moves, [how]: amount }, question: event.data };
      }
      case 'OrderPaymentMoveAccepted': {
        const { question: _, ...rest } = state;
        return rest;
      }
      case 'OrderSettled':
        return state;
    }
  },
};

const UNREMINDED = { reminders: 0, retried: false, refusal: undefined };

function movesOf({ moves, question }: PlacedOrder): Moves {
  return { ...(moves && { moves }), ...(question && { question }) };
}

/**
 * To a stranger somebody else's order is one that does not exist: that it does is theirs to know.
 * @throws NotFound
 */
export function assertOwn({ terms }: PlacedOrder, owner: string | undefined): void {
  if (owner !== undefined && terms.customerId !== owner) throw orderNotFound();
}

export function orderNotFound(): NotFound {
  return new NotFound('order-not-found', 'There is no such order.');
}

/** Whether the order may still wait for other services. */
function isOpen(state: Order): state is OpenOrder {
  return state.status !== 'none' && state.status !== 'completed';
}

function isCalledOff(state: Order): state is CalledOffOrder {
  return state.status === 'rejected' || state.status === 'cancelled';
}

/** The last event of an order's stock and money: after it the order is settled. */
export const SETTLES: ReadonlySet<string> = new Set<OrderEvent['type']>(['OrderCompleted', 'OrderSettled']);

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
  const { customerId, paymentToken, tokenDigest, olderDigests = [], expectedTotal, placedAt, deadlineAt } = command;
  const { recipient, recipientDigest } = command;
  if (state.status !== 'none') {
    // Prices may have changed since, so only what the customer asked for is compared.
    const { terms } = state;
    const sameToken = [tokenDigest, ...olderDigests].includes(terms.tokenDigest);
    const sameContents = sameToken && contentsOf(command.lines) === contentsOf(terms.lines);
    const samePerson = customerId === terms.customerId && recipientDigest === terms.recipientDigest;
    if (sameContents && samePerson && (!expectedTotal || isSame(expectedTotal, terms.total))) return [];
    throw new DomainError('idempotency-key-reused', 'This Idempotency-Key was used for an order with other contents.');
  }
  const lines = command.lines.map(assertSold);
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
  if (expectedTotal && !isSame(expectedTotal, total)) {
    throw new Conflict('price-changed', 'The total is another than expected: show it, and order again.', { total });
  }
  const sentTo = recipient !== undefined && recipientDigest !== undefined && { recipient, recipientDigest };
  const data = { customerId, lines, total, paymentToken, tokenDigest, ...sentTo, placedAt, deadlineAt };
  return [{ type: 'OrderPlaced', data }];
}

function assertSold({ unitPrice, ...line }: PricedLine): OrderLine {
  if (unitPrice) return { ...line, unitPrice };
  throw new DomainError('unknown-sku', `There is no price for "${line.sku}": it is not sold here.`);
}

/** The order of the lines means nothing. */
function contentsOf(lines: readonly PricedLine[]): string {
  return JSON.stringify(lines.map(({ sku, quantity }) => JSON.stringify([sku, quantity])).sort());
}

function isSame(one: Money, other: Money): boolean {
  return one.amountMinor === other.amountMinor && one.currency === other.currency;
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

/**
 * A reminder that was already sent, or of something the order no longer waits for, is ignored, and one of what was refused:
 * the watchdog's table may be behind, and that the order knows would have it tried again. So is a person's retry
 * while an earlier one waits for its answer: until the provider has refused again, or the watchdog has sent a reminder.
 */
function remind(state: Order, attempt: number | undefined): readonly OrderEvent[] {
  const wants = wantOf(state);
  if (wants === undefined || !isOpen(state)) {
    if (attempt !== undefined) return [];
    throw new Conflict('nothing-to-retry', `The order is ${state.status} and no longer waits for anything.`);
  }
  const { terms, reminders, retried, refusal, refusalsKnown } = state;
  const next = reminders + 1;
  if (attempt === undefined ? retried : attempt !== next || refusal) return [];
  const { lines, total, paymentToken, customerId } = terms;
  const known = refusalsKnown > 0 && { refusalsKnown };
  const retry = attempt === undefined && { retry: true as const };
  const whose = wants === 'payment' && { customerId };
  const data = { attempt: next, wants, lines, total, paymentToken, ...whose, ...known, ...retry };
  return [{ type: 'OrderReminded', data }];
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
  return outcome === 'nothing-held' || (state.returned && !state.question) ? [] : [returned];
}
