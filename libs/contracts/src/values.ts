/** Values that services exchange with each other and with clients. */
import { z } from 'zod';

/** The largest quantity and amount that one request may name, so that sums of many remain safe integers. */
export const MAX_QUANTITY = 1_000_000;
export const MAX_AMOUNT_MINOR = 100_000_000;

export const sku = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'A SKU is 1 to 64 lower-case letters, digits, dots, hyphens and underscores.')
  .describe('Stock-keeping unit');

export const quantity = z.int().min(1).max(MAX_QUANTITY).describe('Whole units');

export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/, 'A currency is three capital letters (ISO 4217).')
  .describe('ISO 4217 code');

export const money = z
  .object({
    amountMinor: z.int().min(0).describe('In minor units: 1299 is 12.99 EUR'),
    currency,
  })
  .describe('An amount of money');

export const line = z.object({ sku, quantity });

/** Goods as people write them: `2 × olive-oil, 1 × honey`. */
export function formatGoods(lines: readonly { readonly sku: string; readonly quantity: number }[]): string {
  return lines.map(({ sku, quantity }) => `${quantity} × ${sku}`).join(', ') || 'nothing';
}

/** An amount as people write it: `EUR 25.98`. A currency that is not one is shown with the minor units. */
export function formatMoney({ amountMinor, currency }: { amountMinor: number; currency: string }): string {
  if (!/^[A-Z]{3}$/.test(currency)) return `${amountMinor} minor units of ${currency}`;
  const format = new Intl.NumberFormat('en', { style: 'currency', currency, currencyDisplay: 'code' });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 0;
  return format.format(amountMinor / 10 ** digits).replace(/\s/, ' ');
}

export const orderId = z.uuid().toLowerCase().describe("The order's id; also the key of the message");
