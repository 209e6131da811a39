/** Webhooks of the payment provider that come early, late, doubled, in the wrong order, or from somebody else. */
import { randomUUID } from 'node:crypto';

import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProviderPayment } from '../apps/payment/src/provider.js';
import { sign } from '../apps/payment/src/webhook.js';
import { withBooks } from '../proof/shop/inspect.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const SECRET = 'a secret of the test';
const NEXT_SECRET = 'the one that replaces it';
const lines = [{ sku: 'honey', quantity: 1 }];
const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });

let shop: Shop;
const orderIds: string[] = [];
beforeAll(async () => {
  const payment = { WEBHOOK_SECRET: `${SECRET}, ${NEXT_SECRET}`, PROVIDER_TIMEOUT: '8s' };
  shop = await openShop({ env: { payment } });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 10 });
});
afterAll(() => shop?.close());

/** What the provider reports of a payment, as it would post it. */
const newsOf = (
  data: { readonly status: string; readonly [field: string]: unknown },
  type = `payment.${data.status}`,
) => JSON.stringify({ id: randomUUID(), type, createdAt: new Date().toISOString(), data });

function deliver(body: string, signature = sign(body, SECRET, new Date())) {
  const headers = { 'Content-Type': 'application/json', 'Larder-Signature': signature };
  return request(shop.payment[0]!, shop).post('/webhooks/payments').set(headers).send(body);
}

const authorizationOf = (orderId: string) =>
  withBooks(shop, async ({ payment }) => {
    for await (const { type, data } of payment.store.read(`payment-${orderId}`)) {
      if (type === 'PaymentAuthorized') return (data as { authorizationId: string }).authorizationId;
    }
    throw new Error('Nothing was authorized.');
  });

const paymentOf = async (orderId: string) => (await request(shop.payment[0]!, shop).get(`/payments/${orderId}`)).body;
const ledgerOf = async (orderId: string) =>
  (await request(shop.payment[0]!, shop).get(`/simulator/ledger?orderId=${orderId}`)).body;

/** An order whose payment was asked for, and of which the provider has reported nothing yet. */
async function requested(token: string): Promise<string> {
  const orderId = await shop.place({ lines, token });
  orderIds.push(orderId);
  await shop.until('it was asked to pay', async () => {
    const found = await paymentOf(orderId);
    return { done: found.status === 'requested', found };
  });
  return orderId;
}

test('a webhook before the answer of its call confirms the order while the call still hangs', async () => {
  const orderId = await requested('tok_charged_after_timeout'); // Its first call is never answered.
  await shop.until('it is confirmed', async () => {
    const { body } = await request(shop.order[0]!, shop).get(`/orders/${orderId}`);
    return { done: body.status === 'confirmed', found: body };
  });
  const { text: metrics } = await request(shop.payment[0]!, shop).get('/metrics').expect(200);
  expect(metrics, 'no call to authorize has ended').not.toContain('operation="authorize"');
  // What is next for this payment waits until that call is given up.
  expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
  const { entries } = await ledgerOf(orderId);
  expect(entries.map(({ type }: { type: string }) => type)).toEqual(['authorized', 'captured']);
});

test('repeated, late and reordered webhooks leave a paid order unchanged', async () => {
  const orderId = await shop.place({ lines });
  orderIds.push(orderId);
  await shop.settled(orderId);
  await shop.caughtUp();
  const before = [await paymentOf(orderId), await ledgerOf(orderId)];
  const history = () => request(shop.order[0]!, shop).get(`/orders/${orderId}/history`).expect(200);
  const { body: story } = await history();
  const authorizationId = await authorizationOf(orderId);
  const reported: ProviderPayment[] = [
    { orderId, status: 'captured', authorizationId, captureId: 'c', captured: eur(895), refunded: eur(0) },
    { orderId, status: 'declined', reason: 'canceled' },
    { orderId, status: 'authorized', authorizationId, authorized: eur(895) },
  ];
  for (const body of [...reported, ...reported.toReversed()].map((data) => newsOf(data))) {
    for (let times = 0; times < 2; times++) expect((await deliver(body)).status).toBe(200);
  }
  await shop.caughtUp();
  expect([await paymentOf(orderId), await ledgerOf(orderId)]).toEqual(before);
  expect((await history()).body).toEqual(story);
});

describe("while a payment waits for the provider's decision", () => {
  let orderId: string;
  beforeAll(async () => {
    orderId = await requested('tok_down_30s');
  });

  test('a webhook that can only follow later is not applied yet', async () => {
    const authorizationId = 'auth_1';
    const tooEarly: ProviderPayment[] = [
      { orderId, status: 'captured', authorizationId, captureId: 'c', captured: eur(895), refunded: eur(0) },
      { orderId, status: 'refunded', authorizationId, captureId: 'c', captured: eur(895), refunded: eur(895) },
      { orderId, status: 'voided' },
    ];
    for (const body of tooEarly.map((data) => newsOf(data))) expect((await deliver(body)).status).toBe(200);
    await shop.caughtUp();
    expect(await paymentOf(orderId)).toMatchObject({ status: 'requested', capturedMinor: 0, refundedMinor: 0 });
  });

  const verdict = () => newsOf({ orderId, status: 'declined', reason: 'declined' });
  test.for<[string, (body: string) => { body?: string; signature: string }, string]>([
    ['without a signature', () => ({ signature: '' }), 'signature-malformed'],
    [
      'signed with another secret',
      (body) => ({ signature: sign(body, 'another secret', new Date()) }),
      'signature-forged',
    ],
    [
      'changed on its way',
      (body) => ({
        body: body.replace('"reason":"declined"', '"reason":"canceled"'),
        signature: sign(body, SECRET, new Date()),
      }),
      'signature-forged',
    ],
    ['signed for another', (body) => ({ signature: sign(`${body} `, SECRET, new Date()) }), 'signature-forged'],
    [
      'recorded and sent again after five minutes',
      (body) => ({ signature: sign(body, SECRET, new Date(Date.now() - 5 * 60_000 - 1_000)) }),
      'signature-stale',
    ],
  ])('one that is forged is refused and changes nothing: %s', async ([, forge, code]) => {
    const sound = verdict();
    const { body = sound, signature } = forge(sound);
    const response = await deliver(body, signature);
    expect([response.status, response.body.code]).toEqual([401, code]);
    await shop.caughtUp();
    expect((await paymentOf(orderId)).status).toBe('requested');
  });

  test('a signed webhook is applied, and then ends the payment, whatever other webhooks arrive', async () => {
    const body = verdict();
    await deliver(body, sign(body, NEXT_SECRET, new Date())).expect(200);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'rejected', reason: 'payment-declined' });
    await deliver(verdict()).expect(200);
    await shop.caughtUp();
    expect((await paymentOf(orderId)).status).toBe('declined');
  });
});

test.each<Record<string, unknown> & { status: string }>([
  { status: 'authorized', authorizationId: 'auth_1', authorized: eur(895) },
  { status: 'declined', reason: 'declined' },
  { status: 'captured', authorizationId: 'auth_1', captureId: 'c', captured: eur(895), refunded: eur(0) },
  { status: 'voided' },
  { status: 'refunded', authorizationId: 'auth_1', captureId: 'c', captured: eur(895), refunded: eur(895) },
  { status: 'disputed' },
])('a webhook about an unknown order is 404, so that the provider may retry: $status', async (news) => {
  const orderId = randomUUID();
  const { status, body } = await deliver(newsOf({ ...news, orderId }));
  expect([status, body.code]).toEqual([404, 'payment-not-found']);
  expect((await paymentOf(orderId)).status).toBe(404);
});

test('a webhook of an unknown kind is acknowledged, and counted', async () => {
  const data = { orderId: randomUUID(), status: 'anything' };
  await deliver(newsOf(data, 'payout.paid')).expect(200);
  const { text: metrics } = await request(shop.payment[0]!, shop).get('/metrics').expect(200);
  expect(metrics).toMatch(/larder_webhooks_total\{type="unknown",.*\} 1\n/);
});

test('a webhook whose type and status disagree is refused', async () => {
  const { status, body } = await deliver(newsOf({ orderId: randomUUID(), status: 'voided' }, 'payment.refunded'));
  expect(status).toBe(422);
  expect(JSON.stringify(body.errors)).toContain('/data/status');
});

describe('what the provider does without having been asked', () => {
  test('a hold of another sum is given back, and the order is declined', async () => {
    const orderId = await shop.place({ lines, token: 'tok_held_less' });
    orderIds.push(orderId);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'rejected', reason: 'payment-declined' });
    await shop.caughtUp();
    expect(await paymentOf(orderId)).toMatchObject({
      status: 'voided',
      reason: 'amount-mismatch',
      amount: eur(895),
      capturedMinor: 0,
    });
  });

  test('a second hold is given back by itself', async () => {
    const orderId = await shop.place({ lines, token: 'tok_held_twice' });
    orderIds.push(orderId);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
    await shop.until('the second hold is gone', async () => {
      const { totals } = await ledgerOf(orderId);
      return { done: totals[0].heldMinor === '0', found: totals };
    });
  });

  test('what it gives back of a completed order shows, and a person is told and accepts it', async () => {
    const orderId = await shop.place({ lines, token: 'tok_refunded_by_provider' });
    orderIds.push(orderId);
    expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
    const inbox = async () => {
      const { body } = await request(shop.order[0]!, shop).get('/admin/attention').expect(200);
      return body.items.find((item: { orderId: string }) => item.orderId === orderId);
    };
    await shop.until('a person is told', async () => {
      const found = await inbox();
      return { done: found !== undefined, found };
    });
    expect(await inbox()).toMatchObject({
      happened: expect.stringContaining('EUR 8.95'),
      choices: [{ decision: 'accept' }],
    });
    expect(await paymentOf(orderId)).toMatchObject({ status: 'refunded', capturedMinor: 895, refundedMinor: 895 });
    const { body } = await request(shop.order[0]!, shop).get(`/orders/${orderId}/history`).expect(200);
    expect(body.events).toContainEqual(
      expect.objectContaining({ type: 'OrderPaymentMoved', data: { how: 'refunded', amount: eur(895) } }),
    );
    const decision = { decision: 'accept', reason: 'It is settled with the customer.' };
    await request(shop.order[0]!, shop).post(`/admin/attention/${orderId}`).send(decision).expect(200);
    await request(shop.order[0]!, shop).post(`/admin/attention/${orderId}`).send(decision).expect(200);
    await shop.caughtUp();
    expect(await inbox()).toBeUndefined();
  });
});

test('nothing is lost in the end', async () => {
  await expectInvariants(shop, orderIds, { honey: 10 });
});

test('a second hold of which no webhook came before the provider crashed is told when it starts again', async () => {
  let refuses = true;
  let forgetful: Shop | undefined;
  const receiver = createServer(async (incoming, response) => {
    const body = await text(incoming);
    const headers = {
      'Content-Type': 'application/json',
      'Larder-Signature': `${incoming.headers['larder-signature']}`,
    };
    const url = `${forgetful!.payment[0]}/webhooks/payments`;
    const forward = () => fetch(url, { method: 'POST', headers, body }).then(({ status }) => status);
    response.writeHead(refuses ? 503 : await forward().catch(() => 503)).end(); // It may not listen yet.
  });
  await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
  try {
    const { port } = receiver.address() as AddressInfo;
    forgetful = await openShop({ env: { payment: { WEBHOOK_URL: `http://127.0.0.1:${port}` } } });
    const { payment } = forgetful;
    await forgetful.setPrices({ honey: 895 });
    await forgetful.stockUp({ honey: 10 });
    const orderId = await forgetful.place({ lines, token: 'tok_held_twice' });
    expect(await forgetful.settled(orderId)).toMatchObject({ status: 'completed' });
    const held = async () =>
      (await request(payment[0]!, forgetful!).get(`/simulator/ledger?orderId=${orderId}`)).body.totals[0].heldMinor;
    expect(await held(), 'nobody has heard of it').toBe('895');

    forgetful.kill('payment');
    refuses = false;
    await forgetful.restart('payment');
    await forgetful.until('the second hold is gone', async () => {
      const found = await held();
      return { done: found === '0', found };
    });
    await expectInvariants(forgetful, [orderId], { honey: 10 });
  } finally {
    await forgetful?.close();
    receiver.closeAllConnections();
    receiver.close();
  }
});
