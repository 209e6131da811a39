/** What must be true of a shop after anything that can happen to it (proof/shop/invariants.ts), as an expectation. */
import { expect } from 'vitest';
import { inspect } from '../../proof/shop/invariants.js';
import type { Shop } from './shop.js';

/** Checks the orders, the stock and the provider's books against each other. `received` is what came in, by SKU. */
export async function expectInvariants(shop: Shop, orderIds: readonly string[], received: Record<string, number>) {
  const { wrong, ...counts } = await inspect(shop, orderIds, received);
  expect(wrong).toEqual([]);
  return counts;
}
