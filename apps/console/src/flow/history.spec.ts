import { expect, test } from 'vitest';
import type { Flow } from '../../../gateway/src/api.js';
import { figuresOf, linesOf, type Reading, summaryOf, withReading } from './history.js';

const told = { instance: 'a:1', at: '2026-11-21T12:00:00.000Z' };
const behind = (seconds?: number) => ({ position: '7', lag: 3, ...(seconds !== undefined && { seconds }) });
const toSettle = { seconds: 60, orders: 9, others: 0, medianMs: 80, p99Ms: 200 };
const flow: Flow = {
  at: told.at,
  complete: true,
  missing: [],
  services: [
    {
      ...told,
      service: 'order',
      relay: behind(0.5),
      consumer: { unread: 4 },
      readModels: [
        { name: 'summary', ...behind(2) },
        { name: 'todo', ...behind(3) },
      ],
      orders: { seconds: 5, placed: 10, settled: 20, toSettle },
    },
    { ...told, service: 'payment', relay: behind(), readModels: [{ name: 'summary', ...behind() }] },
  ],
  instances: [
    { service: 'payment', url: 'http://a:1', state: 'ready', name: 'a:1', circuits: { provider: 'half-open' } },
    { service: 'payment', url: 'http://b:1', state: 'out' },
  ],
  gateway: { name: 'g:1', circuits: {}, readers: 0 },
};
const empty = figuresOf({ ...flow, services: [], instances: [] });
const figures = (placed: number) => ({ ...empty, orders: { placed } });

test('figures are what is known, by the names of their lines', () => {
  expect(figuresOf(flow)).toEqual({
    orders: { placed: 2, settled: 4 },
    times: { median: 80, '99th percentile': 200 },
    relays: { order: 0.5 },
    consumers: { order: 4 },
    readModels: { order: 3 },
    circuits: { 'provider, from a:1': 1 },
  });
});

test('of read models of which one is not known, no figure is made up', () => {
  const [order] = flow.services;
  const readModels = [order!.readModels![0]!, { name: 'todo', ...behind() }];
  expect(figuresOf({ ...flow, services: [{ ...order!, readModels }] }).readModels).toEqual({});
});

test('what is not known at a reading is a hole, and not zero', () => {
  let readings: readonly Reading[] = [];
  for (const [i, each] of [figures(1), empty, figures(3)].entries()) readings = withReading(readings, each, i * 2_000);
  expect(linesOf(readings, 'orders')).toEqual([{ name: 'placed', values: [1, null, 3] }]);
  expect(linesOf(readings, 'relays')).toEqual([]);
});

test('the time in which nobody read is a hole, too', () => {
  let readings = withReading([], figures(1), 0);
  readings = withReading(readings, figures(2), 6_000);
  expect(linesOf(readings, 'orders')[0]!.values).toEqual([1, 2]);
  readings = withReading(readings, figures(3), 12_001);
  expect(linesOf(readings, 'orders')[0]!.values).toEqual([1, 2, null, 3]);
});

test('ten minutes are kept, and no more than a reading a second', () => {
  let readings: readonly Reading[] = [];
  for (let atMs = 0; atMs <= 1_200_000; atMs += 250) readings = withReading(readings, figures(atMs), atMs);
  expect(readings.length).toBe(601);
  expect(readings[0]!.atMs).toBe(600_000);
});

test('a clock that is set back forgets what it had not seen yet', () => {
  const readings = withReading(withReading([], figures(1), 10_000), figures(2), 14_000);
  expect(withReading(readings, figures(3), 12_000).map(({ atMs }) => atMs)).toEqual([10_000, 12_000]);
});

test('a summary has the value of now only when it is known now', () => {
  expect(summaryOf({ name: 'a', values: [1, 9, 4] })).toEqual({ now: 4, highest: 9 });
  expect(summaryOf({ name: 'a', values: [1, 9, null] })).toEqual({ now: undefined, highest: 9 });
});
