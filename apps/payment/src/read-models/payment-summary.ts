/** One row per order that was asked to pay: what `GET /payments/{orderId}` shows. */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { Payment, PaymentEvent } from '../domain/payment.js';

export interface PaymentSummaryRow {
  order_id: string;
  status: Exclude<Payment['status'], 'none'>;
  /** Why it was declined or refused. */
  reason: string | null;
  /** Null for a payment that was called off before it was requested. */
  amount_minor: number | null;
  currency: string | null;
  captured_minor: number;
  refunded_minor: number;
  updated_at: string;
}

export const paymentSummary = projection<PaymentSummaryRow, PaymentEvent>({
  name: 'payment-summary',
  table: 'payment_summary',
  categories: ['payment'],
  keyColumns: ['order_id'],
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
      ...before,
      updated_at: event.recordedAt,
    };
    switch (event.type) {
      case 'PaymentRequested':
      case 'PaymentAuthorized': {
        const { amountMinor, currency } = event.data.amount;
        const status = event.type === 'PaymentRequested' ? 'requested' : 'authorized';
        return { ...row, status, amount_minor: amountMinor, currency };
      }
      case 'PaymentDeclined':
        return { ...row, status: 'declined', reason: event.data.reason };
      case 'PaymentCaptureRefused':
        return { ...row, status: 'capture-refused', reason: event.data.reason };
      case 'PaymentRefundRefused':
        return { ...row, status: 'refund-refused', reason: event.data.reason };
      case 'PaymentCaptureRequested':
        return { ...row, status: 'capturing' };
      case 'PaymentCaptured':
        return { ...row, status: 'captured', captured_minor: event.data.amount.amountMinor };
      case 'PaymentReturnRequested':
        return { ...row, status: 'returning' };
      case 'PaymentVoided':
        return { ...row, status: 'voided' };
      case 'PaymentRefunded':
        return { ...row, status: 'refunded', refunded_minor: event.data.amount.amountMinor };
      case 'PaymentBlocked':
        return { ...row, status: 'blocked' };
    }
  },
});
