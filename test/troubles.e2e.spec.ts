/** Troubles in a running shop: who may switch them, what remains of them in the log, and that what they strike heals. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Service, services } from '../apps/shop.js';
import { call, type Headers } from '../scripts/lib/api.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const TROUBLE = { TROUBLE: 'true' };
const lines = [{ sku: 'honey', quantity: 1 }];
const stock = { honey: 10 };

let shop: Shop;
let gateway: string;
const orderIds: string[] = [];

beforeAll(async () => {
  shop = await openShop({ env: { order: TROUBLE, inventory: TROUBLE, payment: TROUBLE } });
  gateway = await shop.addGateway(TROUBLE);
  await shop.setPrices({ honey: 895 });
  await shop.stockUp(stock);
});
afterAll(() => shop?.close());

interface TroubleView {
  readonly name: string;
  readonly on: boolean;
  readonly struck: number;
  readonly actor?: string;
  readonly until?: string;
}

const operator = () => shop.as('otto', 'operator');

const put = (service: Service, name: string, body: object, headers: Headers = operator()) =>
  fetch(`${gateway}/${service}/admin/troubles/${name}`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  });

const troublesOf = async (service: Service) => {
  const { items } = await call<{ items: TroubleView[] }>(
    'GET',
    `${gateway}/${service}/admin/troubles`,
    undefined,
    operator(),
  );
  return new Map(items.map((item) => [item.name, item]));
};

async function switchOn(service: Service, name: string): Promise<void> {
  expect((await put(service, name, { on: true })).status).toBe(200);
}

async function place(): Promise<string> {
  const orderId = await shop.place({ lines });
  orderIds.push(orderId);
  return orderId;
}

test('all services have six of them, and payment four of its provider', async () => {
  const [order, inventory, payment] = await Promise.all(
    services.map(async (each) => [...(await troublesOf(each)).keys()]),
  );
  expect(order).toEqual(inventory);
  expect(payment).toEqual([...order!, 'silence-provider', 'refuse-calls', 'hold-less', 'lose-webhooks']);
  expect(order).toHaveLength(6);
});

test('a trouble is switched on and off by name, and the log says who did that', async () => {
  const on = await put('inventory', 'publish-twice', { on: true });
  const view = (await on.json()) as TroubleView;
  expect(view).toMatchObject({ name: 'publish-twice', on: true, actor: 'otto', struck: 0 });
  expect(Date.parse(view.until!) - Date.now()).toBeLessThanOrEqual(60_000);
  expect(shop.logs('inventory')).toMatch(/"trouble":"publish-twice","on":true,"actor":"otto","correlationId":"/);
  const off = await put('inventory', 'publish-twice', { on: false });
  expect(await off.json()).toMatchObject({ name: 'publish-twice', on: false, actor: 'otto' });
  expect((await troublesOf('inventory')).get('publish-twice')!.on).toBe(false);
});

test('what is not understood is refused, and says what there is', async () => {
  const unknown = await put('order', 'lose-everything', { on: true });
  expect([unknown.status, await unknown.json()]).toMatchObject([
    404,
    { code: 'trouble-not-found', detail: expect.stringContaining('There are end-after-append, freeze,') },
  ]);
  expect((await put('order', 'freeze', { on: 'yes' })).status).toBe(422);
  expect((await put('order', 'freeze', {})).status).toBe(422);
  expect((await put('order', 'freeze', { on: true, forever: true })).status).toBe(422);
  expect((await troublesOf('order')).get('freeze')!.on).toBe(false);
});

test.each([['customer'], ['clerk'], ['service']] as const)('they are not for the role %s', async (role) => {
  const someone = shop.as('someone', role);
  expect((await put('order', 'freeze', { on: true }, someone)).status).toBe(403);
  const direct = { method: 'PUT', headers: { 'content-type': 'application/json', ...someone }, body: '{"on":true}' };
  expect((await fetch(`${shop.order[0]}/admin/troubles/freeze`, direct)).status).toBe(403);
  expect((await fetch(`${shop.order[0]}/admin/troubles`, { headers: someone })).status).toBe(403);
  expect((await put('order', 'freeze', { on: true }, {})).status).toBe(401);
});

test('without TROUBLE neither a service nor a gateway has them, and nobody is told that they may', async () => {
  await shop.add('inventory', { TROUBLE: 'false' });
  const plain = shop.inventory[1]!;
  const body = { method: 'PUT', headers: { 'content-type': 'application/json', ...operator() }, body: '{"on":true}' };
  expect((await fetch(`${plain}/admin/troubles`, { headers: operator() })).status).toBe(404);
  expect((await fetch(`${plain}/admin/troubles/freeze`, body)).status).toBe(404);
  await shop.stop('inventory', 1);
  const other = await shop.addGateway();
  expect((await fetch(`${other}/order/admin/troubles`, { headers: operator() })).status).toBe(404);
  const mayAt = async (url: string) => {
    const { caller } = await call<{ caller: { may: string[] } }>('GET', `${url}/session`, undefined, operator());
    return caller.may.filter((operation) => operation.includes('troubles'));
  };
  expect(await mayAt(other)).toEqual([]);
  expect(await mayAt(gateway)).toEqual(
    services.flatMap((each) => [`GET /${each}/admin/troubles`, `PUT /${each}/admin/troubles/:name`]),
  );
});

test('end-after-append: order dies with its answer, the order is there all the same, once, and is completed', async () => {
  await switchOn('order', 'end-after-append');
  const key = { 'idempotency-key': randomUUID(), ...shop.anybody };
  const body = { customerId: randomUUID(), lines, payment: { token: 'tok_approved' } };
  const post = () => call<{ orderId: string }>('POST', `${shop.order[0]}/orders`, body, key);
  await expect(post()).rejects.toThrow();
  await expect(fetch(`${shop.order[0]}/health/live`)).rejects.toThrow();
  await shop.restart('order');
  const { orderId } = await post();
  orderIds.push(orderId);
  expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
  // The gateway looks for instances once a second.
  const troubles = () => troublesOf('order').catch(() => undefined);
  await expect.poll(async () => (await troubles())?.get('end-after-append')).toMatchObject({ on: false, struck: 0 });
});

test('silence-database: payment is not ready, and goes on from what was written when it is over', async () => {
  await switchOn('payment', 'silence-database');
  const orderId = await place();
  await expect.poll(async () => (await fetch(`${shop.payment[0]}/health/ready`)).status, { timeout: 20_000 }).toBe(503);
  const { settled } = await call<{ settled: boolean }>(
    'GET',
    `${shop.order[0]}/orders/${orderId}`,
    undefined,
    operator(),
  );
  expect(settled).toBe(false);
  expect((await put('payment', 'silence-database', { on: false })).status).toBe(200);
  expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
});

test('silence-provider: an order waits for an answer, and pays once', async () => {
  await switchOn('payment', 'silence-provider');
  const orderId = await place();
  await expect
    .poll(async () => (await troublesOf('payment')).get('silence-provider')!.struck, { timeout: 20_000 })
    .toBeGreaterThan(1);
  await put('payment', 'silence-provider', { on: false });
  expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
});

test('nothing is lost by any of it', async () => {
  await shop.caughtUp();
  await expectInvariants(shop, orderIds, stock);
});
