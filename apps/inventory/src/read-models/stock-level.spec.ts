import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { StockEvent } from '../domain/stock.js';
import { stockLevel } from './stock-level.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<StockEvent>(new URL('../golden/', import.meta.url), upcasters);

test.each([
  ['StockReceived', { available: 10, reserved: 0, shipped: 0 }],
  ['StockReceived StockReserved', { available: 8, reserved: 2, shipped: 0 }],
  ['StockReceived StockReserved StockReleased', { available: 10, reserved: 0, shipped: 0 }],
  ['StockReceived StockReserved StockShipped', { available: 8, reserved: 0, shipped: 2 }],
  ['StockReceived StockReserved StockRecounted', { available: 7, reserved: 2, shipped: 0 }],
])('after %s: %o', (history, units) => {
  const events = history.split(' ').map((name) => golden[`${name}.v1`]!);
  const updated_at = recordedAt(events.length - 1);
  expect(rowAfter(stockLevel, 'stock-olive-oil', ...events)).toEqual({ sku: 'olive-oil', ...units, updated_at });
});
