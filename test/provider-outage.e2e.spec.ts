/**
 * Payment is away for longer than an order may take, and comes back: first the service, then the provider behind it. And
 * while a provider hangs, nothing but payments waits.
 */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { sign } from '../apps/payment/src/webhook.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const SECRET = 'a secret of the test';
const RECEIVED = 1_000;
/** The calls of a provider that hangs need not take long to end. */
const IMPATIENT = { payment: { PROVIDER_TIMEOUT: '500ms', WEBHOOK_SECRET: SECRET } };
/** Of each kind: paid at once, slow, held without an answer, captured late, declined. */
const tokens = [
  'tok_approved',
  'tok_slow',
  'tok_charged_after_timeout',
  'tok_capture_fails_twice',
  'tok_declined',
] as const;

let books: pg.Client | undefined;
afterEach(async () => {
  await books?.end();
  books = undefined;
});

const linesOf = (sku: string) => [{ sku, quantity: 2 }];

function place(open: Shop, count: number, sku: string): Promise<string[]> {
  const order = (n: number) => ({ lines: linesOf(sku), token: tokens[n % tokens.length]! });
  return Promise.all(Array.from({ length: count }, (_, n) => open.place(order(n))));
}

async function offer(open: Shop, sku: string): Promise<void> {
  await open.setPrices({ [sku]: 895 });
  await open.stockUp({ [sku]: RECEIVED });
}

/** The provider hangs: it answers nobody until it gets its books back, and then also those who went away. */
async function takeBooks(open: Shop): Promise<{ giveBack: () => Promise<unknown> }> {
  const client = (books = new pg.Client({ connectionString: open.databases.payment }));
  await client.connect();
  await client.query('BEGIN');
  await client.query('LOCK TABLE simulated_payments IN ACCESS EXCLUSIVE MODE');
  return { giveBack: () => client.query('ROLLBACK') };
}

const orderOf = async (open: Shop, orderId: string) =>
  (await request(open.order[0]!, open).get(`/orders/${orderId}`)).body;

/** Waits until these are called off because they took too long, and checks that none of them is settled. */
async function lateOnes(open: Shop, orderIds: readonly string[]): Promise<void> {
  for (const orderId of orderIds) {
    const order = await open.until(`order ${orderId} is called off`, async () => {
      const found = await orderOf(open, orderId);
      return { done: found.status === 'cancelled', found };
    });
    expect(order).toMatchObject({ reason: 'deadline', settled: false });
  }
}

async function everyOrderHasItsEnd(open: Shop, orderIds: readonly string[], sku: string): Promise<void> {
  for (const orderId of orderIds) await open.settled(orderId);
  await expectInvariants(open, orderIds, { [sku]: RECEIVED });
}

describe('an order has two seconds', () => {
  let open: Shop;
  beforeAll(async () => {
    open = await openShop({ env: { ...IMPATIENT, order: { ORDER_DEADLINE: '2s' } } });
    await Promise.all(['honey', 'tea'].map((sku) => offer(open, sku)));
  });
  afterAll(() => open?.close());

  test(
    'after an outage of payment longer than the deadline nothing stays held and all money is where it belongs',
    { timeout: 120_000 },
    async () => {
      const before = await place(open, 30, 'honey'); // In whatever step they are when it happens.
      open.kill('payment');
      const meanwhile = await place(open, 30, 'honey');
      await lateOnes(open, meanwhile);
      await open.restart('payment');
      await everyOrderHasItsEnd(open, [...before, ...meanwhile], 'honey');
    },
  );

  test(
    'after an outage of the provider longer than the deadline nothing stays held and all money is where it belongs',
    { timeout: 120_000 },
    async () => {
      const before = await place(open, 30, 'tea');
      const { giveBack } = await takeBooks(open);
      const meanwhile = await place(open, 30, 'tea');
      await lateOnes(open, meanwhile);
      await giveBack();
      await everyOrderHasItsEnd(open, [...before, ...meanwhile], 'tea');
    },
  );
});

test(
  'while the provider hangs only payments wait; its circuit opens, and closes when it is back',
  { timeout: 120_000 },
  async () => {
    await using open = await openShop({ env: IMPATIENT });
    await offer(open, 'honey');
    const payment = () => request(open.payment[0]!, open);
    const circuit = (expected: string) =>
      open.until(`the circuit is ${expected}`, async () => {
        const { status, body } = await payment().get('/health/ready');
        expect([status, body.status]).toEqual([200, 'ready']);
        return { done: body.checks.provider.circuit === expected, found: body.checks.provider };
      });
    const metric = async (sample: string) => {
      const { text } = await payment().get('/metrics').expect(200);
      return Number(
        text
          .split('\n')
          .find((line) => line.startsWith(`${sample} `))
          ?.split(' ')[1],
      );
    };
    expect(await circuit('closed')).toEqual({ status: 'up', circuit: 'closed' });
    expect(await metric('larder_provider_circuit{service="payment"}')).toBe(0);

    const { giveBack } = await takeBooks(open);
    const orderIds = await place(open, 100, 'honey');
    expect(await circuit('open')).toEqual({ status: 'up', circuit: 'open' });
    // While one call finds out whether the provider is back, it is half-open.
    expect([1, 2]).toContain(await metric('larder_provider_circuit{service="payment"}'));
    expect(
      await metric('larder_provider_calls_total{operation="authorize",outcome="timeout",service="payment"}'),
    ).toBeGreaterThan(0);

    // Orders are taken and stock is reserved, in all three services.
    const another = await open.place({ lines: linesOf('honey') });
    orderIds.push(another);
    await open.until('its stock is reserved and its payment is asked for', async () => {
      const found = await payment().get(`/payments/${another}`);
      return { done: found.status === 200 && (await orderOf(open, another)).status === 'stock-reserved', found };
    });
    // A webhook is recorded, and its order continues to its end.
    const data = { orderId: another, status: 'declined', reason: 'declined' };
    const news = JSON.stringify({
      id: randomUUID(),
      type: 'payment.declined',
      createdAt: new Date().toISOString(),
      data,
    });
    await payment()
      .post('/webhooks/payments')
      .set('Content-Type', 'application/json')
      .set('Larder-Signature', sign(news, SECRET, new Date()))
      .send(news)
      .expect(200);
    expect(await open.settled(another)).toMatchObject({ status: 'rejected', reason: 'payment-declined' });
    // A customer changes their mind.
    await request(open.order[0]!, open).post(`/orders/${orderIds[0]}/cancel`).expect(202);
    // Reads and probes are answered at once: the service gives a slow request 1.8 s.
    for (let n = 0; n < 20; n++) {
      await payment().get(`/payments/${orderIds[n]}`).expect(200);
      await payment().get('/admin/projections').expect(200);
      await payment().get('/health/live').expect(200);
      await payment().get('/health/ready').expect(200);
      await request(open.order[0]!, open).get(`/orders/${orderIds[n]}`).expect(200);
      await request(open.inventory[0]!, open).get('/stock/honey').expect(200);
    }

    await giveBack();
    for (const orderId of orderIds) await open.settled(orderId);
    await circuit('closed');
    expect(await metric('larder_provider_circuit{service="payment"}')).toBe(0);
    // Where its call had been made, it was carried out before those of the others: what it holds goes back too.
    await open.until('nothing is held for the order that the webhook ended', async () => {
      const { body } = await payment().get(`/simulator/ledger?orderId=${another}`);
      const types = body.entries.map(({ type }: { type: string }) => type);
      return { done: types.length === 0 || types.includes('voided'), found: types };
    });
    const { completed } = await expectInvariants(open, orderIds, { honey: RECEIVED });
    expect(completed).toBeGreaterThan(70);
  },
);
