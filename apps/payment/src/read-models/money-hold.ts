/**
 * Money that is held until the order decides: one row per payment that is authorized, and nothing else yet. Of one that
 * waited for a person it stays.
 */
import { idOf } from '#event-store';
import { type Attended, projection, rowAtRest } from '#projections';
import type { PaymentEvent } from '../domain/payment.js';

export interface MoneyHoldRow extends Attended {
  order_id: string;
  held_since: string;
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
    const order_id = idOf(event.stream);
    if (event.type === 'PaymentAuthorized') {
      const attention_at = attentionAt(event.recordedAt, event.data.expiresAt);
      return { order_id, held_since: event.recordedAt, attention_at, attended_at: null };
    }
    return rowAtRest(row, event);
  },
});

function attentionAt(heldSince: string, expiresAt: string | undefined): string {
  const heldMs = Date.parse(heldSince);
  const lastsMs = expiresAt === undefined ? Infinity : Math.max(0, Date.parse(expiresAt) - heldMs);
  return new Date(heldMs + Math.min(ATTENTION_AFTER_MS, lastsMs / 2)).toISOString();
}
