/**
 * The checkout, in the three parts that every way has to carry out between two calls of the provider. What is decided is
 * the same in each; a way says which transactions they are in, and on which servers.
 *
 *   take ──▶ authorize at the provider ──▶ confirm ──▶ capture at the provider ──▶ complete
 */
import { order } from '../../apps/order/src/domain/order.js';
import { reservation } from '../../apps/inventory/src/domain/reservation.js';
import { stock } from '../../apps/inventory/src/domain/stock.js';
import { payment } from '../../apps/payment/src/domain/payment.js';
import type { Books } from './books.js';
import type { Wanted } from './way.js';

export interface Shop {
  readonly order: Books;
  readonly inventory: Books;
  readonly payment: Books;
}

export type Verdict = { readonly authorizationId: string } | { readonly declined: string };

/** What everything costs. */
const PRICE = { amountMinor: 895, currency: 'EUR' } as const;

/**
 * Writes the order down, reserves every line of it or none, and what the provider is to be asked for. Returns whether it was
 * reserved.
 */
export async function take(shop: Shop, { orderId, customer, lines, token }: Wanted): Promise<boolean> {
  const priced = lines.map((line) => ({ ...line, unitPrice: PRICE }));
  const moments = { placedAt: '2027-01-01T00:00:00Z', deadlineAt: '2027-01-01T00:15:00Z' };
  const terms = { customerId: customer, lines: priced, paymentToken: token, tokenDigest: token, ...moments };
  await shop.order.decide(order, `order-${orderId}`, { type: 'Place', ...terms });
  const short = await reserve(shop, orderId, lines);
  if (short.length > 0) {
    await shop.order.decide(order, `order-${orderId}`, { type: 'RecordStockRejected', short });
    return false;
  }
  await shop.order.decide(order, `order-${orderId}`, { type: 'RecordStockReserved' });
  const amount = { ...PRICE, amountMinor: lines.reduce((sum, { quantity }) => sum + quantity * PRICE.amountMinor, 0) };
  await shop.payment.decide(payment, `payment-${orderId}`, { type: 'Request', amount, token });
  return true;
}

/** With the provider's word the order is confirmed and shipped, or rejected and its stock given back. */
export async function confirm(shop: Shop, orderId: string, verdict: Verdict): Promise<void> {
  const [ordered, paid, reserved] = [`order-${orderId}`, `payment-${orderId}`, `reservation-${orderId}`];
  if ('declined' in verdict) {
    await shop.payment.decide(payment, paid, { type: 'RecordDeclined', reason: verdict.declined });
    await shop.order.decide(order, ordered, { type: 'RecordPaymentDeclined', reason: verdict.declined });
    await moveStock(shop, orderId, 'Release', await shop.inventory.decide(reservation, reserved, { type: 'Release' }));
    await shop.order.decide(order, ordered, { type: 'RecordStockReleased', outcome: 'released' });
    return;
  }
  const state = await shop.payment.state(payment, paid);
  if (state.status !== 'requested') return; // Another process has confirmed it.
  const { amount } = state;
  await shop.payment.decide(payment, paid, { type: 'RecordAuthorized', ...verdict, amount });
  await shop.order.decide(order, ordered, { type: 'RecordPaymentAuthorized', amount });
  await shop.payment.decide(payment, paid, { type: 'Capture' });
  await moveStock(shop, orderId, 'Ship', await shop.inventory.decide(reservation, reserved, { type: 'Ship' }));
  await shop.order.decide(order, ordered, { type: 'RecordStockShipped' });
}

/** With the money taken the order is completed. */
export async function complete(shop: Shop, orderId: string): Promise<void> {
  const state = await shop.payment.state(payment, `payment-${orderId}`);
  if (state.status !== 'capturing') return;
  const { authorizationId, amount } = state;
  await shop.payment.decide(payment, `payment-${orderId}`, { type: 'RecordCaptured', authorizationId, amount });
  await shop.order.decide(order, `order-${orderId}`, { type: 'RecordPaymentCaptured' });
}

/** Returns the SKUs of which there is too little. */
async function reserve({ inventory }: Shop, orderId: string, lines: Wanted['lines']): Promise<string[]> {
  const short: string[] = [];
  // In one order of SKUs for all: whoever locks them waits, but never in a circle.
  for (const { sku, quantity } of bySku(lines)) {
    if ((await inventory.state(stock, `stock-${sku}`)).available < quantity) short.push(sku);
  }
  const made = await inventory.decide(reservation, `reservation-${orderId}`, { type: 'Reserve', lines, short });
  if (short.length === 0) await moveStock({ inventory }, orderId, 'Reserve', made);
  return short;
}

async function moveStock(
  { inventory }: Pick<Shop, 'inventory'>,
  orderId: string,
  type: 'Reserve' | 'Release' | 'Ship',
  events: readonly { readonly data: object }[],
): Promise<void> {
  for (const { data } of events) {
    if (!('lines' in data)) continue;
    for (const { sku, quantity } of bySku(data.lines as Wanted['lines'])) {
      await inventory.decide(stock, `stock-${sku}`, { type, orderId, quantity });
    }
  }
}

const bySku = (lines: Wanted['lines']) => [...lines].sort((a, b) => (a.sku < b.sku ? -1 : 1));
