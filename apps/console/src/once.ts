/** Places an order once, however often somebody has to try. */
import type { Order, OrderRequest } from '#client';
import { session, shop } from './gateway.js';

/**
 * Until it is known to be placed, the same order of the same person has the same Idempotency-Key, also when the page was
 * left or loaded anew meanwhile: the order may be there already, and then that is the answer.
 */
export async function placeOnce(order: OrderRequest, kept: Storage = sessionStorage): Promise<Order> {
  const name = await nameOf(order);
  const key = kept.getItem(name) ?? crypto.randomUUID();
  kept.setItem(name, key);
  const placed = await shop.placeOrder(order, { idempotencyKey: key });
  kept.removeItem(name);
  return placed;
}

/** A digest: what the order is paid with is not kept in the browser. */
async function nameOf(order: OrderRequest): Promise<string> {
  const text = JSON.stringify([session.value?.caller?.subject, order]);
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return `larder-order-${[...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
