/** What the order service takes and shows over HTTP. The zod schemas check requests and make the OpenAPI document. */
import { z } from 'zod';
import type { OrderSummary } from '../../../../prisma/order/client/client.js';
import { line, MAX_AMOUNT_MINOR, money, orderId, sku } from '#contracts';
import type { RecordedEvent } from '#event-store';
import { isSettled, type Order, order, type OrderEvent, type OrderLine } from '../domain/order.js';

export const placeOrderBody = z
  .strictObject({
    customerId: z.uuid().toLowerCase().describe('Who orders'),
    lines: z.array(line).min(1).max(100).describe('What is ordered; each SKU once'),
    payment: z.strictObject({
      token: z.string().min(1).max(255).describe('Stands for the means of payment: tok_approved, tok_declined, …'),
    }),
  })
  .meta({ id: 'OrderRequest' });

export const priceBody = z.strictObject({
  amountMinor: z.int().min(0).max(MAX_AMOUNT_MINOR).describe('In minor units: 1299 is 12.99 EUR'),
  currency: money.shape.currency,
});

const status = z.enum(['placed', 'stock-reserved', 'confirmed', 'completed', 'rejected', 'cancelled']);

export const listOrdersQuery = z.object({
  customerId: z.uuid().toLowerCase().optional(),
  status: status.optional(),
  cursor: z.string().max(200).optional().describe('`next` of the page before'),
  limit: z.coerce.number().int().min(1).max(200).default(50),
});

/**
 * A moment (ISO 8601) or a revision (a whole number). What has not come yet is not an error: at a moment in the future, or
 * a revision that there is not, the order is taken to be as it is now.
 */
export const historyQuery = z.object({
  asOf: z
    .union(
      [
        z
          .string()
          .regex(/^\d{1,9}$/)
          .transform(Number),
        z.iso.datetime({ offset: true }),
      ],
      {
        error: 'asOf is a revision (a whole number) or a time (ISO 8601), whose + is %2B in a URL.',
      },
    )
    .optional()
    .describe(
      'Shows the order as it was at that revision (its events count from 0), or at that time (ISO 8601, with an offset ' +
        'or Z). Before the first event there is nothing: 404 `order-not-placed-yet`. After the last, it is as it is now.',
    ),
});

export const orderView = z
  .object({
    orderId,
    status,
    reason: z.enum(['out-of-stock', 'payment-declined', 'customer', 'deadline', 'operator']).optional(),
    settled: z.boolean().describe("Nothing more will happen to the order's stock and money"),
    customerId: z.uuid(),
    lines: z.array(line.extend({ unitPrice: money })),
    total: money,
    placedAt: z.iso.datetime(),
  })
  .meta({ id: 'Order' });

export const orderPage = z
  .object({
    items: z.array(orderView),
    next: z.string().optional().describe('`cursor` of the next page, where there is one'),
  })
  .meta({ id: 'OrderPage' });

export const historyView = z
  .object({
    order: orderView,
    events: z.array(
      z.object({
        revision: z.int(),
        type: z.string(),
        at: z.iso.datetime(),
        data: z.record(z.string(), z.unknown()),
        actor: z.string().optional().describe('Who decided it, where that was an operator'),
        reason: z.string().optional().describe("The operator's reason"),
      }),
    ),
  })
  .meta({ id: 'History' });

export const priceView = z.object({ sku, price: money, since: z.iso.datetime() }).meta({ id: 'Price' });

export type OrderView = z.infer<typeof orderView>;

/** An order as its own stream has it. */
export function viewOf(orderId: string, state: Exclude<Order, { status: 'none' }>): OrderView {
  const { customerId, lines, total, placedAt } = state.terms;
  const reason = 'reason' in state ? { reason: state.reason } : {};
  return {
    orderId,
    status: state.status,
    ...reason,
    settled: isSettled(state),
    customerId,
    lines: [...lines],
    total,
    placedAt,
  };
}

/** An order as the read model has it. */
export function viewOfRow(row: OrderSummary): OrderView {
  return {
    orderId: row.orderId,
    status: row.status as OrderView['status'],
    ...(row.reason === null ? {} : { reason: row.reason as OrderView['reason'] }),
    settled: row.settled,
    customerId: row.customerId,
    lines: row.lines as unknown as OrderLine[],
    total: { amountMinor: Number(row.totalMinor), currency: row.currency },
    placedAt: row.placedAt.toISOString(),
  };
}

/**
 * The history of an order up to a revision or a moment, that one included, and its state then; undefined when it began
 * later. The payment token is not shown: it is as good as money.
 */
export function historyOf(
  orderId: string,
  events: readonly RecordedEvent<OrderEvent>[],
  asOf: number | string | undefined,
): z.infer<typeof historyView> | undefined {
  const until = typeof asOf === 'string' ? Date.parse(asOf) : Infinity;
  // A clock of another instance may be behind: what comes after a later event is no past without it.
  const next = events.findIndex((e) =>
    typeof asOf === 'number' ? e.revision > asOf : Date.parse(e.recordedAt) > until,
  );
  const past = next < 0 ? events : events.slice(0, next);
  const state = past.reduce<Order>((s, event) => order.evolve(s, event), order.initialState);
  if (state.status === 'none') return undefined;
  return {
    order: viewOf(orderId, state),
    events: past.map(({ revision, type, recordedAt, data, metadata: { actor, reason } }) => {
      const { paymentToken: _, ...shown } = data as Record<string, unknown>;
      return { revision, type, at: recordedAt, data: shown, ...(actor && { actor, reason }) };
    }),
  };
}
