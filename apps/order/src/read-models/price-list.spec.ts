import { expect, test } from 'vitest';
import { recordedAt, rowAfter } from '#test/rows';
import type { PriceEvent } from '../domain/price.js';
import { priceList } from './price-list.js';

const set = (amountMinor: number): PriceEvent => ({ type: 'PriceSet', data: { amountMinor, currency: 'EUR' } });

test('a SKU that is withdrawn is not listed, until it has a price again', () => {
  const withdrawn: PriceEvent = { type: 'PriceWithdrawn', data: {} };
  expect(rowAfter(priceList, 'price-olive-oil', set(1299), withdrawn)).toBeUndefined();
  expect(rowAfter(priceList, 'price-olive-oil', set(1299), withdrawn, set(1299))).toMatchObject({ amount_minor: 1299 });
});

test('a SKU has the price that was set last, and since when', () =>
  expect(rowAfter(priceList, 'price-olive-oil', set(1299), set(1399))).toEqual({
    sku: 'olive-oil',
    amount_minor: 1399,
    currency: 'EUR',
    since: recordedAt(1),
  }));
