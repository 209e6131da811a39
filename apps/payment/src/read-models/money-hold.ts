/** Money that is held until the order decides: one row per payment that is authorized, and nothing else yet. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { PaymentEvent } from '../domain/payment.js';

export interface MoneyHoldRow {
  order_id: string;
  held_since: string;
}

export const moneyHold = projection<MoneyHoldRow, PaymentEvent>({
  name: 'money-hold',
  table: 'money_hold',
  categories: ['payment'],
  keyColumns: ['order_id'],
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(row, event) {
    if (event.type === 'PaymentHeldTwice' || event.type === 'PaymentHoldReleased') return row;
    if (event.type !== 'PaymentAuthorized') return undefined;
    return { order_id: idOf(event.stream), held_since: event.recordedAt };
  },
});
