import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { quota, type QuotaCommand, type QuotaEvent } from './quota.js';

const take = (orderId: string, settled: readonly string[] = []): QuotaCommand => ({
  type: 'Take',
  orderId,
  limit: 2,
  settled,
});
const taken = (orderId: string, settled?: readonly string[]): QuotaEvent => ({
  type: 'QuotaTaken',
  data: { orderId, ...(settled && { settled }) },
});

test('a customer may have so many orders under way, and not one more', () => {
  given(quota).when(take('a')).then(taken('a'));
  given(quota, taken('a')).when(take('b')).then(taken('b'));
  given(quota, taken('a'), taken('b')).when(take('c')).thenRefused('too-many-open-orders');
});

test('the refusal names the orders that are under way', () => {
  const state = stateAfter(quota, [taken('a'), taken('b')]);
  expect(() => quota.decide(take('c'), state)).toThrow(
    expect.objectContaining({ details: { openOrders: ['a', 'b'] }, underWay: ['a', 'b'] }),
  );
});

test('the places of settled orders are free, each once', () => {
  const full = [taken('a'), taken('b')];
  given(quota, ...full)
    .when(take('c', ['a', 'another']))
    .then(taken('c', ['a']));
  given(quota, ...full, taken('c', ['a']))
    .when(take('d', ['a']))
    .thenRefused('too-many-open-orders');
  given(quota, ...full, taken('c', ['a', 'b']))
    .when(take('d'))
    .then(taken('d'));
});

test('a quota that was made smaller lets nobody go on before enough orders are settled', () => {
  const many = ['a', 'b', 'c'].map((each) => taken(each));
  given(quota, ...many)
    .when(take('d', ['a']))
    .thenRefused('too-many-open-orders');
  given(quota, ...many)
    .when(take('d', ['a', 'c']))
    .then(taken('d', ['a', 'c']));
});

const golden = await goldenEvents<QuotaEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const today = eventsOf(quota, take('a'), take('b'), take('c', ['a']));
  expect(shapesOf(today)).toEqual(goldenShapes('quota', golden));
});

test('quotas of the past can be read', () => {
  const first = golden['QuotaTaken.v1']!;
  const then = golden['QuotaTaken.settled.v1']!;
  expect(stateAfter(quota, [first, then]).underWay).toEqual([then.data.orderId]);
});
