/**
 * The requests and answers of the order service over HTTP. The zod schemas check requests and describe both in the OpenAPI
 * document.
 */
import { z } from 'zod';
import type { OrderSummary, Price as PriceRow } from '../../../../prisma/order/client/client.js';
import { currentCurrency, line, MAX_AMOUNT_MINOR, money, orderId, sku } from '#contracts';
import type { RecordedEvent } from '#event-store';
import { cursor, moment, pageLimit, pageOf } from '#nest';
import { freeText, withoutSealed } from '#service';
import { isSettled, type Order, order, type OrderEvent, type OrderLine } from '../domain/order.js';
import type { Recipient } from '../recipient.js';
import { countries } from './countries.js';

/** An order that exists. Its statuses and reasons are checked against the schemas below, in both directions. */
type PlacedOrder = Exclude<Order, { status: 'none' }>;
type Status = PlacedOrder['status'];
type Reason = Extract<PlacedOrder, { reason: string }>['reason'];

/** One text in one form: a letter with an accent may come as one character or as two. */
const personalText = (max: number) => freeText(max).normalize('NFC');

const recipient = z
  .strictObject({
    name: personalText(200),
    email: z.email().max(254),
    address: z.strictObject({
      street: personalText(200),
      postalCode: personalText(20),
      city: personalText(100),
      country: z
        .string()
        .regex(new RegExp(`^(${countries.join('|')})$`), 'A country is a code of ISO 3166-1 alpha-2, such as DE.')
        .describe('ISO 3166-1 alpha-2 code'),
    }),
  })
  .meta({ id: 'Recipient' }) satisfies z.ZodType<Recipient>;

export const placeOrderBody = z
  .strictObject({
    customerId: z
      .uuid()
      .toLowerCase()
      .optional()
      .describe('For whom a clerk orders; by default whoever sends the request'),
    lines: z.array(z.strictObject(line.shape)).min(1).max(100).describe('What is ordered; each SKU only once'),
    payment: z.strictObject({
      token: z.string().min(1).max(255).describe('Token of the means of payment: tok_approved, tok_declined, …'),
    }),
    recipient: recipient
      .optional()
      .describe('Who it is sent to. It is kept sealed with a key of the customer, until they have it erased'),
    expectedTotal: z
      .strictObject(money.shape)
      .optional()
      .describe(
        'The total that the customer was shown. When prices have changed since, the order is refused: 409 `price-changed`, ' +
          'with the present `total`',
      ),
  })
  .meta({ id: 'OrderRequest' });

export const priceBody = z.strictObject({
  amountMinor: z
    .int()
    .min(0)
    .max(MAX_AMOUNT_MINOR)
    .describe('In minor units of ISO 4217: 1299 is 12.99 EUR, 1,299 JPY or 1.299 KWD. The limit is the same for all'),
  currency: currentCurrency,
});

const status = z.enum([
  'placed',
  'stock-reserved',
  'confirmed',
  'completed',
  'rejected',
  'cancelled',
]) satisfies z.ZodType<Status>;

const reason = z.enum([
  'out-of-stock',
  'payment-declined',
  'customer',
  'deadline',
  'operator',
]) satisfies z.ZodType<Reason>;

export const listOrdersQuery = z.object({
  customerId: z
    .uuid()
    .toLowerCase()
    .optional()
    .describe('Only the orders of this customer; customers themselves get only their own'),
  status: status.optional(),
  cursor: cursor(moment, orderId),
  limit: pageLimit,
});

export const listPricesQuery = z.object({ cursor: cursor(sku), limit: pageLimit });

/**
 * A moment (ISO 8601) or a revision (a whole number). The future is not an error: for a later moment, or a revision that
 * does not exist yet, the order is shown as it is now.
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
        'or Z). An order exists from its `placedAt`, and each later event counts from when it was recorded. Before ' +
        '`placedAt`: 404 `order-not-placed-yet`. After the last event: the order as it is now.',
    ),
});

export const orderView = z
  .object({
    orderId,
    status,
    reason: reason.optional(),
    settled: z.boolean().describe("Nothing more will happen to the order's stock and money"),
    customerId: z.uuid(),
    lines: z.array(line.extend({ unitPrice: money })),
    total: money,
    placedAt: z.iso.datetime(),
    recipient: recipient
      .nullable()
      .optional()
      .describe(
        'Where one order is read by its customer or by a clerk: who it is sent to, if it was said; null when that has been erased',
      ),
  })
  .meta({ id: 'Order' });

export const orderPage = pageOf(orderView).meta({ id: 'OrderPage' });

export const historyView = z
  .object({
    order: orderView,
    events: z.array(
      z.object({
        revision: z.int(),
        type: z.string(),
        at: z.iso.datetime(),
        data: z.record(z.string(), z.unknown()),
        actor: z.string().optional().describe('Who had it done, if a person did; only staff are told'),
        reason: z.string().optional().describe("An operator's reason; only staff are told"),
      }),
    ),
  })
  .meta({ id: 'History' });

export const priceView = z.object({ sku, price: money, since: z.iso.datetime() }).meta({ id: 'Price' });

export const withdrawnView = z.object({ sku }).meta({ id: 'Withdrawn' });

export const pricePage = pageOf(priceView).meta({ id: 'PricePage' });

export const customerIdParam = z.uuid().toLowerCase();

export const personalDataQuery = z.object({ cursor: cursor(moment, orderId), limit: pageLimit });

const erasure = {
  status: z
    .enum(['none', 'kept', 'requested', 'erased'])
    .describe(
      'Of the recipients: there has been none; there are some; they are to be erased, as soon as their orders are settled ' +
        'and the time is over for which they have to be kept; they are erased',
    ),
  notBefore: z.iso.datetime().optional().describe('Until when they have to be kept'),
};

export const personalDataView = pageOf(orderView)
  .extend({ customerId: z.uuid(), erasure: z.object(erasure) })
  .meta({ id: 'PersonalData' });

export const erasureView = z.object({ customerId: z.uuid(), ...erasure }).meta({ id: 'Erasure' });

export const erasureQuery = z.object({
  reason: freeText(2_000)
    .optional()
    .describe('Why; an operator has to say it. It is kept, and in a URL: nothing personal belongs here'),
});

export type ErasureView = z.infer<typeof erasureView>;
export type OrderView = z.infer<typeof orderView>;
export type OrderPage = z.infer<typeof orderPage>;
export type PriceView = z.infer<typeof priceView>;
export type PricePage = z.infer<typeof pricePage>;

/** An order as its own stream has it. */
export function viewOf(orderId: string, state: PlacedOrder): OrderView {
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
    status: row.status as Status,
    ...(row.reason === null ? {} : { reason: row.reason as Reason }),
    settled: row.settled,
    customerId: row.customerId,
    lines: row.lines as unknown as OrderLine[],
    total: { amountMinor: Number(row.totalMinor), currency: row.currency },
    placedAt: row.placedAt.toISOString(),
  };
}

export function priceViewOf({ sku, amountMinor, currency, since }: PriceRow): PriceView {
  return { sku, price: { amountMinor: Number(amountMinor), currency }, since: since.toISOString() };
}

/**
 * The history of an order up to and including a revision or a moment, and its state then; undefined when it was placed
 * later. Payment token and recipient are not shown as they are stored.
 */
export function historyOf(
  orderId: string,
  events: readonly RecordedEvent<OrderEvent>[],
  asOf: number | string | undefined,
  isForStaff: boolean,
): z.infer<typeof historyView> | undefined {
  const until = typeof asOf === 'string' ? Date.parse(asOf) : Infinity;
  // The clock of another instance may be behind: an event that follows a later one cannot be shown without that one.
  const next = events.findIndex((e) => (typeof asOf === 'number' ? e.revision > asOf : happenedMs(e) > until));
  const past = next < 0 ? events : events.slice(0, next);
  const state = past.reduce<Order>((s, event) => order.evolve(s, event), order.initialState);
  if (state.status === 'none') return undefined;
  return {
    order: viewOf(orderId, state),
    events: past.map(({ revision, type, recordedAt, data, metadata: { actor, reason } }) => {
      return { revision, type, at: recordedAt, data: withoutSealed(data), ...(isForStaff && { actor, reason }) };
    }),
  };
}

/**
 * From when an event counts. An order says itself when it was placed, to the service's clock and some milliseconds before
 * that was recorded; where the store's clock is behind, the record is the earlier one.
 */
function happenedMs({ type, data, recordedAt }: RecordedEvent<OrderEvent>): number {
  const recordedMs = Date.parse(recordedAt);
  return type === 'OrderPlaced' ? Math.min(recordedMs, Date.parse(data.placedAt)) : recordedMs;
}
