import { expect, test } from 'vitest';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { price, type PriceEvent } from './price.js';

const set = (amountMinor: number, currency = 'EUR'): PriceEvent => ({
  type: 'PriceSet',
  data: { amountMinor, currency },
});

const withdrawn: PriceEvent = { type: 'PriceWithdrawn', data: {} };

test('a price is set, and set again', () => {
  given(price).when({ type: 'Set', amountMinor: 1299, currency: 'EUR' }).then(set(1299));
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1399, currency: 'EUR' }).then(set(1399));
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1299, currency: 'CHF' }).then(set(1299, 'CHF'));
});

test('a price is withdrawn, and set again', () => {
  given(price, set(1299)).when({ type: 'Withdraw' }).then(withdrawn);
  given(price, set(1299), withdrawn).when({ type: 'Withdraw' }).thenNothing();
  given(price, set(1299), withdrawn).when({ type: 'Set', amountMinor: 1299, currency: 'EUR' }).then(set(1299));
});

test('what was never sold cannot be withdrawn', () =>
  given(price).when({ type: 'Withdraw' }).thenRefused('price-not-found'));

test('the same price again changes nothing', () =>
  given(price, set(1299)).when({ type: 'Set', amountMinor: 1299, currency: 'EUR' }).thenNothing());

test('a price may be nothing', () => given(price).when({ type: 'Set', amountMinor: 0, currency: 'EUR' }).then(set(0)));

test.each([-1, 12.99, Number.NaN, Number.MAX_SAFE_INTEGER + 1])('a price of %s is refused', (amountMinor) =>
  given(price).when({ type: 'Set', amountMinor, currency: 'EUR' }).thenRefused('invalid-amount'),
);

const golden = await goldenEvents<PriceEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const today = eventsOf(price, { type: 'Set', amountMinor: 1299, currency: 'EUR' }, { type: 'Withdraw' });
  expect(shapesOf(today)).toEqual(goldenShapes('price', golden));
});

test('prices of the past can be read', () =>
  expect(price.evolve(price.initialState, golden['PriceSet.v1']!)).toEqual({
    status: 'set',
    amountMinor: 1299,
    currency: 'EUR',
  }));
