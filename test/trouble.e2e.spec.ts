/** Bad input over HTTP and over the bus, and forged webhooks. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sign } from '../apps/payment/src/webhook.js';
import { orderEvents } from '#contracts';
import { MALFORMED } from '#message-bus';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import type { Test } from 'supertest';
import request from './support/http.js';
import { openShop, type Shop } from './support/shop.js';

const SECRET = 'a secret of the test';

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ env: { payment: { WEBHOOK_SECRET: SECRET } } });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 10 });
});
afterAll(() => shop?.close());

const order = () => ({
  customerId: randomUUID(),
  lines: [{ sku: 'honey', quantity: 1 }],
  payment: { token: 'tok_approved' },
});
const post = () => request(shop.order[0]!, shop).post('/orders').set('Idempotency-Key', randomUUID());

describe('a bad request gets an answer that names what is wrong', () => {
  const base = order();
  test.for<[string, object, string, string]>([
    ['no quantity', { ...base, lines: [{ sku: 'honey' }] }, 'invalid-request', '/lines/0/quantity'],
    ['quantity 0', { ...base, lines: [{ sku: 'honey', quantity: 0 }] }, 'invalid-request', '/lines/0/quantity'],
    ['half a unit', { ...base, lines: [{ sku: 'honey', quantity: 0.5 }] }, 'invalid-request', '/lines/0/quantity'],
    ['too many', { ...base, lines: [{ sku: 'honey', quantity: 1_000_001 }] }, 'invalid-request', '/lines/0/quantity'],
    ['a SKU in capitals', { ...base, lines: [{ sku: 'HONEY', quantity: 1 }] }, 'invalid-request', '/lines/0/sku'],
    ['no lines', { ...base, lines: [] }, 'invalid-request', '/lines'],
    ['no customer', { ...base, customerId: 'me' }, 'invalid-request', '/customerId'],
    ['an unknown field', { ...base, coupon: 'free' }, 'invalid-request', ''],
  ])('%s: 422 with a pointer', async ([, body, code, pointer]) => {
    const response = await post().send(body).expect(422);
    expect(response.type).toBe('application/problem+json');
    expect(response.body).toMatchObject({ code, status: 422 });
    expect(response.body.errors.map((error: { pointer: string }) => error.pointer)).toContain(pointer);
  });

  test('an unknown SKU, and a SKU twice: 422', async () => {
    const unknown = await post().send({ ...order(), lines: [{ sku: 'gold', quantity: 1 }] });
    expect([unknown.status, unknown.body.code]).toEqual([422, 'unknown-sku']);
    const line = { sku: 'honey', quantity: 1 };
    const twice = await post().send({ ...order(), lines: [line, line] });
    expect([twice.status, twice.body.code]).toEqual([422, 'duplicate-sku']);
  });

  test('a total that is another than expected: 409 with the present one; and a SKU that is withdrawn: 422', async () => {
    const prices = (sku: string) => `/prices/${sku}`;
    const price = { amountMinor: 250, currency: 'EUR' };
    await request(shop.order[0]!, shop).put(prices('sage')).send(price).expect(200);
    const sage = { ...order(), lines: [{ sku: 'sage', quantity: 2 }] };
    const changed = await post().send({ ...sage, expectedTotal: { amountMinor: 499, currency: 'EUR' } });
    expect([changed.status, changed.body.code, changed.body.total]).toEqual([
      409,
      'price-changed',
      { amountMinor: 500, currency: 'EUR' },
    ]);
    await post()
      .send({ ...sage, expectedTotal: changed.body.total })
      .expect(202);

    const none = await request(shop.order[0]!, shop).delete(prices('gold'));
    expect([none.status, none.body.code]).toEqual([404, 'price-not-found']);
    const { headers, body } = await request(shop.order[0]!, shop).delete(prices('sage')).expect(200);
    expect(body).toEqual({ sku: 'sage' });
    const position = headers['larder-position']!;
    const listed = await request(shop.order[0]!, shop).get('/prices').set('Larder-Position', position).expect(200);
    expect(listed.body.items.map(({ sku }: { sku: string }) => sku)).not.toContain('sage');
    const refused = await post().set('Larder-Position', position).send(sage);
    expect([refused.status, refused.body.code]).toEqual([422, 'unknown-sku']);
    await request(shop.order[0]!, shop).delete(prices('sage')).expect(200);
    await request(shop.order[0]!, shop).put(prices('sage')).send(price).expect(200);
  });

  test('amount and currency out of range: 422', async () => {
    for (const price of [
      { amountMinor: -1, currency: 'EUR' },
      { amountMinor: 1.5, currency: 'EUR' },
      { amountMinor: 1, currency: 'euro' },
      { amountMinor: 1e12 + 1, currency: 'EUR' },
      { amountMinor: 1, currency: 'ABC' },
      { amountMinor: 1, currency: 'XAU' },
    ]) {
      const { status, body } = await request(shop.order[0]!, shop).put('/prices/honey').send(price);
      expect([status, body.code]).toEqual([422, 'invalid-request']);
    }
  });

  test('no Idempotency-Key, no JSON, another content type, too large, unknown path', async () => {
    const codes = async (sent: Test) => {
      const { status, body } = await sent;
      expect(JSON.stringify(body)).not.toMatch(/node_modules|\.ts|\.js|SELECT|at \w+ \(/);
      return [status, body.code];
    };
    const orders = () => request(shop.order[0]!, shop).post('/orders');
    expect(await codes(orders().send(order()))).toEqual([400, 'idempotency-key-missing']);
    expect(await codes(post().set('Content-Type', 'application/json').send('{"customerId":'))).toEqual([
      400,
      'malformed-json',
    ]);
    expect(await codes(post().set('Content-Type', 'text/plain').send('hello'))).toEqual([
      415,
      'unsupported-media-type',
    ]);
    expect(await codes(post().send({ ...order(), payment: { token: 'x'.repeat(102_500) } }))).toEqual([
      413,
      'body-too-large',
    ]);
    expect(await codes(request(shop.order[0]!, shop).get(`/orders/${randomUUID()}`))).toEqual([404, 'order-not-found']);
    expect(await codes(request(shop.order[0]!, shop).get(`/orders/${randomUUID()}/history`))).toEqual([
      404,
      'order-not-found',
    ]);
    expect(await codes(request(shop.order[0]!, shop).post(`/orders/${randomUUID()}/cancel`))).toEqual([
      404,
      'order-not-found',
    ]);
    expect(await codes(request(shop.order[0]!, shop).get('/orders/42'))).toEqual([422, 'invalid-request']);
    expect(await codes(request(shop.order[0]!, shop).get('/orders?cursor=no'))).toEqual([422, 'invalid-request']);
    const yearBefore1 = Buffer.from(`-000001-01-01T00:00:00.000Z ${randomUUID()}`).toString('base64url');
    for (const [url, path] of [
      [shop.order[0]!, '/orders'],
      [shop.order[0]!, '/prices'],
      [shop.inventory[0]!, '/stock'],
      [shop.order[0]!, '/admin/attention'],
      [shop.order[0]!, '/admin/dead-letters'],
      [shop.order[0]!, '/admin/dead-letters/decisions'],
    ] as const) {
      const answer = request(url, shop).get(`${path}?cursor=${yearBefore1}`);
      expect(await codes(answer), `a doctored cursor of ${path}`).toEqual([422, 'invalid-request']);
    }
    expect(await codes(request(shop.inventory[0]!, shop).get('/stock/gold'))).toEqual([404, 'stock-not-found']);
    expect(await codes(request(shop.inventory[0]!, shop).get(`/reservations/${randomUUID()}`))).toEqual([
      404,
      'reservation-not-found',
    ]);
    expect(await codes(request(shop.payment[0]!, shop).get(`/payments/${randomUUID()}`))).toEqual([
      404,
      'payment-not-found',
    ]);
    expect(await codes(request(shop.order[0]!, shop).get('/nothing/here'))).toEqual([404, 'not-found']);
    expect(await codes(request(shop.order[0]!, shop).get('/orders').set('Larder-Position', 'soon'))).toEqual([
      400,
      'invalid-position',
    ]);
  });

  test('ids in upper case are the same ids', async () => {
    const customerId = randomUUID();
    const sent = { ...order(), customerId: customerId.toUpperCase() };
    const { body } = await post().send(sent).expect(202);
    expect(body.customerId).toBe(customerId);
    await shop.settled(body.orderId);
    for (const path of ['', '/history']) {
      await request(shop.order[0]!, shop).get(`/orders/${body.orderId.toUpperCase()}${path}`).expect(200);
    }
    const { body: list } = await request(shop.order[0]!, shop).get(`/orders?customerId=${customerId.toUpperCase()}`);
    expect(list.items).toHaveLength(1);
  });

  test('a repeated receipt is booked once, and a repeated recount corrects the stock once', async () => {
    const receive = (key: string, quantity: number) =>
      request(shop.inventory[0]!, shop).post('/stock/tea/receipts').set('Idempotency-Key', key).send({ quantity });
    const [first, again, other] = [await receive('a', 5), await receive('a', 5), await receive('a', 6)];
    expect([first.status, first.body]).toEqual([201, { sku: 'tea', available: 5, reserved: 0, shipped: 0 }]);
    expect([again.status, again.body]).toEqual([201, first.body]);
    expect([other.status, other.body.code]).toEqual([422, 'idempotency-key-reused']);
    const position = first.headers['larder-position']!;
    const { body } = await request(shop.inventory[0]!, shop)
      .get('/stock/tea')
      .set('Larder-Position', position)
      .expect(200);
    expect(body).toEqual(first.body);

    const recount = (key: string, counted: number) =>
      request(shop.inventory[0]!, shop).post('/stock/tea/recounts').set('Idempotency-Key', key).send({ counted });
    expect((await recount('c', 3).expect(201)).body).toMatchObject({ available: 3, difference: -2 });
    await receive('d', 1).expect(201);
    expect((await recount('c', 3).expect(201)).body).toMatchObject({ available: 3, difference: -2 });
    expect((await receive('a', 5)).body).toEqual(first.body);

    for (const [asOf, code] of [
      ['inventory:99999999', 'unknown-position'],
      ['order:1', 'invalid-request'],
      ['yesterday', 'invalid-request'],
    ]) {
      const refused = await request(shop.inventory[0]!, shop)
        .post('/stock/tea/recounts')
        .set('Idempotency-Key', randomUUID())
        .send({ counted: 5, asOf });
      expect([refused.status, refused.body.code]).toEqual([422, code]);
    }
    const asOf = (await receive('e', 1).expect(201)).headers['larder-position']!;
    await receive('f', 2).expect(201);
    const counted = await request(shop.inventory[0]!, shop)
      .post('/stock/tea/recounts')
      .set('Idempotency-Key', randomUUID())
      .send({ counted: 6, asOf });
    expect([counted.status, counted.body]).toEqual([
      201,
      { sku: 'tea', available: 8, reserved: 0, shipped: 0, difference: 1 },
    ]);
  });

  test('what can be received can be counted', async () => {
    const book = (kind: 'receipts' | 'recounts', body: object) =>
      request(shop.inventory[0]!, shop).post(`/stock/rice/${kind}`).set('Idempotency-Key', randomUUID()).send(body);
    await book('receipts', { quantity: 1_000_000 }).expect(201);
    await book('receipts', { quantity: 1_000_000 }).expect(201);
    const { body } = await book('recounts', { counted: 2_000_001 }).expect(201);
    expect(body).toMatchObject({ available: 2_000_001, difference: 1 });
  });
});

describe('a webhook', () => {
  const deliver = (webhook: object, signature?: string, at = new Date()) => {
    const body = JSON.stringify(webhook);
    return request(shop.payment[0]!, shop)
      .post('/webhooks/payments')
      .set('Content-Type', 'application/json')
      .set('Larder-Signature', signature ?? sign(body, SECRET, at))
      .send(body);
  };

  test('forged: 401; stale: 401; repeated: 200 and no effect', async () => {
    const orderId = await shop.place({ lines: [{ sku: 'honey', quantity: 1 }] });
    await shop.settled(orderId);
    await shop.caughtUp();
    const webhook = {
      id: 'evt_1',
      type: 'payment.declined',
      createdAt: new Date().toISOString(),
      data: { orderId, status: 'declined', reason: 'declined' },
    };
    const before = await request(shop.payment[0]!, shop).get(`/payments/${orderId}`);
    const forged = await deliver(webhook, sign('something else', SECRET, new Date()));
    expect([forged.status, forged.body.code]).toEqual([401, 'signature-forged']);
    const stale = await deliver(webhook, undefined, new Date(Date.now() - 6 * 60_000));
    expect([stale.status, stale.body.code]).toEqual([401, 'signature-stale']);
    await deliver(webhook).expect(200);
    await deliver(webhook).expect(200);
    await shop.caughtUp();
    const after = await request(shop.payment[0]!, shop).get(`/payments/${orderId}`);
    expect(after.body).toEqual(before.body);
  });
});

describe('a message of a foreign producer', () => {
  const publish = async (...messages: { key: string; type: string; data: object }[]) => {
    const bus = await PostgresMessageBus.open({ url: shop.databases.bus, clock: new SystemClock() });
    const envelope = { source: '/elsewhere', time: new Date().toISOString(), correlationId: 'elsewhere' };
    await bus.publish(
      orderEvents.name,
      messages.map((message) => ({ ...envelope, id: randomUUID(), ...message })),
    );
    await bus.close();
  };
  const inventory = () => request(shop.inventory[0]!, shop);
  const count = async (metric: string) => {
    const { text } = await inventory().get('/metrics').expect(200);
    return Number(
      new RegExp(`^${metric}\\{topic="${orderEvents.name}",service="inventory"\\} (\\d+)$`, 'm').exec(text)?.[1],
    );
  };
  const counted = (metric: string, expected: number) =>
    shop.until(`${metric} is ${expected}`, async () => {
      const found = await count(metric);
      return { done: found === expected, found };
    });
  /** An order that is called off before inventory learned of it leaves a tombstone: its cancellation arrived. */
  const calledOff = (orderId: string) => ({
    key: orderId,
    type: 'OrderCancelled',
    data: { orderId, reason: 'customer' },
  });
  const heardOf = (orderId: string) =>
    shop.until(`inventory has learned of ${orderId}`, async () => {
      const { status } = await inventory().get(`/reservations/${orderId}`);
      return { done: status === 200, found: status };
    });

  test('of an unknown type is skipped and counted; its key continues', async () => {
    const key = randomUUID();
    expect(await count('larder_messages_skipped_total')).toBe(0);
    const unknown = { key, type: 'OrderGiftWrapped', data: { ribbon: 'red' } };
    await publish(unknown, unknown, calledOff(key));
    await heardOf(key);
    expect(await count('larder_messages_skipped_total')).toBe(2);
    expect(shop.logs('inventory').match(/"type":"OrderGiftWrapped"/g)).toHaveLength(1);
    expect((await inventory().get('/admin/dead-letters')).body).toEqual({ items: [] });
  });

  test('that is malformed is a dead letter with the reason, however often it is retried; once skipped, its key continues', async () => {
    const [broken, sound] = [randomUUID(), randomUUID()];
    const data = { reason: 'It has no header ce_type.', headers: { 'content-type': 'text/plain' }, value: 'hello' };
    await publish({ key: broken, type: MALFORMED, data }, calledOff(broken), calledOff(sound));
    await heardOf(sound);
    for (const times of [1, 2]) {
      await counted('larder_dead_letters_total', times);
      const letter = await shop.until('it is a dead letter', async () => {
        const { body } = await inventory().get('/admin/dead-letters').expect(200);
        return { done: body.items.length === 1, found: body.items[0] };
      });
      expect(letter).toMatchObject({ key: broken, attempts: 1, message: { type: MALFORMED, data } });
      expect(letter.error).toContain(data.reason);
      expect((await inventory().get(`/reservations/${broken}`)).status).toBe(404);
      await inventory()
        .post(`/admin/dead-letters/${letter.id}/${times === 1 ? 'retry' : 'skip'}`)
        .send({ reason: 'a test' })
        .expect(200);
    }
    await heardOf(broken);
    expect((await inventory().get('/admin/dead-letters')).body).toEqual({ items: [] });
  });
});
