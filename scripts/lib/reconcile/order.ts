/**
 * What the books must say of one order: the streams of the three services and the provider's ledger. Every proof judges by
 * these rules: the crash matrix, the race, the specs and the simulation.
 *
 * Of an order that is under way only what must hold at any time is required, because the services write one after
 * another. Of a settled one everything is known: an order settles when it has received the answers of the other services,
 * so what it records of them is in their books before. Books are read in that order.
 */
import { stateAfter } from '#decider';
import { isSettled, order, type OrderEvent, type PlacedOrder } from '../../../apps/order/src/domain/order.js';
import {
  type Reservation,
  reservation,
  type ReservationEvent,
} from '../../../apps/inventory/src/domain/reservation.js';
import { type Payment, payment, type PaymentEvent, secondHoldOf } from '../../../apps/payment/src/domain/payment.js';
import type { LedgerEntry } from '../../../apps/payment/src/simulator/ledger.js';
import { formatGoods, formatMoney } from '#contracts';
import type { RecordedEvent } from '#event-store';
import type { Finding, Kind } from './finding.js';

/** What the books contain of one order. */
export interface OrderBooks {
  readonly orderId: string;
  readonly order: RecordedEvent<OrderEvent>[];
  readonly reservation: RecordedEvent<ReservationEvent>[];
  readonly payment: RecordedEvent<PaymentEvent>[];
  readonly ledger: LedgerEntry[];
}

/** The categories of streams that are about one order. */
export const orderCategories = ['order', 'reservation', 'payment'] as const;

export function emptyBooks(orderId: string): OrderBooks {
  return { orderId, order: [], reservation: [], payment: [], ledger: [] };
}

/**
 * Where the streams and the ledger disagree about an order that the order service knows. `atRest`: nothing is under way
 * in the shop, so everything must have come to its end, and money on its way back is not excused.
 */
export function judge(books: OrderBooks, atRest = false): Finding[] {
  const broken = orderCategories.flatMap((category) => findGap(books, category));
  if (broken.length > 0) return broken; // The state after half a stream proves nothing.
  const states = {
    order: stateAfter(order, books.order),
    reservation: stateAfter(reservation, books.reservation),
    payment: stateAfter(payment, books.payment),
  };
  if (states.order.status === 'none') return [];
  return [
    ...(atRest ? judgeEnds(books, states.order, states.payment) : []),
    ...judgeGoods(books, states.order, states.reservation),
    ...judgeMoney(books, states.order, states.payment, atRest),
  ];
}

const UNDER_WAY: readonly Payment['status'][] = ['requested', 'authorized', 'capturing', 'returning', 'refund-refused'];

/** Where the units of a reservation are. */
type Units = 'in stock' | 'reserved' | 'shipped';

/** What the events of a reservation do to its units: each is only possible from one place. */
const MOVES: Partial<Record<ReservationEvent['type'], { readonly from: Units; readonly to: Units }>> = {
  ReservationMade: { from: 'in stock', to: 'reserved' },
  ReservationReleased: { from: 'reserved', to: 'in stock' },
  ReservationShipped: { from: 'reserved', to: 'shipped' },
  ReservationReturned: { from: 'shipped', to: 'in stock' },
};

/** In a shop at rest nothing waits. */
function judgeEnds({ orderId, order: events }: OrderBooks, order: PlacedOrder, { status }: Payment): Finding[] {
  const [ordered, paid] = [`order-${orderId}`, `payment-${orderId}`];
  const isFinal =
    isSettled(order) && (order.status === 'completed' || events.some(({ type }) => type === 'OrderSettled'));
  const found = (kind: Kind, book: string, is: string): Finding => {
    return { kind, orderId, books: [book], message: `Order ${orderId}: ${book} is ${is}, and nothing is under way.` };
  };
  return [
    ...(isFinal ? [] : [found('order-without-end', ordered, `${statusOf(order)}, without an end`)]),
    ...(UNDER_WAY.includes(status) ? [found('payment-without-end', paid, status)] : []),
  ];
}

function findGap(books: OrderBooks, category: (typeof orderCategories)[number]): Finding[] {
  const stream = `${category}-${books.orderId}`;
  const missing = books[category].findIndex(({ revision }, i) => revision !== i);
  if (missing < 0) return [];
  const message = `Order ${books.orderId}: ${stream} lacks event ${missing}, before its ${books[category][missing]!.type}.`;
  return [{ kind: 'broken-stream', orderId: books.orderId, books: [stream], message }];
}

function judgeGoods({ orderId, reservation }: OrderBooks, order: PlacedOrder, state: Reservation): Finding[] {
  const [ordered, reserved] = [`order-${orderId}`, `reservation-${orderId}`];
  const { lines } = order.terms;
  const found = (kind: Kind, says: string): Finding[] => {
    const message = `Order ${orderId} is ${statusOf(order)}: ${formatGoods(lines)}. But ${reserved} ${says}.`;
    return [{ kind, orderId, books: [ordered, reserved], message }];
  };

  for (const { type, data } of reservation) {
    if ('lines' in data && sortLines(data.lines) !== sortLines(lines)) {
      return found('lines-differ', `says ${type} of ${formatGoods(data.lines)}`);
    }
  }
  let units: Units = 'in stock';
  for (const { type } of reservation) {
    const move = MOVES[type];
    if (move === undefined) continue;
    if (move.from !== units) return found('goods-moved-twice', `has a ${type} of units that are ${units}`);
    units = move.to;
  }
  const countsOnStock = order.status === 'stock-reserved' || order.status === 'confirmed';
  if (countsOnStock && ['none', 'rejected', 'blocked'].includes(state.status)) {
    return found('reservation-missing', `is ${state.status}`);
  }
  if (order.status === 'completed' && state.status !== 'shipped') return found('not-shipped', `is ${state.status}`);
  if (isSettled(order) && order.status !== 'completed') {
    if (state.status === 'made') return found('lost-release', `still holds ${formatGoods(state.lines)}`);
    if (state.status === 'shipped') return found('lost-return', `has shipped ${formatGoods(state.lines)}`);
    if (state.status === 'none') return found('reservation-missing', 'does not exist');
  }
  return [];
}

/** What was taken from the customer and given back, in minor units of the order's currency. */
interface Sums {
  readonly captures: number;
  readonly captured: number;
  readonly refunded: number;
  readonly held: number;
  /** Whether the provider moved money by itself. */
  readonly moved: boolean;
}

function judgeMoney(
  { orderId, order: events, payment, ledger }: OrderBooks,
  order: PlacedOrder,
  state: Payment,
  atRest: boolean,
): Finding[] {
  const [ordered, paid] = [`order-${orderId}`, `payment-${orderId}`];
  const { amountMinor, currency } = order.terms.total;
  const [payments, entries] = [sumPayment(payment), sumLedger(ledger, currency)];
  // What the provider moved by itself is owed to nobody, and the payment's stream says how much it was.
  const paidFor = payments.moved ? payments.captured - payments.refunded : amountMinor;
  const owed = order.status === 'completed' ? paidFor : 0;
  const found = (kind: Kind, books: readonly string[], says: string): Finding[] => {
    const message = `Order ${orderId} is ${statusOf(order)}, its total is ${formatMoney({ amountMinor, currency })}. But ${says}.`;
    return [{ kind, orderId, books, message }];
  };
  const describe = ({ captures, captured, refunded }: Sums) => {
    const took = `took ${formatMoney({ amountMinor: captured, currency })}${captures > 1 ? ` in ${captures} captures` : ''}`;
    return refunded > 0 ? `${took} and gave back ${formatMoney({ amountMinor: refunded, currency })}` : took;
  };

  const both = `the ledger ${describe(entries)}, and ${paid} ${describe(payments)}`;

  if (payments.captures > 1) return found('double-capture', [ordered, paid], `${paid} ${describe(payments)}`);
  if (entries.captures > 1 && entries.captured > payments.captured) {
    return found('double-capture', ['ledger', paid], both);
  }
  for (const { type, data } of payment) {
    // A hold of another sum, and what was captured of it, goes back: it is no payment of the order's.
    if (type !== 'PaymentRequested' && !COUNTS.includes(state.status)) continue;
    if (type !== 'PaymentRequested' && type !== 'PaymentAuthorized' && type !== 'PaymentCaptured') continue;
    if (data.amount.amountMinor !== amountMinor || data.amount.currency !== currency) {
      const amount = formatMoney(data.amount);
      return found('totals-differ', [ordered, paid], `${paid} says ${type} of ${amount}`);
    }
  }
  const foreign = ledger.find((entry) => entry.currency !== null && entry.currency !== currency)?.currency;
  if (foreign) {
    // A hold in another currency goes back, and may have gone before payment has heard of it.
    const isKnown = payment.some(({ data }) => 'amount' in data && data.amount.currency === foreign);
    const wasHeld = ledger.some(({ type, currency }) => type === 'authorized' && currency === foreign);
    const { held, captured, refunded } = sumLedger(ledger, foreign);
    const isBack = held === 0 && captured === refunded;
    const mayBeOut = isKnown && !atRest && !isSettled(order);
    if (COUNTS.includes(state.status) || !(isKnown || wasHeld) || !(isBack || mayBeOut)) {
      return found('totals-differ', [ordered, 'ledger'], `the ledger has an entry in ${foreign}`);
    }
  }
  if (payment.length === 0 && ledger.length > 0) {
    const types = ledger.map(({ type }) => type).join(', ');
    return found('ledger-without-payment', ['ledger', paid], `there is no ${paid}, and the ledger says ${types}`);
  }
  if (
    order.status === 'confirmed' &&
    amountMinor > 0 &&
    ['none', 'requested', 'declined', 'blocked'].includes(state.status)
  ) {
    return found('payment-missing', [ordered, paid], `${paid} is ${state.status}`);
  }

  // Money that came late may be on its way back for as long as the provider takes.
  const givingBack = !atRest && (state.status === 'returning' || state.status === 'refund-refused');
  if (!isSettled(order) || (givingBack && order.status !== 'completed')) {
    const atMost = Math.max(payments.captured, entries.captured);
    if (atMost <= amountMinor) return [];
    return found('money-not-owed', ['ledger', paid], both);
  }
  if (order.status === 'completed' && amountMinor > 0 && state.status !== 'captured') {
    return found('not-paid', [ordered, paid], `${paid} is ${state.status}`);
  }
  if (order.status !== 'completed' && 'authorizationId' in state) {
    return found('lost-refund', [ordered, paid], `${paid} is ${state.status}`);
  }
  for (const [book, sums] of [
    [paid, payments],
    ['ledger', entries],
  ] as const) {
    const net = sums.captured - sums.refunded;
    const kind = net > owed ? 'money-not-owed' : 'not-paid';
    if (net === owed) continue;
    // What the provider moved by itself is not in the order's total.
    const ledgerSays = payments.moved ? both : `the ledger ${describe(sums)}`;
    return found(kind, [ordered, book], book === 'ledger' ? ledgerSays : `${book} ${describe(sums)}`);
  }
  const isReleasing = !atRest && secondHoldOf(state) !== undefined;
  if (entries.held !== 0 && !isReleasing) {
    return found(
      'money-held',
      [ordered, 'ledger'],
      `the ledger still holds ${formatMoney({ amountMinor: entries.held, currency })}`,
    );
  }
  if (payments.captured !== entries.captured) {
    return found('payment-and-ledger-differ', ['ledger', paid], both);
  }
  if (atRest && payments.moved && !events.some(({ type }) => type === 'OrderPaymentMoved')) {
    return found('move-not-told', [ordered, paid], `${paid} says that the provider moved money by itself`);
  }
  return [];
}

/** Where what is held or taken pays for the order. */
const COUNTS: readonly Payment['status'][] = ['authorized', 'capturing', 'captured'];

/** The events name totals; what was captured of a second hold, and given back, comes on top. */
function sumPayment(events: OrderBooks['payment']): Sums {
  const sums = { captures: 0, captured: 0, refunded: 0, held: 0, moved: false };
  let second = 0;
  for (const { type, data } of events) {
    switch (type) {
      case 'PaymentCaptured':
        sums.captures++;
        sums.captured = data.amount.amountMinor;
        break;
      case 'PaymentMiscaptured':
        sums.captured = data.amount.amountMinor;
        break;
      case 'PaymentRefunded':
      case 'PaymentRefundedInPart':
        sums.refunded = data.amount.amountMinor;
        break;
      case 'PaymentHoldReleased':
        second += data.refunded?.amountMinor ?? 0;
        break;
      case 'PaymentMovedByProvider':
        sums.moved = true;
        if (data.how === 'captured') sums.captured = data.amount.amountMinor;
        if (data.how === 'refunded') sums.refunded = data.amount.amountMinor;
        if (data.how === 'voided') sums.refunded = sums.captured;
    }
  }
  return { ...sums, captured: sums.captured + second, refunded: sums.refunded + second };
}

function sumLedger(entries: OrderBooks['ledger'], currency: string): Sums {
  const sums = { captures: 0, captured: 0, refunded: 0, held: 0, moved: false };
  for (const entry of entries) {
    if (entry.currency !== currency) continue;
    const { type, heldMinor, chargedMinor } = entry;
    if (type === 'captured') sums.captures++;
    sums.captured += Math.max(chargedMinor, 0);
    sums.refunded += Math.max(0 - chargedMinor, 0);
    sums.held += heldMinor;
  }
  return sums;
}

/** `cancelled (customer) and settled` */
function statusOf(order: PlacedOrder): string {
  const reason = 'reason' in order ? ` (${order.reason})` : '';
  return `${order.status}${reason}${isSettled(order) && order.status !== 'completed' ? ' and settled' : ''}`;
}

function sortLines(lines: readonly { readonly sku: string; readonly quantity: number }[]): string {
  return lines
    .map(({ sku, quantity }) => JSON.stringify([sku, quantity]))
    .sort()
    .join();
}
