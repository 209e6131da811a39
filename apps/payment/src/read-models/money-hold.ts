/** Money that is held until the order decides: one row per payment that is authorized, and nothing else yet. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { PaymentEvent } from '../domain/payment.js';

export interface MoneyHoldRow {
  order_id: string;
  held_since: string;
  /** From then on it waits for a person: after a day, or half of the time until the hold ends. */
  attention_at: string;
}

/** How long money waits for its order's decision before a person is asked, at the longest. */
const ATTENTION_AFTER_MS = 24 * 60 * 60_000;

export const moneyHold = projection<MoneyHoldRow, PaymentEvent>({
  name: 'money-hold',
  table: 'money_hold',
  categories: ['payment'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(row, event) {
    if (event.type === 'PaymentHeldTwice' || event.type === 'PaymentHoldReleased') return row;
    if (event.type !== 'PaymentAuthorized') return undefined;
    return {
      order_id: idOf(event.stream),
      held_since: event.recordedAt,
      attention_at: attentionAt(event.recordedAt, event.data.expiresAt),
    };
  },
});

function attentionAt(heldSince: string, expiresAt: string | undefined): string {
  const heldMs = Date.parse(heldSince);
  const lastsMs = expiresAt === undefined ? Infinity : Math.max(0, Date.parse(expiresAt) - heldMs);
  return new Date(heldMs + Math.min(ATTENTION_AFTER_MS, lastsMs / 2)).toISOString();
}
