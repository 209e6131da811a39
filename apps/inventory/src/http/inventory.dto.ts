/**
 * The requests and answers of the inventory service over HTTP. The zod schemas check requests and describe both in the
 * OpenAPI document.
 */
import { z } from 'zod';
import type { ReservationSummary, StockLevel } from '../../../../prisma/inventory/client/client.js';
import { line, orderId, quantity, sku } from '#contracts';
import { cursor, pageLimit, pageOf } from '#nest';
import type { Reservation } from '../domain/reservation.js';

/** Checked against the schema below, in both directions. */
type Status = Exclude<Reservation['status'], 'none'>;

export const receiptBody = z.strictObject({ quantity: quantity.describe('Units that came in') });

/** What can be received can be counted: the stock of a SKU may come to more than one request may bring. */
export const recountBody = z.strictObject({
  counted: z.int().min(0).describe('Units on the shelf, including reserved ones'),
  asOf: z
    .string()
    .regex(/^inventory:\d{1,19}$/, 'asOf is the Larder-Position of an answer of inventory, for example inventory:52.')
    .optional()
    .describe(
      'The `Larder-Position` of the answer that showed the stock when the counting began, for example of `GET /stock`: what ' +
        'was shipped or received since then is then not taken for a difference. Without it the count is of this moment',
    ),
});

const units = z.int().describe('Units');

export const stockView = z.object({ sku, available: units, reserved: units, shipped: units }).meta({ id: 'Stock' });

export const recountView = stockView
  .extend({
    difference: units
      .optional()
      .describe('By how many units the books were corrected; only entries of the first releases do not know it'),
  })
  .meta({ id: 'Recount' });

export const reservationView = z
  .object({
    orderId,
    status: z.enum(['made', 'rejected', 'released', 'shipped', 'returned', 'blocked']) satisfies z.ZodType<Status>,
    lines: z.array(line),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Reservation' });

export const listStockQuery = z.object({ cursor: cursor(sku), limit: pageLimit });

export const stockPage = pageOf(stockView).meta({ id: 'StockPage' });

export type StockView = z.infer<typeof stockView>;
export type RecountView = z.infer<typeof recountView>;
export type StockPage = z.infer<typeof stockPage>;
export type ReservationView = z.infer<typeof reservationView>;

export function stockViewOf({ sku, available, reserved, shipped }: StockLevel): StockView {
  return { sku, available: Number(available), reserved: Number(reserved), shipped: Number(shipped) };
}

export function reservationViewOf(row: ReservationSummary): ReservationView {
  return {
    orderId: row.orderId,
    status: row.status as Status,
    lines: row.lines as unknown as z.infer<typeof line>[],
    updatedAt: row.updatedAt.toISOString(),
  };
}
