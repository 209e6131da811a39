/**
 * Who may do what, at the compiled services: every operation of their OpenAPI documents, asked by every kind of caller. What
 * is expected follows from the services' tables of access; what is a customer's own is tried below.
 */
import { createHmac, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import supertest from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { type Service, services, shop as definitions } from '../apps/shop.js';
import { customerIdOf } from '#nest';
import { accessOf, type AccessRule, type Role, roles } from '#service';
import { bearer, Issuer } from '../proof/shop/issuer.js';
import { openShop, type Shop } from './support/shop.js';

const OWNER = '0a0a0a0a-0000-4000-8000-00000000000a';
const OTHER = '0b0b0b0b-0000-4000-8000-00000000000b';

let shop: Shop;
let stranger: Issuer;
let ownOrder: string;
beforeAll(async () => {
  [shop, stranger] = await Promise.all([openShop(), Issuer.open()]);
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: 100 });
  ownOrder = (await place(shop.as(OWNER, 'customer')).expect(202)).body.orderId;
  await shop.settled(ownOrder);
});
afterAll(async () => {
  stranger?.close();
  await shop?.close();
});

type Headers = Readonly<Record<string, string>>;
const http = (service: Service = 'order') => supertest(shop.urls[service][0]!);
const orderOf = (quantity = 1) => ({ lines: [{ sku: 'honey', quantity }], payment: { token: 'tok_approved' } });

function place(caller: Headers, { key = randomUUID(), customerId }: { key?: string; customerId?: string } = {}) {
  const body = { ...orderOf(), ...(customerId !== undefined && { customerId }) };
  return http().post('/orders').set(caller).set('Idempotency-Key', key).send(body);
}

/** Tokens that are accepted nowhere, and what is wrong with them. */
const bad: Readonly<Record<string, () => Headers>> = {
  'without a token': () => ({}),
  'with a password': () => ({ authorization: `Basic ${btoa('ada:secret')}` }),
  'with something': () => bearer('something'),
  'with a token that has expired': () => changed({ exp: 1 }),
  'with a token that is not valid yet': () => changed({ nbf: 4e9 }),
  'with a token for another audience': () => changed({ aud: 'another shop' }),
  'with a token that names another issuer': () => changed({ iss: 'https://login.example.com' }),
  'with a token of another issuer': () => bearer(stranger.token(OWNER, roles, { claims: { iss: shop.issuer.url } })),
  'with an id token': () => changed({}, { typ: 'JWT' }),
  'with a token by an unknown key': () => changed({}, { kid: 'unknown' }),
  'with an unsigned token': () => bearer(`${content({ alg: 'none' })}.`),
  'with a token that is signed by the public key': () => {
    const secret = JSON.stringify(shop.issuer.keySet().keys[0]);
    const signed = content({ alg: 'HS256' });
    return bearer(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`);
  },
};
const changed = (claims: object, header = {}) => bearer(shop.issuer.token(OWNER, roles, { claims, header }));
const content = (header: object) => shop.issuer.token(OWNER, roles, { header }).split('.').slice(0, 2).join('.');

const good: Readonly<Record<string, readonly [subject: string, ...Role[]]>> = {
  'without a role': [OWNER],
  'as the customer whose order it is': [OWNER, 'customer'],
  'as another customer': [OTHER, 'customer'],
  'as a clerk': ['carla', 'clerk'],
  'as an operator': ['otto', 'operator'],
  'as a machine': ['prometheus', 'service'],
};

interface Operation {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  readonly rule: AccessRule;
}

/** Those of the document, and what is not in it. */
function operationsOf(service: Service): Operation[] {
  const { paths } = parse(readFileSync(`docs/openapi/${service}.yaml`, 'utf8')) as { paths: Record<string, object> };
  const documented = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path.replaceAll(/\{(\w+)\}/g, ':$1')}`),
  );
  const table = accessOf(definitions[service].access);
  return [...documented, 'GET /metrics', 'GET /docs-json', 'GET /health/live'].map((operation) => {
    const [method, path] = operation.split(' ') as [string, string];
    return { method: method.toLowerCase() as Operation['method'], path, rule: table[operation]! };
  });
}

/** Asks for somebody's order, or for something that there need not be: what is asked here is who may ask. */
function ask(service: Service, { method, path }: Operation, caller: Headers) {
  const filled = path
    .replace(':orderId', ownOrder)
    .replace(':customerId', OWNER)
    .replace(':sku', 'no-such-sku')
    .replace(':id', '1')
    .replace('/admin/activity', '/admin/activity?after=never'); // An answer that is none of events has an end.
  return http(service)[method](filled).set(caller);
}

describe.each(services)('%s', (service) => {
  test('documents every operation of its table, and no other', () => {
    const documented = operationsOf(service).map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    expect(documented).toEqual(expect.arrayContaining(Object.keys(definitions[service].access)));
    expect(operationsOf(service).filter(({ rule }) => rule === undefined)).toEqual([]);
  });

  test.each(Object.keys(bad))('whoever asks %s is refused with 401, unless the route is for anyone', async (kind) => {
    const caller = bad[kind]!();
    const answers = await Promise.all(
      operationsOf(service).map(async (operation) => {
        const { status, headers, body } = await ask(service, operation, caller);
        const isRefused = status === 401 && headers['www-authenticate']?.startsWith('Bearer realm="larder"') === true;
        return { ...operation, status, code: body.code, isRefused };
      }),
    );
    expect(answers.filter(({ rule, isRefused }) => isRefused !== (rule !== 'anyone'))).toEqual([]);
  });

  test.each(Object.keys(good))('whoever asks %s gets what the table says', async (kind) => {
    const [subject, ...has] = good[kind]!;
    const wrong: object[] = [];
    for (const operation of operationsOf(service)) {
      const { method, path, rule } = operation;
      if (rule === 'anyone') continue;
      const { status, body } = await ask(service, operation, shop.as(subject, ...has));
      const whose = has.map((role) => rule[role]).find((each) => each !== undefined);
      const isHidden = whose === 'own' && subject !== OWNER && /:(orderId|customerId)/.test(path);
      const isAsExpected =
        whose === undefined
          ? status === 403 && body.needs.length === Object.keys(rule).length
          : isHidden
            ? status === 404 && /^(order|customer)-not-found$/.test(body.code)
            : status !== 401 && status !== 403 && status < 500;
      if (!isAsExpected) wrong.push({ method, path, whose, status, code: body.code });
    }
    expect(wrong).toEqual([]);
  });
});

describe('a customer', () => {
  test('sees and moves only their own orders; of another the service says what it says of none', async () => {
    const [own, other] = [shop.as(OWNER, 'customer'), shop.as(OTHER, 'customer')];
    for (const path of [`/orders/${ownOrder}`, `/orders/${ownOrder}/history`]) {
      await http().get(path).set(own).expect(200);
      const unknown = await http().get(path.replace(ownOrder, randomUUID())).set(other).expect(404);
      const hidden = await http().get(path).set(other).expect(404);
      expect({ ...hidden.body, instance: '', correlationId: '' }).toEqual({
        ...unknown.body,
        instance: '',
        correlationId: '',
      });
    }
    await http().get(`/orders/${ownOrder}`).set(other).set('Prefer', 'wait=1').expect(404);
    await http().post(`/orders/${ownOrder}/cancel`).set(other).expect(404);
    await http().post(`/orders/${ownOrder}/cancel`).set(own).expect(409);

    const list = (caller: Headers, query = '') => http().get(`/orders${query}`).set(caller);
    expect((await list(own).expect(200)).body.items).toMatchObject([{ orderId: ownOrder }]);
    expect((await list(own, `?customerId=${OWNER}`).expect(200)).body.items).toHaveLength(1);
    expect((await list(other).expect(200)).body.items).toEqual([]);
    expect((await list(other, `?customerId=${OWNER}`).expect(403)).body.code).toBe('forbidden');
  });

  test('orders for themself, whatever the issuer calls them, and for nobody else', async () => {
    expect((await place(shop.as(OWNER, 'customer')).expect(202)).body.customerId).toBe(OWNER);
    const { customerId } = (await place(shop.as('auth0|5f7c', 'customer')).expect(202)).body;
    expect(customerId).toBe(customerIdOf('auth0|5f7c'));
    const listed = await http().get('/orders').set(shop.as('auth0|5f7c', 'customer')).expect(200);
    await shop.caughtUp();
    expect(listed.body.items.every((order: { customerId: string }) => order.customerId === customerId)).toBe(true);
    await place(shop.as(OWNER, 'customer'), { customerId: OWNER }).expect(202);
    expect((await place(shop.as(OTHER, 'customer'), { customerId: OWNER }).expect(403)).body.code).toBe('forbidden');
  });

  test('meets no other under the same Idempotency-Key', async () => {
    const key = 'my-first-order';
    const [one, other] = await Promise.all([
      place(shop.as(OWNER, 'customer'), { key }).expect(202),
      place(shop.as(OTHER, 'customer'), { key }).expect(202),
    ]);
    expect(one.body.orderId).not.toBe(other.body.orderId);
    expect((await place(shop.as(OWNER, 'customer'), { key }).expect(202)).body.orderId).toBe(one.body.orderId);
  });
});

describe('a clerk', () => {
  const clerk = () => shop.as('carla', 'clerk');

  test('orders for a customer whom they name, and both stand in the event; only staff are told who did it', async () => {
    expect((await place(clerk()).expect(422)).body.errors).toMatchObject([{ pointer: '/customerId' }]);
    const { orderId } = (await place(clerk(), { customerId: OTHER }).expect(202)).body;
    const history = async (caller: Headers) =>
      (await http().get(`/orders/${orderId}/history`).set(caller).expect(200)).body.events[0];
    expect(await history(clerk())).toMatchObject({ data: { customerId: OTHER }, actor: 'carla' });
    expect(await history(shop.as(OTHER, 'customer'))).not.toHaveProperty('actor');
  });

  test('does not order for one customer what was ordered for another under the same key', async () => {
    const key = randomUUID();
    await place(clerk(), { key, customerId: OTHER }).expect(202);
    expect((await place(clerk(), { key, customerId: OWNER }).expect(422)).body.code).toBe('idempotency-key-reused');
  });

  test('meets no other clerk under the same key: two deliveries with the same number are two', async () => {
    const receive = (caller: Headers) =>
      http('inventory')
        .post('/stock/tomatoes/receipts')
        .set(caller)
        .set('Idempotency-Key', 'delivery-2026-11-29')
        .send({ quantity: 40 })
        .expect(201);
    await receive(clerk());
    await receive(clerk());
    expect((await receive(shop.as('claus', 'clerk'))).body.available).toBe(80);
  });
});

test('the events of every command say who sent it, also prices, receipts and cancellations', async () => {
  const carla = shop.as('carla', 'clerk');
  await http().put('/prices/figs').set(carla).send({ amountMinor: 100, currency: 'EUR' }).expect(200);
  await http().delete('/prices/figs').set(carla).expect(200);
  const { orderId } = (await place(shop.as(OWNER, 'customer')).expect(202)).body;
  await http().post(`/orders/${orderId}/cancel`).set(shop.as(OWNER, 'customer'));
  await http('inventory')
    .post('/stock/figs/recounts')
    .set(carla)
    .set('Idempotency-Key', '1')
    .send({ counted: 3 })
    .expect(201);
  expect(await actorsOf('order', 'price-figs')).toEqual(['carla']);
  expect(await actorsOf('order', `order-${orderId}`)).toEqual([OWNER]);
  expect(await actorsOf('inventory', 'stock-figs')).toEqual(['carla']);
});

/** Everybody whom the events of a stream name. */
async function actorsOf(service: Service, stream: string): Promise<string[]> {
  const client = new pg.Client({ connectionString: shop.databases[service] });
  await client.connect();
  const { rows } = await client.query<{ actor: string }>(
    `SELECT DISTINCT metadata->>'actor' AS actor FROM event_store.events WHERE stream = $1 AND metadata->>'actor' IS NOT NULL`,
    [stream],
  );
  await client.end();
  return rows.map(({ actor }) => actor);
}

test('an issuer that takes a new key is believed at once, and no request is refused meanwhile', async () => {
  const before = shop.as(OWNER, 'customer');
  await http().get(`/orders/${ownOrder}`).set(before).expect(200);
  let isOver = false;
  const statuses = new Set<number>();
  const asking = (async () => {
    while (!isOver) statuses.add((await http().get(`/orders/${ownOrder}`).set(before)).status);
  })();
  shop.issuer.rotate();
  // Keys are asked for at most every ten seconds, and they were a moment ago.
  await shop.until('a token by the new key is accepted', async () => {
    const { status } = await http().get(`/orders/${ownOrder}`).set(shop.as(OWNER, 'customer'));
    return { done: status === 200, found: status };
  });
  isOver = true;
  await asking;
  expect([...statuses]).toEqual([200]);
});
