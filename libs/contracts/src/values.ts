/** Values that services exchange with each other and with clients. */
import { z } from 'zod';
import { minorUnitDigits } from './currencies.js';

/** The largest quantity that one request may name. */
export const MAX_QUANTITY = 1_000_000;

/**
 * The largest price of a unit, whatever its currency: ten billion euros, or rupiahs, which are half a million euros. So
 * the smallest units in use still have room, and the total of an order that is no safe integer is refused.
 */
export const MAX_AMOUNT_MINOR = 1_000_000_000_000;

export const sku = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, 'A SKU is 1 to 64 lower-case letters, digits, dots, hyphens and underscores.')
  .describe('Stock-keeping unit');

export const quantity = z.int().min(1).max(MAX_QUANTITY).describe('Whole units');

/** Of what was sold: a code of ISO 4217 as it was then. Currencies end, and their orders stay. */
export const currency = z
  .string()
  .regex(/^[A-Z]{3}$/, 'A currency is three capital letters (ISO 4217).')
  .describe('ISO 4217 code');

/** Of what is to be sold. */
export const currentCurrency = z
  .string()
  .regex(
    new RegExp(`^(${[...minorUnitDigits.keys()].sort().join('|')})$`),
    'A price is in a currency of ISO 4217 that has a minor unit, such as EUR, JPY or KWD.',
  )
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

/** An amount as people write it: `EUR 25.98`. In a currency that ISO 4217 does not have, it is shown in minor units. */
export function formatMoney({ amountMinor, currency }: { amountMinor: number; currency: string }): string {
  const digits = minorUnitDigits.get(currency);
  if (digits === undefined) return `${amountMinor} minor units of ${currency}`;
  const format = new Intl.NumberFormat('en', {
    style: 'currency',
    currency,
    currencyDisplay: 'code',
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
  // As text it stays exact: a number would lose the last cents of a very large amount.
  return format.format(`${amountMinor}e-${digits}` as `${number}`).replace(/\s/, ' ');
}

export const orderId = z.uuid().toLowerCase().describe("The order's id; also the key of the message");
