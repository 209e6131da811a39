/**
 * The requests and answers of the inventory service over HTTP. The zod schemas check requests and describe both in the
 * OpenAPI document.
 */
import { z } from 'zod';
import type { ReservationSummary, StockLevel } from '../../../../prisma/inventory/client/client.js';
import { line, MAX_QUANTITY, orderId, quantity, sku } from '#contracts';
import type { Reservation } from '../domain/reservation.js';

/** Checked against the schema below, in both directions. */
type Status = Exclude<Reservation['status'], 'none'>;

export const receiptBody = z.strictObject({ quantity: quantity.describe('Units that came in') });

export const recountBody = z.strictObject({
  counted: z.int().min(0).max(MAX_QUANTITY).describe('Units on the shelf, including reserved ones'),
});

const units = z.int().describe('Units');

export const stockView = z.object({ sku, available: units, reserved: units, shipped: units }).meta({ id: 'Stock' });

export const reservationView = z
  .object({
    orderId,
    status: z.enum(['made', 'rejected', 'released', 'shipped', 'returned', 'blocked']) satisfies z.ZodType<Status>,
    lines: z.array(line),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Reservation' });

export const stockListView = z.object({ items: z.array(stockView) });

export type StockView = z.infer<typeof stockView>;
export type StockList = z.infer<typeof stockListView>;
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
