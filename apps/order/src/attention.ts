/** What a person is shown of an order that the program cannot finish alone, and what each choice will do. */
import { formatGoods, formatMoney } from '#contracts';
import { stateAfter } from '#decider';
import type { RecordedEvent } from '#event-store';
import type { AttentionItem } from '#service';
import { type CalledOffOrder, isSettled, type Order, order, type OrderEvent } from './domain/order.js';

/** The most recent attempts are enough to decide by. */
const MAX_TRIED = 20;

type ConfirmedOrder = Extract<Order, { status: 'confirmed' }>;

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
    case 'completed':
      return undefined;
    case 'confirmed':
      return { orderId, since, ...describeConfirmed(state), tried };
    case 'rejected':
    case 'cancelled':
      return isSettled(state) ? undefined : { orderId, since, ...describeCalledOff(state), tried };
  }
}

/** An order past the pivot that is not shipped, or not paid. */
function describeConfirmed(state: ConfirmedOrder): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { shipped, captured, refusal, terms } = state;
  const goods = formatGoods(terms.lines);
  const price = formatMoney(terms.total);
  const missing = [shipped ? [] : 'shipped', captured ? [] : 'paid'].flat().join(' or ');
  return {
    happened: refusal
      ? `The order is confirmed, and the payment provider refuses to take ${price}: ${refusal.reason}.`
      : `The order is confirmed, but not yet reported as ${missing}.`,
    held: heldOf(state, shipped ? 'shipped' : 'reserved', captured ? 'captured' : 'held'),
    choices: [
      {
        decision: 'retry',
        effect: `Inventory is asked again to ship ${goods}, payment to take ${price}. What is already done is not done twice.`,
      },
      {
        decision: 'call-off',
        effect:
          `The order is cancelled. Inventory books ${goods} as available; what has left the house has to be fetched back. ` +
          `Payment releases ${price}, or refunds it.`,
      },
    ],
  };
}

/** An order that is off and may still hold stock or money. */
function describeCalledOff(state: CalledOffOrder): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { status, reason, stockHeld, moneyHeld, refusal, terms } = state;
  const goods = formatGoods(terms.lines);
  const price = formatMoney(terms.total);
  const missing = [stockHeld ? goods : [], moneyHeld ? price : []].flat().join(' and ');
  return {
    happened: refusal
      ? `The order was ${status} (${reason}), and the payment provider refuses to refund ${price}: ${refusal.reason}.`
      : `The order was ${status} (${reason}), but the return of ${missing} is not yet reported.`,
    held: heldOf(state, stockHeld ? 'perhaps held' : 'not held', moneyHeld ? 'perhaps held' : 'not held'),
    choices: [
      {
        decision: 'retry',
        effect: `Inventory and payment are asked again to give back what they hold of ${goods} and ${price}.`,
      },
    ],
  };
}

function heldOf({ terms }: ConfirmedOrder | CalledOffOrder, stock: string, money: string): AttentionItem['held'] {
  const lines = terms.lines.map(({ sku, quantity }) => ({ sku, quantity, state: stock }));
  return { lines, money: { ...terms.total, state: money } };
}

function triedBy({ type, data, recordedAt, metadata }: RecordedEvent<OrderEvent>): AttentionItem['tried'] {
  const by = metadata.actor ? `, as ${metadata.actor} decided: “${metadata.reason}”` : '';
  if (type === 'OrderReminded') return [{ at: recordedAt, what: `A reminder was sent (${data.wants})${by}.` }];
  if (type === 'OrderPaymentRefused')
    return [{ at: recordedAt, what: `The ${data.step} was refused: ${data.reason}.` }];
  return [];
}
