/** Every ending of a checkout, over HTTP, on real processes: one suite for every profile. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import request from './http.js';
import type { Shop } from './shop.js';

/** Declares the tests, for a shop with empty shelves and one instance of each service. */
export function endings(open: () => Promise<Shop>): void {
  let shop: Shop;
  /** The instance of the order service whose orders have a second to be confirmed. */
  const hasty = 1;
  beforeAll(async () => {
    shop = await open();
    await shop.add('order', { ORDER_DEADLINE: '1s' });
    await shop.setPrices({ 'olive-oil': 1299, honey: 895, truffle: 9900, tea: 300 });
    await shop.stockUp({ 'olive-oil': 100, honey: 100, truffle: 1, tea: 10 });
  });
  afterAll(() => shop?.close());

  const typesOf = async (orderId: string) =>
    (await request(shop.order[0]!, shop).get(`/orders/${orderId}/history`)).body.events.map(
      ({ type }: { type: string }) => type,
    );

  /** What the provider's books show of one order. */
  async function moneyOf(orderId: string) {
    const { body } = await request(shop.payment[0]!, shop).get(`/simulator/ledger?orderId=${orderId}`);
    const { heldMinor = '0', capturedMinor = '0', netMinor = '0' } = body.totals[0] ?? {};
    return { heldMinor, capturedMinor, netMinor };
  }

  async function reservationOf(orderId: string) {
    await shop.caughtUp();
    return (await request(shop.inventory[0]!, shop).get(`/reservations/${orderId}`)).body;
  }

  const paid = { heldMinor: '0', capturedMinor: '2598', netMinor: '2598' };
  const untouched = { heldMinor: '0', capturedMinor: '0', netMinor: '0' };

  describe.concurrent('a checkout ends', () => {
    test.for([
      ['tok_approved', 'completed'],
      ['tok_slow', 'although the provider is slow'],
      ['tok_charged_after_timeout', 'although the call timed out and the money was held'],
      ['tok_capture_fails_twice', 'although two captures failed'],
      ['tok_down_30s', 'although the provider was down for 30 s'],
    ])('%s: completed, %s', { timeout: 90_000 }, async ([token]) => {
      const orderId = await shop.place({ token, lines: [{ sku: 'olive-oil', quantity: 2 }] });
      expect(await shop.settled(orderId)).toMatchObject({ status: 'completed', settled: true });
      expect(await moneyOf(orderId)).toEqual(paid);
      expect(await reservationOf(orderId)).toMatchObject({
        status: 'shipped',
        lines: [{ sku: 'olive-oil', quantity: 2 }],
      });
    });

    test.for([
      ['tok_declined', 'declined'],
      ['tok_insufficient_funds', 'insufficient-funds'],
    ])('%s: rejected, and the stock is back', async ([token, reason]) => {
      const orderId = await shop.place({ token, lines: [{ sku: 'olive-oil', quantity: 2 }] });
      expect(await shop.settled(orderId)).toMatchObject({ status: 'rejected', reason: 'payment-declined' });
      expect(await moneyOf(orderId)).toEqual(untouched);
      expect(await reservationOf(orderId)).toMatchObject({ status: 'released' });
      expect((await request(shop.payment[0]!, shop).get(`/payments/${orderId}`)).body).toMatchObject({
        status: 'declined',
        reason,
      });
    });

    test('out of stock: rejected, and of a mixed basket nothing is held', async () => {
      const lines = [
        { sku: 'honey', quantity: 1 },
        { sku: 'truffle', quantity: 2 },
      ];
      const orderId = await shop.place({ lines });
      expect(await shop.settled(orderId)).toMatchObject({ status: 'rejected', reason: 'out-of-stock' });
      expect((await request(shop.inventory[0]!, shop).get('/stock/truffle')).body).toMatchObject({
        available: 1,
        reserved: 0,
      });
      expect(await moneyOf(orderId)).toEqual(untouched);
      await request(shop.payment[0]!, shop).get(`/payments/${orderId}`).expect(404);
    });

    test('cancelled before the pivot: all goes back', async () => {
      const orderId = await shop.place({ token: 'tok_slow', lines: [{ sku: 'olive-oil', quantity: 2 }] });
      const { body } = await request(shop.order[0]!, shop).post(`/orders/${orderId}/cancel`).expect(202);
      expect(body).toMatchObject({ status: 'cancelled', reason: 'customer' });
      expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'customer' });
      expect(await moneyOf(orderId)).toEqual(untouched);
      expect(['released', 'blocked']).toContain((await reservationOf(orderId)).status);
      // Again, it is the same answer and no new event.
      const before = await typesOf(orderId);
      await request(shop.order[0]!, shop).post(`/orders/${orderId}/cancel`).expect(202);
      expect(await typesOf(orderId)).toEqual(before);
    });

    test('a cancellation after the pivot is refused, and the order completed', async () => {
      const orderId = await shop.place({ lines: [{ sku: 'olive-oil', quantity: 2 }] });
      await shop.settled(orderId);
      const { body, type } = await request(shop.order[0]!, shop).post(`/orders/${orderId}/cancel`).expect(409);
      expect(type).toBe('application/problem+json');
      expect(body).toMatchObject({ code: 'order-confirmed', status: 409 });
      expect(await typesOf(orderId)).toEqual([
        'OrderPlaced',
        'OrderStockReserved',
        'OrderConfirmed',
        expect.stringMatching(/OrderStockShipped|OrderPaymentCaptured/),
        expect.stringMatching(/OrderStockShipped|OrderPaymentCaptured/),
        'OrderCompleted',
      ]);
    });

    test('not confirmed within its deadline: called off, and all goes back', { timeout: 90_000 }, async () => {
      const lines = [{ sku: 'tea', quantity: 2 }];
      const orderId = await shop.place({ token: 'tok_down_30s', lines, instance: hasty });
      expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'deadline' });
      await shop.caughtUp();
      // Payment had been asked for, unless this machine is so slow that the deadline came before the stock was reserved.
      const { body: payment } = await request(shop.payment[0]!, shop).get(`/payments/${orderId}`);
      expect(['voided', 'blocked']).toContain(payment.status);
      expect(await moneyOf(orderId)).toEqual(untouched);
      expect((await request(shop.inventory[0]!, shop).get('/stock/tea')).body).toMatchObject({
        available: 10,
        reserved: 0,
      });
    });
  });

  // Not concurrent with the others, which would miss payment.
  test(
    'payment dies while the provider is at work: money held after the cancellation goes back, and the history records it',
    { timeout: 60_000 },
    async () => {
      const orderId = await shop.place({ token: 'tok_slow', lines: [{ sku: 'olive-oil', quantity: 2 }] });
      const provider = new pg.Client({ connectionString: shop.databases.payment });
      await provider.connect();
      await shop.until('the provider knows of it', async () => {
        const { rowCount } = await provider.query('SELECT FROM simulated_payments WHERE order_id = $1', [orderId]);
        return { done: rowCount === 1, found: rowCount };
      });
      await provider.end();
      shop.kill('payment');
      await request(shop.order[0]!, shop).post(`/orders/${orderId}/cancel`).expect(202);
      await new Promise((resolve) => setTimeout(resolve, 1_600)); // By now the provider holds the money.
      await shop.restart('payment');

      expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'customer' });
      const { body: ledger } = await request(shop.payment[0]!, shop).get(`/simulator/ledger?orderId=${orderId}`);
      expect(ledger.entries.map(({ type }: { type: string }) => type)).toEqual(['authorized', 'voided']);
      expect(ledger.totals).toMatchObject([{ heldMinor: '0', netMinor: '0' }]);
      const { body: history } = await request(shop.order[0]!, shop).get(`/orders/${orderId}/history`);
      expect(history.events).toContainEqual(
        expect.objectContaining({ type: 'OrderPaymentReturned', data: { outcome: 'voided' } }),
      );
    },
  );
}
