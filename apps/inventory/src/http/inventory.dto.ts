/** What the inventory service takes and shows over HTTP. The zod schemas check requests and make the OpenAPI document. */
import { z } from 'zod';
import type { ReservationSummary, StockLevel } from '../../../../prisma/inventory/client/client.js';
import { line, MAX_QUANTITY, orderId, quantity, sku } from '#contracts';

export const receiptBody = z.strictObject({ quantity: quantity.describe('Units that came in') });

export const recountBody = z.strictObject({
  counted: z.int().min(0).max(MAX_QUANTITY).describe('Units on the shelf, the reserved ones included'),
});

const units = z.int().describe('Units');

export const stockView = z.object({ sku, available: units, reserved: units, shipped: units }).meta({ id: 'Stock' });

export const reservationView = z
  .object({
    orderId,
    status: z.enum(['made', 'rejected', 'released', 'shipped', 'returned', 'blocked']),
    lines: z.array(line),
    updatedAt: z.iso.datetime(),
  })
  .meta({ id: 'Reservation' });

export function stockViewOf({ sku, available, reserved, shipped }: StockLevel): z.infer<typeof stockView> {
  return { sku, available: Number(available), reserved: Number(reserved), shipped: Number(shipped) };
}

export function reservationViewOf(row: ReservationSummary): z.infer<typeof reservationView> {
  return {
    orderId: row.orderId,
    status: row.status as z.infer<typeof reservationView>['status'],
    lines: row.lines as unknown as z.infer<typeof line>[],
    updatedAt: row.updatedAt.toISOString(),
  };
}
