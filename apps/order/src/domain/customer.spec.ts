import { expect, test } from 'vitest';
import { stateAfter } from '#decider';
import { given } from '#decider/scenario';
import { eventsOf, goldenEvents, goldenShapes, shapesOf } from '#test/golden';
import { upcasters } from '../upcasters.js';
import { customer, type CustomerCommand, type CustomerEvent, keysToErase } from './customer.js';

const [noon, later] = ['2026-11-21T12:00:00.000Z', '2026-11-21T13:00:00.000Z'];
const keep = (orderId: string, kid = 'k1', placedAt = noon): CustomerCommand => ({
  type: 'Keep',
  orderId,
  kid,
  placedAt,
});
const kept = (orderId: string, kid = 'k1', placedAt = noon): CustomerEvent => ({
  type: 'CustomerRecipientKept',
  data: { orderId, kid, placedAt },
});
const request: CustomerCommand = { type: 'RequestErasure', retentionMs: 0 };
const requested = (...kids: string[]): CustomerEvent => ({ type: 'CustomerErasureRequested', data: { kids } });
const record = (...kids: string[]): CustomerCommand => ({ type: 'RecordErased', kids });
const erased = (...kids: string[]): CustomerEvent => ({ type: 'CustomerErased', data: { kids } });

test('each order notes its key once', () => {
  given(customer).when(keep('o1')).then(kept('o1'));
  given(customer, kept('o1')).when(keep('o1')).thenNothing();
  given(customer, kept('o1')).when(keep('o2')).then(kept('o2'));
});

test('a key that is closed or erased seals nothing any more; another one does', () => {
  given(customer, kept('o1'), requested('k1')).when(keep('o2')).thenRefused('key-closed');
  given(customer, kept('o1'), requested('k1'), erased('k1')).when(keep('o2')).thenRefused('key-closed');
  given(customer, kept('o1'), requested('k1')).when(keep('o2', 'k2')).then(kept('o2', 'k2'));
});

test('an erasure is requested of the keys that are open, and of those alone', () => {
  given(customer, kept('o1')).when(request).then(requested('k1'));
  given(customer, kept('o1'), requested('k1'), kept('o2', 'k2')).when(request).then(requested('k2'));
});

test('requested again, or of nothing, it changes nothing', () => {
  given(customer).when(request).thenNothing();
  given(customer, kept('o1'), requested('k1')).when(request).thenNothing();
  given(customer, kept('o1'), requested('k1'), erased('k1')).when(request).thenNothing();
});

test('a key is kept for so long after the last order that it was used for', () => {
  const notBefore = '2026-11-22T13:00:00.000Z';
  given(customer, kept('o2', 'k1', later), kept('o1', 'k1', noon))
    .when({ type: 'RequestErasure', retentionMs: 86_400_000 })
    .then({ type: 'CustomerErasureRequested', data: { kids: ['k1'], notBefore } });
});

test('that a key is erased is recorded once, and only of one that was closed', () => {
  given(customer, kept('o1')).when(record('k1')).thenNothing();
  given(customer, kept('o1'), requested('k1')).when(record('k1', 'unknown')).then(erased('k1'));
  given(customer, kept('o1'), requested('k1'), erased('k1')).when(record('k1')).thenNothing();
});

test('of two keys that are to be erased, one may go before the other', () => {
  const history = [kept('o1'), requested('k1'), kept('o2', 'k2'), requested('k2')];
  given(customer, ...history)
    .when(record('k2'))
    .then(erased('k2'));
  const left = keysToErase(stateAfter(customer, [...history, erased('k2')]));
  expect(left).toEqual([{ kid: 'k1', status: 'closed', orders: ['o1'], lastPlacedAt: noon }]);
});

const golden = await goldenEvents<CustomerEvent>(new URL('../golden/', import.meta.url), upcasters);

test('its events have the shapes of its golden files, and no others', () => {
  const today = [
    ...eventsOf(customer, keep('o1'), request, record('k1')),
    ...eventsOf(customer, keep('o1'), { type: 'RequestErasure', retentionMs: 1 }),
  ];
  expect(shapesOf(today)).toEqual(goldenShapes('customer', golden));
});

test('customers of the past can be read', () => {
  const history = ['CustomerRecipientKept', 'CustomerErasureRequested.kept'].map((name) => golden[`${name}.v1`]!);
  expect(keysToErase(stateAfter(customer, history))).toMatchObject([{ notBefore: '2026-12-21T12:00:00.000Z' }]);
  expect(keysToErase(stateAfter(customer, [...history, golden['CustomerErased.v1']!]))).toEqual([]);
});
