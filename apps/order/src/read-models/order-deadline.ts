/** The watchdog's to-do list: one row per order that is not decided yet, gone as soon as it is. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { OrderEvent } from '../order.js';

export interface OrderDeadlineRow {
  order_id: string;
  due_at: string;
}

export const orderDeadline = projection<OrderDeadlineRow, OrderEvent>({
  name: 'order-deadline',
  table: 'order_deadline',
  categories: ['order'],
  keyColumns: ['order_id'],

  key(event) {
    switch (event.type) {
      case 'OrderPlaced':
      case 'OrderConfirmed':
      case 'OrderRejected':
      case 'OrderCancelled':
        return { order_id: idOf(event.stream) };
      default:
        return undefined; // Nothing else starts a deadline, or ends one.
    }
  },

  apply(_row, event) {
    if (event.type !== 'OrderPlaced') return undefined;
    return { order_id: idOf(event.stream), due_at: event.data.deadlineAt };
  },
});
