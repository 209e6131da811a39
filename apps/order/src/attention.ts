/** What a person is shown of an order that the program cannot finish alone, and what each choice will do. */
import { formatGoods, formatMoney } from '#contracts';
import { stateAfter } from '#decider';
import type { RecordedEvent } from '#event-store';
import { type AttentionItem, decisionsIn, type PastCase, type Resolution } from '#service';
import { type CalledOffOrder, isSettled, type Order, order, type OrderEvent, type Want } from './domain/order.js';

/** The most recent attempts are enough to decide by. */
const MAX_TRIED = 20;

type ConfirmedOrder = Extract<Order, { status: 'confirmed' }>;
type Refusal = NonNullable<ConfirmedOrder['refusal']>;
type Question = NonNullable<ConfirmedOrder['question']>;

/** Undefined when the order no longer waits for anything. `since`: since when it has waited for a person (ISO 8601). */
export function attentionItem(
  orderId: string,
  events: readonly RecordedEvent<OrderEvent>[],
  since: string,
): AttentionItem | undefined {
  const state = stateAfter(order, events);
  const tried = events.flatMap(triedBy).slice(-MAX_TRIED);
  switch (state.status) {
    case 'none':
    case 'placed': // Before the pivot the deadline decides.
    case 'stock-reserved':
      return undefined;
    case 'completed': {
      const { question, terms } = state;
      if (!question) return undefined;
      const happened = `The order is completed. ${describeMove(question, terms)}`;
      const held = heldOf(state, 'shipped', `captured, and then ${question.how} by the provider`);
      return { orderId, since, happened, held, tried, choices: [accept(question)] };
    }
    case 'confirmed':
      return { orderId, since, ...describeConfirmed(state), tried };
    case 'rejected':
    case 'cancelled':
      if (isSettled(state) && !state.question) return undefined;
      return { orderId, since, ...describeCalledOff(state), tried };
  }
}

/** By the events that they lead to. */
const DECISIONS: Readonly<Record<string, Resolution['decision']>> = {
  OrderReminded: 'retry',
  OrderCancelled: 'call-off',
  OrderPaymentMoveAccepted: 'accept',
};

/** An order that a person decided about, or that needed a person no longer. `at`: when. */
export function pastCase(orderId: string, events: readonly RecordedEvent<OrderEvent>[], at: string): PastCase {
  const state = stateAfter(order, events);
  const open = attentionItem(orderId, events, at);
  const decisions = decisionsIn(events, (type) => DECISIONS[type]);
  const became = open?.happened ?? describeEnd(state, events);
  return { orderId, at, decisions, became, isOver: !open && isSettled(state) };
}

/** What became of the stock and the money, by what inventory and payment reported. */
const BACK = {
  released: 'its stock was released',
  returned: 'its stock was returned',
  voided: 'the hold on its money was released',
  refunded: 'its money was refunded',
} as const;

function describeEnd(state: Order, events: readonly RecordedEvent<OrderEvent>[]): string {
  if (state.status === 'completed') return 'The order is completed: its stock is shipped, and its money taken.';
  if (state.status !== 'rejected' && state.status !== 'cancelled') return `The order is ${state.status}.`;
  const back = events.flatMap(({ type, data }) => {
    if (type !== 'OrderStockReleased' && type !== 'OrderPaymentReturned') return [];
    return data.outcome === 'nothing-held' ? [] : [BACK[data.outcome]];
  });
  const what = back.length === 0 ? 'nothing was held' : [...new Set(back)].toSorted().join(', and ');
  return `The order was ${state.status} (${state.reason}): ${what}.`;
}

const MOVED = {
  captured: 'taken',
  refunded: 'given back',
  voided: 'taken back as if it had never been captured:',
  disputed: 'been told by the customer to contest',
} as const;

/** What the provider did by itself, with both sums. */
function describeMove({ how, amount }: Question, { total }: ConfirmedOrder['terms']): string {
  return `The payment provider has by itself ${MOVED[how]} ${formatMoney(amount)}; the total is ${formatMoney(total)}.`;
}

/** Nothing that the shop can do undoes it: a person settles it with the customer and the provider. */
export function acceptEffect({ how, amount }: Question): string {
  return `The order leaves the inbox; what becomes of ${formatMoney(amount)} (${how}) is settled by hand.`;
}

export function retryEffect(wants: Want, goods: string, price: string): string {
  switch (wants) {
    case 'stock':
      return `Inventory is asked again to reserve ${goods}. What is already done is not done twice.`;
    case 'payment':
      return `Payment is asked again to hold ${price}. What is already done is not done twice.`;
    case 'fulfilment':
      return `Inventory is asked again to ship ${goods}, payment to take ${price}. What is already done is not done twice.`;
    case 'return':
      return `Inventory and payment are asked again to give back what they hold of ${goods} and ${price}.`;
  }
}

/** Of an order past the pivot. */
export function callOffEffect(goods: string, price: string): string {
  return (
    `The order is cancelled. Inventory books ${goods} as available; what has left the house has to be fetched back. ` +
    `Payment releases ${price}, or refunds it.`
  );
}

function accept(question: Question): AttentionItem['choices'][number] {
  return { decision: 'accept', effect: acceptEffect(question) };
}

/** An order past the pivot that is not shipped, or not paid. */
function describeConfirmed(state: ConfirmedOrder): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { shipped, captured, refusal, terms, question } = state;
  const goods = formatGoods(terms.lines);
  const price = formatMoney(terms.total);
  const missing = [shipped ? [] : 'shipped', captured ? [] : 'paid'].flat().join(' or ');
  return {
    happened: question
      ? `The order is confirmed. ${describeMove(question, terms)}`
      : refusal
        ? `The order is confirmed, and the payment provider ${describeRefusal(refusal, 'take', price)}.`
        : `The order is confirmed, but not yet reported as ${missing}.`,
    held: heldOf(state, shipped ? 'shipped' : 'reserved', captured ? 'captured' : 'held'),
    choices: [
      { decision: 'retry', effect: retryEffect('fulfilment', goods, price) },
      { decision: 'call-off', effect: callOffEffect(goods, price) },
      ...(question ? [accept(question)] : []),
    ],
  };
}

/** An order that is off and may still hold stock or money. */
function describeCalledOff(state: CalledOffOrder): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { status, reason, stockHeld, moneyHeld, refusal, terms, otherSum, question } = state;
  const goods = formatGoods(terms.lines);
  const price = formatMoney(otherSum ?? terms.total);
  const instead = otherSum ? ` Another sum was held than its total of ${formatMoney(terms.total)}.` : '';
  const missing = [stockHeld ? goods : [], moneyHeld ? price : []].flat().join(' and ');
  const effect = retryEffect('return', goods, price);
  return {
    happened: refusal
      ? `The order was ${status} (${reason}), and the payment provider ${describeRefusal(refusal, 'refund', price)}.${instead}`
      : question
        ? `The order was ${status} (${reason}). ${describeMove(question, terms)}`
        : `The order was ${status} (${reason}), but the return of ${missing} is not yet reported.${instead}`,
    held: heldOf(state, stockHeld ? 'perhaps held' : 'not held', moneyHeld ? 'perhaps held' : 'not held'),
    choices: [
      ...(isSettled(state) ? [] : [{ decision: 'retry' as const, effect }]),
      ...(question ? [accept(question)] : []),
    ],
  };
}

function describeRefusal({ reason, moved }: Refusal, verb: 'take' | 'refund', price: string): string {
  if (moved) return `has not ${verb === 'take' ? 'taken' : 'refunded'} ${price}, but ${formatMoney(moved)}: ${reason}`;
  return `refuses to ${verb} ${price}: ${reason}`;
}

function heldOf({ terms }: Pick<ConfirmedOrder, 'terms'>, stock: string, money: string): AttentionItem['held'] {
  const lines = terms.lines.map(({ sku, quantity }) => ({ sku, quantity, state: stock }));
  return { lines, money: { ...terms.total, state: money } };
}

function triedBy({ type, data, recordedAt, metadata }: RecordedEvent<OrderEvent>): AttentionItem['tried'] {
  const by = metadata.actor ? `, as ${metadata.actor} decided: “${metadata.reason}”` : '';
  if (type === 'OrderReminded') return [{ at: recordedAt, what: `A reminder was sent (${data.wants})${by}.` }];
  if (type === 'OrderPaymentRefused' && data.moved)
    return [{ at: recordedAt, what: `Another sum was moved by the ${data.step}: ${formatMoney(data.moved)}.` }];
  if (type === 'OrderPaymentRefused')
    return [{ at: recordedAt, what: `The ${data.step} was refused: ${data.reason}.` }];
  return [];
}
