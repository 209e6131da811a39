/** Recipients over HTTP, at the compiled services with two instances of order: who is shown them, and their end. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import pg from 'pg';
import supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freePort } from '../scripts/lib/embedded-postgres.js';
import { freshDatabase } from './support/database.js';
import { openShop, type Shop } from './support/shop.js';

const recipient = {
  name: 'Wilhelmina Quastenberg',
  email: 'wilhelmina@quastenberg.example',
  address: { street: 'Zwetschgenallee 17', postalCode: '99-Q4', city: 'Ütersen', country: 'DE' },
};

let shop: Shop;
beforeAll(async () => {
  shop = await openShop({ instances: { order: 2 } });
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 1_000 });
});
afterAll(() => shop?.close());

type Headers = Readonly<Record<string, string>>;
const http = (instance = 0) => supertest(shop.order[instance]!);
const customer = () => {
  const id = randomUUID();
  return { id, own: shop.as(id, 'customer') };
};
const clerk = () => shop.as('carla', 'clerk');
const operator = () => shop.as('otto', 'operator');

function order(caller: Headers, { key = randomUUID(), token = 'tok_approved', more = {}, instance = 0 } = {}) {
  const body = { lines: [{ sku: 'honey', quantity: 1 }], payment: { token }, recipient, ...more };
  return http(instance).post('/orders').set(caller).set('Idempotency-Key', key).send(body);
}

/** The id of an order with a recipient that is settled. */
async function settledOrder(caller: Headers, instance = 0): Promise<string> {
  const { orderId } = (await order(caller, { instance }).expect(202)).body;
  await shop.settled(orderId);
  return orderId;
}

const path = (id: string) => `/customers/${id}/personal-data`;
const shown = async (orderId: string, caller: Headers, instance = 0, after: Headers = {}) =>
  (await http(instance).get(`/orders/${orderId}`).set(caller).set(after).expect(200)).body;

describe('a recipient', () => {
  test('is shown to its customer and to a clerk, of one order and in its history, at each instance', async () => {
    const { own } = customer();
    const orderId = await settledOrder(own);
    for (const instance of [0, 1]) {
      for (const caller of [own, clerk()]) {
        expect((await shown(orderId, caller, instance)).recipient).toEqual(recipient);
        const history = (await http(instance).get(`/orders/${orderId}/history`).set(caller).expect(200)).body;
        expect(history.order.recipient).toEqual(recipient);
        expect(JSON.stringify(history.events)).not.toMatch(/recipient/i);
      }
    }
  });

  test('is not shown to an operator, in lists, and where an order is placed or cancelled', async () => {
    const { id, own } = customer();
    const placed = await order(own, { token: 'tok_slow' }).expect(202);
    const { orderId } = placed.body;
    const position = { 'Larder-Position': placed.headers['larder-position']! };
    const cancelled = await http().post(`/orders/${orderId}/cancel`).set(own).expect(202);
    const list = await http().get('/orders').set(own).set(position).expect(200);
    const byStaff = await http().get(`/orders?customerId=${id}`).set(clerk()).set(position).expect(200);
    const one = await http().get(`/orders/${orderId}`).set(operator()).set(position).expect(200);
    const history = await http().get(`/orders/${orderId}/history`).set(operator()).expect(200);
    expect(list.body.items).toHaveLength(1);
    for (const { body } of [placed, cancelled, list, byStaff, one, history]) {
      expect(JSON.stringify(body)).not.toMatch(/recipient|Quastenberg/);
    }
  });

  test('that is the same is the same order again, and another is refused', async () => {
    const { own } = customer();
    const key = randomUUID();
    const first = (await order(own, { key }).expect(202)).body;
    expect((await order(own, { key, instance: 1 }).expect(202)).body).toEqual(first);
    const decomposed = { ...recipient, address: { ...recipient.address, city: 'U\u0308tersen' } };
    expect((await order(own, { key, more: { recipient: decomposed } }).expect(202)).body).toEqual(first);
    const other = { ...recipient, name: 'Somebody Else' };
    for (const more of [{ recipient: other }, { recipient: undefined }]) {
      expect((await order(own, { key, more }).expect(422)).body.code).toBe('idempotency-key-reused');
    }
  });

  test.each([
    ['name', { ...recipient, name: ' ' }],
    ['name', { ...recipient, name: 'x'.repeat(201) }],
    ['name', { ...recipient, name: 'a\u0000b' }],
    ['email', { ...recipient, email: 'nobody' }],
    ['address/country', { ...recipient, address: { ...recipient.address, country: 'XX' } }],
    ['address/country', { ...recipient, address: { ...recipient.address, country: 'de' } }],
    ['address/city', { ...recipient, address: { ...recipient.address, city: undefined } }],
    ['address', { ...recipient, address: { ...recipient.address, floor: 3 } }],
    ['', { ...recipient, phone: '0049' }],
  ])('is refused by its member /%s, and the refusal repeats nothing of it', async (member, wrong) => {
    const { body } = await order(customer().own, { more: { recipient: wrong } }).expect(422);
    expect(body).toMatchObject({
      code: 'invalid-request',
      errors: [{ pointer: `/recipient${member && '/'}${member}` }],
    });
    expect(JSON.stringify(body)).not.toMatch(/Quastenberg|Zwetschgen|nobody/);
  });

  test('is in no row of the databases and in no log in the clear', async () => {
    await settledOrder(customer().own);
    for (const [name, url] of Object.entries(shop.databases)) {
      expect(await textsIn(url), name).not.toMatch(/Quastenberg|Zwetschgen|99-Q4|tersen/);
    }
    for (const service of ['order', 'inventory', 'payment'] as const) {
      expect(shop.logs(service), service).not.toMatch(/Quastenberg|Zwetschgen|99-Q4|tersen/);
    }
  });
});

/** All rows of all tables of a database, as text. */
async function textsIn(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows: tables } = await client.query<{ name: string }>(
    `SELECT oid::regclass::text AS name FROM pg_class
     WHERE relkind = 'r' AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)'`,
  );
  let text = '';
  for (const { name } of tables) {
    const { rows } = await client.query<{ row: string }>(`SELECT t::text AS row FROM ${name} t`);
    text += rows.map(({ row }) => row).join('\n');
  }
  await client.end();
  return text;
}

describe('the personal data of a customer', () => {
  test('are their orders with the recipients in the clear, page by page', async () => {
    const { id, own } = customer();
    const orders = [await settledOrder(own), await settledOrder(own, 1)];
    const first = (
      await http()
        .get(`${path(id)}?limit=1`)
        .set(own)
        .expect(200)
    ).body;
    expect(first).toMatchObject({
      customerId: id,
      erasure: { status: 'kept' },
      items: [{ orderId: orders[1], recipient }],
    });
    const second = (
      await http()
        .get(`${path(id)}?limit=1&cursor=${first.next}`)
        .set(own)
        .expect(200)
    ).body;
    expect(second).toMatchObject({ items: [{ orderId: orders[0], recipient }] });
    expect(second).not.toHaveProperty('next');
    const byOperator = await http().get(path(id)).set(operator()).expect(200);
    expect(byOperator.body.items).toHaveLength(2);
    await shop.until('the log names who has read it', async () => {
      const found = shop.logs('order');
      const line = new RegExp(`"actor":"otto".*"url":"${path(id)}","msg":"Staff have read what belongs to customers`);
      return { done: line.test(found), found: found.slice(-500) };
    });
  });

  test("are not a stranger's to see or erase, nor a clerk's", async () => {
    const [{ id, own }, stranger] = [customer(), customer()];
    const orderId = await settledOrder(own);
    for (const method of ['get', 'delete'] as const) {
      expect((await http()[method](path(id)).set(stranger.own).expect(404)).body.code).toBe('customer-not-found');
      expect((await http()[method](path(id)).set(clerk()).expect(403)).body.code).toBe('forbidden');
    }
    expect((await shown(orderId, own)).recipient).toEqual(recipient);
  });

  test('are erased at once when all is settled, at each instance, and again it is done already', async () => {
    const { id, own } = customer();
    const orderId = await settledOrder(own);
    for (const instance of [0, 1]) expect((await shown(orderId, own, instance)).recipient).toEqual(recipient);
    const erased = await http().delete(path(id)).set(own).expect(200);
    expect(erased.body).toEqual({ customerId: id, status: 'erased' });
    const after = { 'Larder-Position': erased.headers['larder-position']! };
    for (const instance of [0, 1]) {
      expect((await shown(orderId, own, instance, after)).recipient).toBeNull();
      const data = (await http(instance).get(path(id)).set(own).set(after).expect(200)).body;
      expect(data).toMatchObject({ erasure: { status: 'erased' }, items: [{ orderId, recipient: null }] });
      expect((await http(instance).delete(path(id)).set(own).expect(200)).body).toEqual(erased.body);
    }
    const next = await settledOrder(own, 1);
    expect((await shown(next, own)).recipient).toEqual(recipient);
    expect((await shown(orderId, own)).recipient).toBeNull();
  });

  test('are erased when the last order is settled', async () => {
    const { id, own } = customer();
    const { orderId } = (await order(own, { token: 'tok_slow' }).expect(202)).body;
    expect((await http().delete(path(id)).set(own).expect(202)).body).toEqual({ customerId: id, status: 'requested' });
    await shop.settled(orderId);
    await shop.until('the recipient is erased', async () => {
      const found = await shown(orderId, own, 1);
      return { done: found.recipient === null, found };
    });
  });

  test('are erased by an operator for a reason, which stands in the event with who it was', async () => {
    const { id, own } = customer();
    await settledOrder(own);
    const { body } = await http().delete(path(id)).set(operator()).expect(422);
    expect(body.errors).toMatchObject([{ parameter: 'reason', code: 'required' }]);
    await http().delete(path(id)).query({ reason: 'They wrote a letter.' }).set(operator()).expect(200);
    const client = new pg.Client({ connectionString: shop.databases.order });
    await client.connect();
    const { rows } = await client.query(
      `SELECT type, metadata->>'actor' AS actor, metadata->>'reason' AS reason FROM event_store.events
       WHERE stream = $1 ORDER BY revision`,
      [`customer-${id}`],
    );
    await client.end();
    expect(rows.slice(1)).toEqual([
      { type: 'CustomerErasureRequested', actor: 'otto', reason: 'They wrote a letter.' },
      { type: 'CustomerErased', actor: 'otto', reason: 'They wrote a letter.' },
    ]);
  });

  test('of somebody who never ordered are none, and that is no error', async () => {
    const { id, own } = customer();
    expect((await http().get(path(id)).set(own).expect(200)).body).toEqual({
      customerId: id,
      erasure: { status: 'none' },
      items: [],
    });
    expect((await http().delete(path(id)).set(own).expect(200)).body).toEqual({ customerId: id, status: 'none' });
    await http().get(path('me')).set(own).expect(422);
  });

  test('that were erased come back with no backup of the key store', async () => {
    const { id, own } = customer();
    const orderId = await settledOrder(own);
    const keys = new pg.Client({ connectionString: shop.databases.customer_keys });
    await keys.connect();
    const { rows } = await keys.query('SELECT kid, secret FROM customer_keys WHERE customer_id = $1', [id]);
    const [{ kid, secret }] = rows as [{ kid: string; secret: Buffer }];
    await http().delete(path(id)).set(own).expect(200);
    await shop.caughtUp();
    await keys.query('UPDATE customer_keys SET secret = $2, erased_at = NULL WHERE kid = $1', [kid, secret]);
    for (const instance of [0, 1]) expect((await shown(orderId, own, instance)).recipient).toBeNull();
    await shop.restart('order', 0);
    await shop.restart('order', 1);
    expect((await shown(orderId, own)).recipient).toBeNull();
    await shop.until('the key is gone again', async () => {
      const { rows: found } = await keys.query('SELECT secret FROM customer_keys WHERE kid = $1', [kid]);
      return { done: found[0].secret === null, found: 'it is there' };
    });
    await keys.end();
  });
});

test('without a key store a shop opens, takes orders that name no recipient, and nothing is written in the clear', async () => {
  const [real, port] = [new URL(await freshDatabase()), await freePort()];
  const CUSTOMER_KEYS_URL = Object.assign(new URL(real), { port: `${port}` }).href;
  await using other = await openShop({ env: { order: { CUSTOMER_KEYS_URL } } });
  await other.setPrices({ honey: 895 });
  await other.stockUp({ honey: 10 });
  const [api, own, key] = [supertest(other.order[0]!), other.as(randomUUID(), 'customer'), randomUUID()];
  const place = (more: object, idempotencyKey: string) =>
    api
      .post('/orders')
      .set(own)
      .set('Idempotency-Key', idempotencyKey)
      .send({ lines: [{ sku: 'honey', quantity: 1 }], payment: { token: 'tok_approved' }, ...more });

  const { orderId } = (await place({}, randomUUID()).expect(202)).body;
  expect(await other.settled(orderId)).toMatchObject({ status: 'completed' });
  const refused = await place({ recipient }, key).expect(503);
  expect(refused.body.code).toBe('unavailable');
  expect(refused.headers['retry-after']).toBe('1');
  const { body: health } = await api.get('/health/ready').expect(200);
  expect(health).toMatchObject({ status: 'degraded', checks: { 'customer-keys': { status: 'down' } } });
  expect(await textsIn(other.databases.order)).not.toContain('Quastenberg');

  const sockets = new Set<Socket>();
  const door = createServer((client) => {
    const server = connect(Number(real.port), real.hostname);
    for (const socket of [client, server]) sockets.add(socket.on('error', () => {}));
    client.pipe(server).pipe(client);
  }).listen(port, '127.0.0.1');
  await once(door, 'listening');
  const sent = (await place({ recipient }, key).expect(202)).body.orderId;
  await other.settled(sent);
  const read = () => api.get(`/orders/${sent}`).set(own);
  expect((await read().expect(200)).body.recipient).toEqual(recipient);

  door.close();
  for (const socket of sockets) socket.destroy();
  await other.restart('order'); // What was cached is forgotten.
  expect((await read().expect(503)).body.code).toBe('unavailable');
  expect((await api.get('/orders').set(own).expect(200)).body.items).toHaveLength(2);
});

test('a key store that refuses the service stops its start, in one line that names the variable', async () => {
  const refusing = Object.assign(new URL(await freshDatabase()), { password: 'wrong' });
  await expect(openShop({ env: { order: { CUSTOMER_KEYS_URL: refusing.href } } })).rejects.toThrow(
    /CUSTOMER_KEYS_URL: the server refuses us/,
  );
});
