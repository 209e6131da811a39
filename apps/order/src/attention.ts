/** What a person is told of an order that the program cannot finish alone, and what each choice will do. */
import type { RecordedEvent } from '#event-store';
import type { AttentionItem } from '#service';
import { isSettled, type Money, type Order, order, type OrderEvent } from './domain/order.js';

/** The last of what was tried is enough to decide by. */
const TRIED = 20;

type Confirmed = Extract<Order, { status: 'confirmed' }>;
type CalledOff = Extract<Order, { status: 'rejected' | 'cancelled' }>;

/** Undefined when the order waits for nobody any more. `since` is from when on a person is waited for. */
export function attentionItem(
  orderId: string,
  events: readonly RecordedEvent<OrderEvent>[],
  since: string,
): AttentionItem | undefined {
  const state = events.reduce<Order>((s, event) => order.evolve(s, event), order.initialState);
  const tried = events.flatMap(attempt).slice(-TRIED);
  switch (state.status) {
    case 'none':
    case 'placed': // Before the pivot the deadline decides.
    case 'stock-reserved':
    case 'completed':
      return undefined;
    case 'confirmed':
      return { orderId, since, ...stuckForward(state), tried };
    case 'rejected':
    case 'cancelled':
      return isSettled(state) ? undefined : { orderId, since, ...stuckBackward(state), tried };
  }
}

function stuckForward(state: Confirmed): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { shipped, captured, refusal } = state;
  const [goods, price] = [goodsOf(state), priceOf(state.terms.total)];
  const missing = [shipped ? [] : 'shipped', captured ? [] : 'paid'].flat().join(' nor ');
  return {
    happened: refusal
      ? `The order is confirmed, and the payment provider refuses to take ${price}: ${refusal.reason}.`
      : `The order is confirmed, and nobody has said yet that it is ${missing}.`,
    held: heldOf(state, shipped ? 'shipped' : 'reserved', captured ? 'captured' : 'held'),
    choices: [
      {
        decision: 'retry',
        effect: `Inventory is asked again to ship ${goods}, payment to take ${price}. What is done already is not done twice.`,
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

function stuckBackward(state: CalledOff): Pick<AttentionItem, 'happened' | 'held' | 'choices'> {
  const { status, reason, stockHeld, moneyHeld, refusal } = state;
  const [goods, price] = [goodsOf(state), priceOf(state.terms.total)];
  const missing = [stockHeld ? goods : [], moneyHeld ? price : []].flat().join(' and ');
  return {
    happened: refusal
      ? `The order was ${status} (${reason}), and the payment provider refuses to refund ${price}: ${refusal.reason}.`
      : `The order was ${status} (${reason}), and nobody has said yet that ${missing} went back.`,
    held: heldOf(state, stockHeld ? 'perhaps held' : 'not held', moneyHeld ? 'perhaps held' : 'not held'),
    choices: [
      {
        decision: 'retry',
        effect: `Inventory and payment are asked again to give back what they hold of ${goods} and ${price}.`,
      },
    ],
  };
}

function heldOf({ terms }: Confirmed | CalledOff, stock: string, money: string): AttentionItem['held'] {
  const lines = terms.lines.map(({ sku, quantity }) => ({ sku, quantity, state: stock }));
  return { lines, money: { ...terms.total, state: money } };
}

function attempt({ type, data, recordedAt, metadata }: RecordedEvent<OrderEvent>): AttentionItem['tried'] {
  const by = metadata.actor ? `, as ${metadata.actor} decided: “${metadata.reason}”` : '';
  if (type === 'OrderReminded') return [{ at: recordedAt, what: `The others were reminded (${data.wants})${by}.` }];
  if (type === 'OrderPaymentRefused')
    return [{ at: recordedAt, what: `The ${data.step} was refused: ${data.reason}.` }];
  return [];
}

function goodsOf({ terms }: Confirmed | CalledOff): string {
  return terms.lines.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', ');
}

function priceOf({ amountMinor, currency }: Money): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(amountMinor / 10 ** digits).replace('\u00a0', ' ');
}
