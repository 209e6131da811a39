/** The answers of the payment service over HTTP. The zod schemas describe them in the OpenAPI document. */
import { z } from 'zod';
import type { PaymentSummary } from '../../../../prisma/payment/client/client.js';
import { money, orderId } from '#contracts';
import { inDigits } from '#nest';
import type { PaymentSummaryRow } from '../read-models/payment-summary.js';
import type { Totals } from '../simulator/ledger.js';

/** Checked against the schema below, in both directions. */
type Status = PaymentSummaryRow['status'];

export const paymentView = z
  .object({
    orderId,
    status: z.enum([
      'requested',
      'authorized',
      'declined',
      'capturing',
      'capture-refused',
      'captured',
      'returning',
      'voided',
      'refund-refused',
      'refunded',
      'blocked',
      'disputed',
    ]) satisfies z.ZodType<Status>,
    reason: z.string().optional().describe('Why the provider declined or refused'),
    amount: money.optional(),
    capturedMinor: z.int(),
    refundedMinor: z.int(),
    holdExpiresAt: z.iso
      .datetime()
      .optional()
      .describe('When the provider lets go of the money that it holds, if it said so'),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Payment' });

export const ledgerQuery = z.object({
  orderId: orderId.optional(),
  after: inDigits(z.int().min(0)).prefault(0).describe('`next` of the previous page'),
  limit: inDigits(z.int().min(1).max(1_000)).prefault(100),
});

/** In digits: a sum over many orders may be more than a JSON number holds exactly. */
const sumMinor = z
  .string()
  .regex(/^-?\d+$/)
  .describe('In minor units, as decimal digits');

export const ledgerView = z
  .object({
    entries: z.array(z.looseObject({ position: z.int(), orderId, type: z.string(), at: z.iso.datetime() })),
    totals: z
      .array(
        z.object({
          currency: money.shape.currency,
          heldMinor: sumMinor,
          capturedMinor: sumMinor,
          refundedMinor: sumMinor,
          netMinor: sumMinor,
        }),
      )
      .describe('Over all orders, or over `orderId` alone'),
    next: z.int().optional(),
  })
  .meta({ id: 'LedgerPage' });

/** The sums of the ledger as digits. */
export function totalsViewOf(totals: readonly Totals[]): z.infer<typeof ledgerView>['totals'] {
  return totals.map(({ currency, heldMinor, capturedMinor, refundedMinor, netMinor }) => ({
    currency,
    heldMinor: `${heldMinor}`,
    capturedMinor: `${capturedMinor}`,
    refundedMinor: `${refundedMinor}`,
    netMinor: `${netMinor}`,
  }));
}

export type PaymentView = z.infer<typeof paymentView>;

export function paymentViewOf(row: PaymentSummary): PaymentView {
  const { amountMinor, currency, reason } = row;
  return {
    orderId: row.orderId,
    status: row.status as Status,
    ...(reason === null ? {} : { reason }),
    ...(amountMinor === null || currency === null ? {} : { amount: { amountMinor: Number(amountMinor), currency } }),
    capturedMinor: Number(row.capturedMinor),
    refundedMinor: Number(row.refundedMinor),
    ...(row.holdExpiresAt === null ? {} : { holdExpiresAt: row.holdExpiresAt.toISOString() }),
    updatedAt: row.updatedAt.toISOString(),
  };
}
