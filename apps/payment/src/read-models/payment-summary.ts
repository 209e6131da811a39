/** One row per order that was asked to pay: what `GET /payments/{orderId}` shows. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { Payment, PaymentEvent } from '../domain/payment.js';

export interface PaymentSummaryRow {
  order_id: string;
  /** 'disputed', and 'refunded' or 'voided' of a captured payment, are the provider's doing. */
  status: Exclude<Payment['status'], 'none'> | 'disputed';
  /** Why it was declined or refused. */
  reason: string | null;
  /** What was asked for, and else what was held; null for a payment that was called off before it was requested. */
  amount_minor: number | null;
  currency: string | null;
  captured_minor: number;
  refunded_minor: number;
  /** When the provider lets go of what it holds, if it said so. Null when nothing is held. */
  hold_expires_at: string | null;
  updated_at: string;
}

export const paymentSummary = projection<PaymentSummaryRow, PaymentEvent>({
  name: 'payment-summary',
  table: 'payment_summary',
  categories: ['payment'],
  keyColumns: ['order_id'],
  rowPerStream: true,
  key: (event) => ({ order_id: idOf(event.stream) }),

  apply(before, event) {
    const row: PaymentSummaryRow = {
      order_id: idOf(event.stream),
      status: 'requested',
      reason: null,
      amount_minor: null,
      currency: null,
      captured_minor: 0,
      refunded_minor: 0,
      hold_expires_at: null,
      ...before,
      updated_at: event.recordedAt,
    };
    const ended = { ...row, hold_expires_at: null };
    switch (event.type) {
      case 'PaymentRequested': {
        const { amountMinor, currency } = event.data.amount;
        return { ...row, amount_minor: amountMinor, currency };
      }
      case 'PaymentAuthorized': {
        const { amountMinor, currency } = event.data.amount;
        const amount = row.currency === null ? { amount_minor: amountMinor, currency } : {};
        return { ...row, ...amount, status: 'authorized', hold_expires_at: event.data.expiresAt ?? null };
      }
      case 'PaymentDeclined':
        return { ...row, status: 'declined', reason: event.data.reason };
      case 'PaymentCaptureRefused':
        return { ...row, status: 'capture-refused', reason: event.data.reason };
      case 'PaymentMiscaptured':
        return {
          ...ended,
          status: 'capture-refused',
          reason: 'amount-mismatch',
          captured_minor: event.data.amount.amountMinor,
        };
      case 'PaymentRefundRefused':
        return { ...row, status: 'refund-refused', reason: event.data.reason };
      case 'PaymentRefundedInPart':
        return {
          ...row,
          status: 'refund-refused',
          reason: 'amount-mismatch',
          refunded_minor: event.data.amount.amountMinor,
        };
      case 'PaymentCaptureRequested':
        return { ...row, status: 'capturing' };
      case 'PaymentCaptured':
        // What was refused before has succeeded.
        return { ...ended, status: 'captured', reason: null, captured_minor: event.data.amount.amountMinor };
      case 'PaymentReturnRequested':
        return { ...row, status: 'returning' };
      case 'PaymentVoided':
        return { ...ended, status: 'voided' };
      case 'PaymentRefunded':
        return { ...ended, status: 'refunded', reason: null, refunded_minor: event.data.amount.amountMinor };
      case 'PaymentBlocked':
        return { ...row, status: 'blocked' };
      case 'PaymentHeldTwice':
      case 'PaymentHoldReleased':
        return row;
      case 'PaymentMovedByProvider': {
        const { how, amount } = event.data;
        switch (how) {
          case 'captured':
            return { ...row, captured_minor: amount.amountMinor };
          case 'refunded': {
            const status = amount.amountMinor >= row.captured_minor ? 'refunded' : row.status;
            return { ...row, status, refunded_minor: amount.amountMinor };
          }
          case 'voided':
            return { ...row, status: 'voided', refunded_minor: row.captured_minor };
          case 'disputed':
            return { ...row, status: 'disputed' };
        }
      }
    }
  },
});
