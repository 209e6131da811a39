/** What the payment service shows over HTTP. The zod schemas make the OpenAPI document. */
import { z } from 'zod';
import type { PaymentSummary } from '../../../../prisma/payment/client/client.js';
import { money, orderId } from '#contracts';
import type { PaymentCommand } from '../domain/payment.js';
import type { Webhook } from '../webhook.js';

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
    ]),
    reason: z.string().optional().describe('Why the provider declined'),
    amount: money.optional(),
    capturedMinor: z.int(),
    refundedMinor: z.int(),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Payment' });

export const ledgerQuery = z.object({
  orderId: orderId.optional(),
  after: z.coerce.number().int().min(0).default(0).describe('`next` of the page before'),
  limit: z.coerce.number().int().min(1).max(1_000).default(100),
});

export const ledgerView = z
  .object({
    entries: z.array(z.looseObject({ position: z.int(), orderId, type: z.string(), at: z.iso.datetime() })),
    totals: z
      .array(
        z.object({
          currency: money.shape.currency,
          heldMinor: z.int(),
          capturedMinor: z.int(),
          refundedMinor: z.int(),
          netMinor: z.int(),
        }),
      )
      .describe('Over all orders, or the one that was asked for'),
    next: z.int().optional(),
  })
  .meta({ id: 'LedgerPage' });

export function paymentViewOf(row: PaymentSummary): z.infer<typeof paymentView> {
  const { amountMinor, currency, reason } = row;
  return {
    orderId: row.orderId,
    status: row.status as z.infer<typeof paymentView>['status'],
    ...(reason === null ? {} : { reason }),
    ...(amountMinor === null || currency === null ? {} : { amount: { amountMinor: Number(amountMinor), currency } }),
    capturedMinor: Number(row.capturedMinor),
    refundedMinor: Number(row.refundedMinor),
    updatedAt: row.updatedAt.toISOString(),
  };
}

/** What a webhook tells the payment; undefined when it is no verdict. */
export function newsOf({ data }: Webhook): PaymentCommand | undefined {
  switch (data.status) {
    case 'authorized':
      return { type: 'RecordAuthorized', authorizationId: data.authorizationId, amount: data.authorized };
    case 'declined':
      return { type: 'RecordDeclined', reason: data.reason };
    case 'captured':
      return { type: 'RecordCaptured' };
    case 'refunded':
      return { type: 'RecordRefunded' };
    case 'voided':
      return { type: 'RecordVoided', authorizationId: data.authorizationId };
    case 'pending':
      return undefined;
  }
}
