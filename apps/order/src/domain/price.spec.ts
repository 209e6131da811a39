import { test } from 'vitest';
import { given } from '#decider/scenario';
import { price, type PriceEvent } from './price.js';

const set = (amountMinor: number, currency = 'EUR'): PriceEvent => ({
  type: 'PriceSet',
  data: { amountMinor, currency },
});

test('a price is set, and set again', () => {
  given(price).when({ type: 'Set', amountMinor: 1299, currency: 'EUR' }).then(set(1299));
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1399, currency: 'EUR' }).then(set(1399));
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1299, currency: 'CHF' }).then(set(1299, 'CHF'));
});

test('the same price again changes nothing', () =>
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1299, currency: 'EUR' }).thenNothing());

test('a price may be nothing', () => given(price).when({ type: 'Set', amountMinor: 0, currency: 'EUR' }).then(set(0)));

test.each([-1, 12.99, Number.NaN, Number.MAX_SAFE_INTEGER + 1])('a price of %s is refused', (amountMinor) =>
  given(price).when({ type: 'Set', amountMinor, currency: 'EUR' }).thenRefused('invalid-amount'),
);
