/**
 * Nobody is kept waiting by another's slow payments, and nobody holds all stock by paying slowly: with the processes of a
 * real shop. `--disable-console-intercept` shows the times.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const QUOTA = 20;
const ORDERS = 400;
/** How many calls to the provider may be under way. */
const PLACES = 64;
const STOCK = { honey: 10_000, truffle: 100 };

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ instances: { order: 2 }, env: { order: { OPEN_ORDERS_PER_CUSTOMER: `${QUOTA}` } } });
  await shop.setPrices({ honey: 895, truffle: 9_900 });
  await shop.stockUp(STOCK);
});
afterAll(() => shop?.close());

interface Wish {
  readonly customerId?: string;
  readonly sku?: string;
  readonly token?: string;
  readonly key?: string;
  /** The instance that is asked. */
  readonly at?: number;
  /** Whether the answer comes when the order is settled. */
  readonly wait?: boolean;
}

/** Asks for an order, as a clerk does on behalf of a customer: again while the service is too busy. */
async function order({ customerId = randomUUID(), sku = 'honey', token = 'tok_approved', ...more }: Wish = {}) {
  const { key = randomUUID(), at = 0, wait = false } = more;
  const body = { customerId, lines: [{ sku, quantity: 1 }], payment: { token } };
  const prefer = wait ? { prefer: 'wait=30' } : {};
  return shop.until('the order is answered', async () => {
    const asking = request(shop.order[at]!, shop)
      .post('/orders')
      .set({ 'idempotency-key': key, ...prefer });
    const found = await asking.send(body);
    return { done: found.status !== 503, found };
  });
}

/** How long a checkout of somebody new takes each time, in milliseconds. */
async function checkOut(times: number): Promise<number[]> {
  const tookMs: number[] = [];
  for (let n = 0; n < times; n++) {
    const began = performance.now();
    expect((await order({ wait: true })).body.status).toBe('completed');
    tookMs.push(Math.round(performance.now() - began));
  }
  return tookMs;
}

test('beside four hundred slow payments of a few another waits for no place', { timeout: 180_000 }, async () => {
  const alone = await checkOut(5);
  // They are all there before the first is paid for, so that it does not matter how long it takes to place them.
  await shop.stop('payment');
  const few = Array.from({ length: ORDERS / QUOTA }, () => randomUUID());
  const slow = await Promise.all(
    Array.from({ length: ORDERS }, (_, n) => order({ token: 'tok_slow', customerId: few[n % few.length]! })),
  );
  const orderIds = slow.map(({ status, body }) => (expect(status).toBe(202), body.orderId as string));
  await shop.restart('payment');
  // One in ten stands for all: to ask for each takes longer than a checkout, and meanwhile they are paid for.
  const asked = orderIds.filter((_, n) => n % 10 === 0);
  const countWaiting = async () => {
    const payments = await Promise.all(asked.map((id) => request(shop.payment[0]!, shop).get(`/payments/${id}`)));
    return 10 * payments.filter(({ status, body }) => status === 404 || body.status === 'requested').length;
  };
  const beside: number[] = [];
  do beside.push(...(await checkOut(1)));
  while (beside.length < 5 && (await countWaiting()) > PLACES);
  console.log({ alone, beside });
  expect(beside.length, 'how many were beside more than have a place').toBeGreaterThan(1);
  for (const orderId of orderIds) await shop.settled(orderId);
});

test(
  'in a flash sale a customer gets as many orders as they may have open, and others get the rest',
  { timeout: 180_000 },
  async () => {
    const greedy = randomUUID();
    const wish = { customerId: greedy, sku: 'truffle' };
    await shop.stop('payment'); // Nobody pays.
    const keys = Array.from({ length: ORDERS }, () => randomUUID());
    const answers = await Promise.all(keys.map((key, n) => order({ ...wish, key, at: n % 2 })));
    const accepted = answers.filter(({ status }) => status === 202);
    const refused = answers.filter(({ status }) => status !== 202);
    expect(accepted).toHaveLength(QUOTA);
    for (const { status, body } of refused) {
      expect(status).toBe(409);
      expect(body.code).toBe('too-many-open-orders');
      expect(body.openOrders).toHaveLength(QUOTA);
    }
    const places = new Set(accepted.map(({ body }) => body.orderId));
    expect(new Set(refused[0]!.body.openOrders)).toEqual(places);

    // Whoever asks again under a key that was accepted is told the same, at either instance.
    const again = await Promise.all(
      keys.flatMap((key, n) => (answers[n]!.status === 202 ? order({ ...wish, key, at: (n + 1) % 2 }) : [])),
    );
    expect(new Set(again.map(({ body }) => body.orderId))).toEqual(places);
    const others = await Promise.all(Array.from({ length: STOCK.truffle - QUOTA }, () => order({ sku: 'truffle' })));
    const placed = [...accepted, ...others].map(({ body }) => body.orderId as string);

    // A place is free when the order has given back what it holds, and not before.
    const [first] = accepted.map(({ body }) => body.orderId as string);
    await request(shop.order[0]!, shop).post(`/orders/${first}/cancel`).expect(202);
    expect((await order({ ...wish, at: 1 })).body.code).toBe('too-many-open-orders');
    await shop.restart('payment');
    await shop.settled(first!);
    const next = await order({ ...wish, at: 1 });
    expect(next.status).toBe(202);

    placed.push(next.body.orderId);
    for (const orderId of placed) await shop.settled(orderId);
    const { completed } = await expectInvariants(shop, placed, { truffle: STOCK.truffle });
    expect(completed).toBe(STOCK.truffle);
  },
);
