/** What the program may not decide alone: the inbox shows it, and a person's decision is carried out, as events. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ADA } from '../proof/shop/open-shop.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

let shop: Shop;
const placed: string[] = [];
beforeAll(async () => {
  shop = await openShop({ env: { order: { ORDER_DEADLINE: '1h' } } });
  await shop.setPrices({ 'olive-oil': 1299 });
  await shop.stockUp({ 'olive-oil': 100 });
});
afterAll(async () => {
  await expectInvariants(shop, placed, { 'olive-oil': 100 });
  await shop.close();
});

async function place(token: string): Promise<string> {
  const orderId = await shop.place({ lines: [{ sku: 'olive-oil', quantity: 2 }], token });
  placed.push(orderId);
  return orderId;
}

const order = () => request(shop.order[0]!, shop);
const decide = (orderId: string, decision: object) =>
  order()
    .post(`/admin/attention/${orderId}`)
    .send({ reason: 'The customer called.', ...decision });

/** The item of an order, once there is one. */
function item(orderId: string) {
  return shop.until(`order ${orderId} needs attention`, async () => {
    const { body } = await order().get('/admin/attention').expect(200);
    const found = body.items.find((each: { orderId: string }) => each.orderId === orderId);
    return { done: found !== undefined, found };
  });
}

/** The order among the past cases. */
async function past(orderId: string) {
  await shop.caughtUp();
  const { body } = await order().get('/admin/past-attention').expect(200);
  return body.items.find((each: { orderId: string }) => each.orderId === orderId);
}

const history = async (orderId: string) => (await order().get(`/orders/${orderId}/history`).expect(200)).body.events;
const ledger = async (orderId: string): Promise<string[]> =>
  (await request(shop.payment[0]!, shop).get(`/simulator/ledger?orderId=${orderId}`)).body.entries.map(
    ({ type }: { type: string }) => type,
  );

describe('a capture that the provider refuses', () => {
  test('is listed with what is held and what can be done; called off, its stock and money go back, as events', async () => {
    const orderId = await place('tok_capture_refused');
    expect(await item(orderId)).toMatchObject({
      happened: 'The order is confirmed, and the payment provider refuses to take EUR 25.98: refused-by-issuer.',
      held: {
        lines: [{ sku: 'olive-oil', quantity: 2 }],
        money: { amountMinor: 2598, currency: 'EUR', state: 'held' },
      },
      choices: [{ decision: 'retry' }, { decision: 'call-off' }],
    });
    const metrics = await order().get('/metrics');
    expect(metrics.text).toMatch(/^larder_attention\{service="order"\} 1$/m);

    await decide(orderId, { decision: 'call-off' }).expect(200);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'operator' });
    expect(await history(orderId)).toContainEqual(
      expect.objectContaining({
        type: 'OrderCancelled',
        data: { reason: 'operator' },
        actor: ADA,
        reason: 'The customer called.',
      }),
    );
    expect(await ledger(orderId)).toEqual(['authorized', 'voided']);
    expect((await order().get('/admin/attention')).body).toEqual({ items: [] });
    const decisions = [{ decision: 'call-off', by: ADA, reason: 'The customer called.', at: expect.any(String) }];
    // Its stock may have been shipped by then.
    const back =
      /^The order was cancelled \(operator\): its stock was (released|returned), and the hold on its money was released\.$/;
    const became = expect.stringMatching(back);
    expect(await past(orderId)).toEqual({ orderId, at: expect.any(String), decisions, became, isOver: true });

    const before = await history(orderId);
    await decide(orderId, { decision: 'call-off' }).expect(200);
    expect(await history(orderId), 'deciding twice is harmless').toEqual(before);
    const { body } = await decide(orderId, { decision: 'retry' }).expect(409);
    expect(body).toMatchObject({ code: 'nothing-to-retry', detail: expect.stringContaining('cancelled') });
  });

  test('is tried again when a person asks for it', async () => {
    const orderId = await place('tok_capture_refused_once');
    await item(orderId);
    await decide(orderId, { decision: 'retry' }).expect(200);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
    expect(await ledger(orderId)).toEqual(['authorized', 'captured']);
    const { body } = await decide(orderId, { decision: 'call-off' }).expect(409);
    expect(body.code).toBe('order-completed');
    expect(await past(orderId)).toMatchObject({
      decisions: [{ decision: 'retry', by: ADA, reason: 'The customer called.' }],
      became: 'The order is completed: its stock is shipped, and its money taken.',
      isOver: true,
    });
  });

  test('appears in the inbox again when it is refused again, with the attempts so far', async () => {
    const orderId = await place('tok_capture_refused');
    await item(orderId);
    await decide(orderId, { decision: 'retry' }).expect(200);
    const again = await shop.until('it was refused a second time', async () => {
      const found = await item(orderId);
      return { done: found.tried.length === 3, found };
    });
    expect(again.tried.map(({ what }: { what: string }) => what)).toEqual([
      'The capture was refused: refused-by-issuer.',
      `A reminder was sent (fulfilment), as ${ADA} decided: “The customer called.”.`,
      'The capture was refused: refused-by-issuer.',
    ]);
    expect(await past(orderId)).toMatchObject({
      decisions: [{ decision: 'retry' }],
      became: 'The order is confirmed, and the payment provider refuses to take EUR 25.98: refused-by-issuer.',
      isOver: false,
    });
    await decide(orderId, { decision: 'call-off' }).expect(200);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'operator' });
    expect(await past(orderId)).toMatchObject({
      decisions: [{ decision: 'retry' }, { decision: 'call-off' }],
      isOver: true,
    });
  });

  test('is listed when it is over, the latest first and page by page; a cursor that is none is refused', async () => {
    type Page = { items: { orderId: string }[]; next?: string };
    const read = async (query: string): Promise<Page> =>
      (await order().get(`/admin/past-attention?limit=2${query}`).expect(200)).body;
    const first = await read('');
    const second = await read(`&cursor=${first.next}`);
    const listed = [...first.items, ...second.items].map(({ orderId }) => orderId);
    expect(second.next).toBeUndefined();
    expect(listed).toEqual(placed.slice(0, 3).toReversed());
    expect((await order().get('/admin/past-attention?cursor=none').expect(422)).body.code).toBe('invalid-request');
    await order().get('/admin/past-attention').set(shop.as(randomUUID(), 'customer')).expect(403);
  });
});

test('calling off an order that is paid and being shipped brings units and money back, a refused refund after a retry', async () => {
  await shop.stop('payment');
  const orderId = await place('tok_refund_refused_once');
  await shop.until('its stock is reserved', async () => {
    const { body } = await order().get(`/orders/${orderId}`);
    return { done: body.status === 'stock-reserved', found: body };
  });
  await shop.stop('inventory');
  await shop.restart('payment');
  await shop.until('its money is taken', async () => {
    const found = await ledger(orderId);
    return { done: found.includes('captured'), found };
  });
  await decide(orderId, { decision: 'call-off' }).expect(200);
  expect(await item(orderId)).toMatchObject({
    happened: expect.stringContaining('the payment provider refuses to refund EUR 25.98: refused-by-issuer'),
    choices: [{ decision: 'retry' }],
  });
  await decide(orderId, { decision: 'retry' }).expect(200);
  await shop.restart('inventory');
  expect(await shop.settled(orderId)).toMatchObject({ status: 'cancelled', reason: 'operator' });
  expect(await ledger(orderId)).toEqual(['authorized', 'captured', 'refunded']);
  const { body } = await request(shop.inventory[0]!, shop).get(`/reservations/${orderId}`).expect(200);
  expect(body.status, 'inventory ships what was confirmed, and then learns that it is called off').toBe('returned');
});

test('an unknown order is 404, a malformed decision 422, and neither changes anything', async () => {
  const unknown = await decide(randomUUID(), { decision: 'call-off' }).expect(404);
  expect(unknown.body.code).toBe('order-not-found');
  const orderId = await place('tok_approved');
  await shop.settled(orderId);
  for (const [body, field] of [
    [{ decision: 'call-off', reason: undefined }, 'reason'],
    [{ decision: 'call-off', actor: 'the CFO' }, 'actor'],
    [{ decision: 'give-up' }, 'decision'],
  ] as const) {
    const { body: problem } = await decide(orderId, body).expect(422);
    expect(JSON.stringify(problem)).toContain(field);
  }
  await decide('not-an-id', { decision: 'retry' }).expect(422);
  for (const [service, code] of [
    [shop.inventory[0]!, 'reservation-not-found'],
    [shop.payment[0]!, 'payment-not-found'],
  ] as const) {
    expect((await request(service, shop).get('/admin/attention').expect(200)).body).toEqual({ items: [] });
    const decision = { decision: 'call-off', reason: 'a test' };
    const { body } = await request(service, shop).post(`/admin/attention/${randomUUID()}`).send(decision).expect(404);
    expect(body.code).toBe(code);
    const late = await request(service, shop).post(`/admin/attention/${orderId}`).send(decision).expect(409);
    expect(late.body.code).toBe('nothing-held');
  }
});
