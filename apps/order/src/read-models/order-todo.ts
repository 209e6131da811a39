/**
 * The watchdog's to-do list: one row per order that waits for other services, or for a person, deleted as soon as it no
 * longer does, unless it waited for a person. It says when the watchdog has to process the order, because its deadline
 * passes or a reminder is due, from when on the order needs a person, and when it was last decided about.
 */
import { idOf } from '#event-store';
import { type Attended, attendedAt, projection } from '#projections';
import type { OrderEvent, Want } from '../domain/order.js';

export interface OrderTodoRow extends Attended {
  order_id: string;
  /** Null when it waits for a person only. */
  wants: Want | null;
  /** Whether the payment provider did something by itself that no person has decided about. */
  question: boolean;
  /** How many reminders of it have been sent. */
  reminders: number;
  /** Null past the pivot, and for an order that is off: they have no deadline. */
  deadline_at: string | null;
  /** Null when only a person can help. */
  due_at: string | null;
  /** Null before the pivot: there the deadline decides. */
  attention_at: string | null;
}

type Waiting = Omit<OrderTodoRow, 'attended_at'>;

const nothing = { wants: null, question: false, reminders: 0, deadline_at: null, due_at: null, attention_at: null };

/** The first reminder comes after a minute, each further one after twice as long, up to an hour. */
const FIRST_REMINDER_MS = 60_000;
const LAST_REMINDER_MS = 60 * 60_000;
/** How long an order waits for fulfilment or a return before a person is asked. Another limit: libs/service/src/holds.ts. */
const ATTENTION_AFTER_MS = 60 * 60_000;

export const orderTodo = projection<OrderTodoRow, OrderEvent>({
  name: 'order-todo',
  table: 'order_todo',
  categories: ['order'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(before, event) {
    const at = event.recordedAt;
    /** What the order waits for now; `row` is what it waited for. */
    const waits = (row: Waiting | undefined): Waiting | undefined => {
      const wants = (want: Want, deadline_at: string | null): Waiting => ({
        order_id: idOf(event.stream),
        wants: want,
        question: row?.question ?? false,
        reminders: 0,
        deadline_at,
        due_at: nextLook(at, 0, deadline_at),
        attention_at: row?.question ? row.attention_at : deadline_at === null ? later(at, ATTENTION_AFTER_MS) : null,
      });
      if (event.type === 'OrderPlaced') return wants('stock', event.data.deadlineAt);
      if (event.type === 'OrderPaymentRefused') {
        // An order that was settled has no row: this money arrived later, and does not go back by itself.
        return { ...(row?.wants ? row : wants('return', null)), due_at: null, attention_at: at };
      }
      if (event.type === 'OrderPaymentMoved') {
        const idle = { wants: null, reminders: 0, deadline_at: null, due_at: null };
        return { ...idle, order_id: idOf(event.stream), ...row, question: true, attention_at: at };
      }
      if (!row) return undefined;
      const answered = (): Waiting | undefined => {
        if (!row.question) return row;
        const attention_at = row.deadline_at === null ? later(at, ATTENTION_AFTER_MS) : null;
        return row.wants === null ? undefined : { ...row, question: false, attention_at };
      };
      switch (event.type) {
        case 'OrderStockReserved':
          return wants('payment', row.deadline_at);
        case 'OrderConfirmed':
          return wants('fulfilment', null);
        case 'OrderRejected':
        case 'OrderCancelled':
          return wants('return', null);
        case 'OrderCompleted':
        case 'OrderSettled':
          return row.question ? { ...row, wants: null, deadline_at: null, due_at: null } : undefined;
        case 'OrderReminded': {
          const reminders = event.data.attempt;
          const due_at = nextLook(at, reminders, row.deadline_at);
          // Reminders continue while the order waits for a person; one that a person asked for is given the full time.
          const attention_at = event.metadata.actor ? later(at, ATTENTION_AFTER_MS) : row.attention_at;
          return { ...row, reminders, due_at, attention_at };
        }
        case 'OrderStockShipped':
        case 'OrderPaymentCaptured':
        case 'OrderStockReleased':
          return row;
        case 'OrderPaymentReturned':
        case 'OrderPaymentMoveAccepted':
          return answered();
      }
    };
    const next = waits(before && (before.wants !== null || before.question) ? before : undefined);
    const attended_at = attendedAt(before, next, event);
    if (next) return { ...next, attended_at };
    return attended_at === null ? undefined : { ...nothing, order_id: idOf(event.stream), attended_at };
  },
});

/** The next due time of an order that started to wait, or last sent a reminder, at `at`. */
function nextLook(at: string, reminders: number, deadlineAt: string | null): string {
  const reminderAt = later(at, Math.min(LAST_REMINDER_MS, FIRST_REMINDER_MS * 2 ** reminders));
  return deadlineAt !== null && deadlineAt < reminderAt ? deadlineAt : reminderAt;
}

function later(at: string, ms: number): string {
  return new Date(Date.parse(at) + ms).toISOString();
}
