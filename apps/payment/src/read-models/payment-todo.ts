/** The cashier's to-do list: one row per payment that needs a call to the provider, deleted with the answer. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { PaymentEvent } from '../domain/payment.js';

export interface PaymentTodoRow {
  order_id: string;
  step: 'authorize' | 'capture' | 'return';
  /** The position of the event that asked for the step. */
  position: number;
  due_at: string;
}

export const paymentTodo = projection<PaymentTodoRow, PaymentEvent>({
  name: 'payment-todo',
  table: 'payment_todo',
  categories: ['payment'],
  keyColumns: ['order_id'],
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(_row, event) {
    const todo = { order_id: idOf(event.stream), position: Number(event.position), due_at: event.recordedAt };
    switch (event.type) {
      case 'PaymentRequested':
        return { ...todo, step: 'authorize' };
      case 'PaymentCaptureRequested':
        return { ...todo, step: 'capture' };
      case 'PaymentReturnRequested':
        return { ...todo, step: 'return' };
      case 'PaymentAuthorized':
      case 'PaymentDeclined':
      case 'PaymentCaptured':
      case 'PaymentVoided':
      case 'PaymentRefunded':
      case 'PaymentCaptureRefused':
      case 'PaymentRefundRefused':
      case 'PaymentBlocked':
        return undefined;
    }
  },
});
