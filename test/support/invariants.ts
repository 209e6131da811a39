/** What must be true of a shop after anything that can happen to it (proof/shop/inspect.ts), as an expectation. */
import { expect } from 'vitest';
import { inspect } from '../../proof/shop/inspect.js';
import type { Shop } from './shop.js';

/**
 * Checks these orders and SKUs in a shop that has come to rest; what else is in it may be wrong. `received` is what came
 * in, by SKU.
 */
export async function expectInvariants(shop: Shop, orderIds: readonly string[], received: Record<string, number>) {
  const { wrong, ends } = await inspect(shop, { orderIds, received });
  expect(wrong).toEqual([]);
  return ends;
}
