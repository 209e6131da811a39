/** What is to come of an order, and what each decision would do to its stock and money now: asked of the decider itself. */
import { formatGoods, formatMoney } from '#contracts';
import { DomainError, stateAfter } from '#decider';
import type { RecordedEvent } from '#event-store';
import type { Ahead } from '#service';
import { acceptEffect, callOffEffect, retryEffect } from './attention.js';
import { order, type OrderCommand, type OrderEvent, orderNotFound, type PlacedOrder } from './domain/order.js';
import { orderTodo, type OrderTodoRow } from './read-models/order-todo.js';

/** By its name in the inbox, and that of a customer, what a person may ask of an order. */
const CHOICES: Readonly<Record<string, OrderCommand>> = {
  cancel: { type: 'Cancel' },
  retry: { type: 'Remind' },
  'call-off': { type: 'CallOff' },
  accept: { type: 'Accept' },
};

/** @throws NotFound when there is no such order */
export function orderAhead(events: readonly RecordedEvent<OrderEvent>[], now: Date): Ahead {
  const state = stateAfter(order, events);
  if (state.status === 'none') throw orderNotFound();
  const { row, since } = todoAfter(events);
  return {
    awaits: row ? awaitsOf(state, row, since, now) : [],
    ...(row?.deadline_at && { deadlineAt: row.deadline_at }),
    choices: Object.entries(CHOICES).map(([name, command]) => ({ name, ...rehearse(command, state) })),
  };
}

/** The order's row in the to-do list, by the code that keeps the list, and since when it wants what it wants. */
function todoAfter(events: readonly RecordedEvent<OrderEvent>[]): { row: OrderTodoRow | undefined; since: string } {
  let row: OrderTodoRow | undefined;
  let since = '';
  for (const event of events) {
    const next = orderTodo.apply(row, event);
    if (next?.wants !== row?.wants) since = event.recordedAt;
    row = next;
  }
  return { row, since };
}

function awaitsOf(state: PlacedOrder, row: OrderTodoRow, since: string, now: Date): Ahead['awaits'] {
  const { due_at, deadline_at, attention_at } = row;
  const reminder = due_at !== null && due_at !== deadline_at && { reminderAt: due_at };
  const from = (service: string, what: string) => ({ what, from: service, since, ...reminder });
  const asked = attention_at !== null && Date.parse(attention_at) <= now.getTime();
  return [
    ...(row.wants === null ? [] : answersAwaited(state).map(([service, what]) => from(service, what))),
    ...(asked ? [{ what: 'a decision in the inbox', from: 'operator', since: attention_at }] : []),
  ];
}

/** Of which service, and what. */
function answersAwaited(state: PlacedOrder): [service: string, what: string][] {
  const goods = formatGoods(state.terms.lines);
  const price = formatMoney(state.terms.total);
  switch (state.status) {
    case 'placed':
      return [['inventory', `${goods} reserved, or out of stock`]];
    case 'stock-reserved':
      return [['payment', `${price} authorized, or declined`]];
    case 'confirmed':
      return [
        ...(state.shipped ? [] : [['inventory', `${goods} shipped`] as [string, string]]),
        ...(state.captured ? [] : [['payment', `${price} captured`] as [string, string]]),
      ];
    case 'completed':
      return [];
    case 'rejected':
    case 'cancelled':
      return [
        ...(state.stockHeld ? [['inventory', `${goods} given back`] as [string, string]] : []),
        ...(state.moneyHeld
          ? [['payment', `${formatMoney(state.otherSum ?? state.terms.total)} given back`] as [string, string]]
          : []),
      ];
  }
}

/** What the decider says to a command now. Nothing is appended. */
function rehearse(command: OrderCommand, state: PlacedOrder): Omit<Ahead['choices'][number], 'name'> {
  try {
    return { allowed: true, detail: effectOf(order.decide(command, state), state) };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    return { allowed: false, code: error.code, detail: error.message };
  }
}

/** In words, what these events lead to: who is asked for what. */
function effectOf([event]: readonly OrderEvent[], before: PlacedOrder): string {
  const goods = formatGoods(before.terms.lines);
  const price = formatMoney(before.terms.total);
  switch (event?.type) {
    case undefined:
      return 'Nothing: it has been done already.';
    case 'OrderCancelled':
      if (before.status === 'placed')
        return `The order is cancelled. Inventory gives back ${goods}, should they be reserved; no money was asked for.`;
      if (before.status === 'stock-reserved')
        return `The order is cancelled. Inventory makes ${goods} available; payment releases ${price}, should it be held.`;
      return callOffEffect(goods, price);
    case 'OrderReminded':
      return retryEffect(event.data.wants, goods, price);
    case 'OrderPaymentMoveAccepted':
      return acceptEffect(before.question!);
    default:
      throw new Error(`${event?.type} is no answer to a person.`);
  }
}
