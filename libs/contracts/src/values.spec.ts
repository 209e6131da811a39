import { describe, expect, test } from 'vitest';
import { minorUnitDigits } from './currencies.js';
import { currentCurrency, formatMoney } from './values.js';

const codes = [...minorUnitDigits.keys()];
const cashDigits = (currency: string) =>
  new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;

describe('currencies', () => {
  test('are all codes of ISO 4217 that have a minor unit, once each', () => {
    const withDigits = (digits: number) => codes.filter((code) => minorUnitDigits.get(code) === digits).length;
    expect([0, 1, 2, 3, 4].map(withDigits)).toEqual([17, 0, 139, 7, 2]);
    expect(codes.every((code) => currentCurrency.safeParse(code).success)).toBe(true);
  });

  test('have the digits of ISO 4217, where CLDR has those of cash', () => {
    const otherwise = codes.filter((code) => cashDigits(code) !== minorUnitDigits.get(code));
    expect(otherwise).toEqual(expect.arrayContaining(['HUF', 'IDR', 'MGA', 'LAK', 'IQD']));
    expect(formatMoney({ amountMinor: 123_450, currency: 'HUF' })).toBe('HUF 1,234.50');
    expect(formatMoney({ amountMinor: 123_450, currency: 'IDR' })).toBe('IDR 1,234.50');
    expect(formatMoney({ amountMinor: 123_450, currency: 'MGA' })).toBe('MGA 1,234.50');
    expect(formatMoney({ amountMinor: 123_450, currency: 'KWD' })).toBe('KWD 123.450');
    expect(formatMoney({ amountMinor: 123_450, currency: 'CLP' })).toBe('CLP 123,450');
    expect(formatMoney({ amountMinor: 123_450, currency: 'CLF' })).toBe('CLF 12.3450');
  });

  test.each(codes)('%s is written with all its digits', (currency) => {
    const digits = minorUnitDigits.get(currency)!;
    const written = formatMoney({ amountMinor: 1, currency });
    expect(written).toBe(`${currency} ${digits === 0 ? '1' : `0.${'1'.padStart(digits, '0')}`}`);
  });

  test.each(['XAU', 'XDR', 'XTS', 'XXX', 'BGN', 'ABC', 'eur', 'EURO', ''])('%j cannot be sold in', (code) => {
    expect(currentCurrency.safeParse(code).success).toBe(false);
    expect(formatMoney({ amountMinor: 100, currency: code })).toBe(`100 minor units of ${code}`);
  });
});

test('an amount is written exactly, however large, and below zero', () => {
  expect(formatMoney({ amountMinor: Number.MAX_SAFE_INTEGER, currency: 'EUR' })).toBe('EUR 90,071,992,547,409.91');
  expect(formatMoney({ amountMinor: -5, currency: 'EUR' })).toBe('-EUR 0.05');
});
