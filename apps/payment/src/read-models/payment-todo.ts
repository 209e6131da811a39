/** The cashier's to-do list: one row per payment that needs a call to the provider, deleted with the answer. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { PaymentEvent } from '../domain/payment.js';

export interface PaymentTodoRow {
  order_id: string;
  /** Null when only second holds are to be given back. */
  step: 'authorize' | 'capture' | 'return' | null;
  /** How many second holds are to be given back. */
  second_holds: number;
  /** The position of the event that asked for a call last. */
  position: number;
  due_at: string;
}

export const paymentTodo = projection<PaymentTodoRow, PaymentEvent>({
  name: 'payment-todo',
  table: 'payment_todo',
  categories: ['payment'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(row, event) {
    const todo = {
      order_id: idOf(event.stream),
      step: row?.step ?? null,
      second_holds: row?.second_holds ?? 0,
      position: Number(event.position),
      due_at: event.recordedAt,
    };
    switch (event.type) {
      case 'PaymentRequested':
        return { ...todo, step: 'authorize' };
      case 'PaymentCaptureRequested':
        return { ...todo, step: 'capture' };
      case 'PaymentReturnRequested':
        return { ...todo, step: 'return' };
      case 'PaymentHeldTwice':
        return { ...todo, second_holds: todo.second_holds + 1 };
      case 'PaymentHoldReleased': {
        const second_holds = todo.second_holds - 1;
        return row && (row.step || second_holds > 0) ? { ...row, second_holds } : undefined;
      }
      case 'PaymentMovedByProvider':
        return row;
      case 'PaymentAuthorized':
      case 'PaymentDeclined':
      case 'PaymentCaptured':
      case 'PaymentMiscaptured':
      case 'PaymentVoided':
      case 'PaymentRefunded':
      case 'PaymentRefundedInPart':
      case 'PaymentCaptureRefused':
      case 'PaymentRefundRefused':
      case 'PaymentBlocked':
        return row && row.second_holds > 0 ? { ...row, step: null } : undefined;
    }
  },
});
