/** The order service in this process, on a store that fails when it is told to. */
import request from 'supertest';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { bearer, Issuer } from '../../../../proof/shop/issuer.js';
import { type RunningApplication, startService } from '#nest';
import { ServerUnavailable } from '#runtime';
import { freshDatabase } from '#test/database';
import { orderDefinition } from '../definition.js';
import OrderModule from './order.module.js';

const CUSTOMER = '4f1f0d7c-5d0b-4b8e-9c55-0f3c1d7a9b2e';

let service: RunningApplication;
let issuer: Issuer;
let clerk: { readonly authorization: string };
/** What becomes of a read of an order. */
let readOrder: (() => Promise<void>) | undefined;

beforeAll(async () => {
  issuer = await Issuer.open();
  clerk = bearer(issuer.token('carla', ['clerk']));
  const [own, bus, keys] = await Promise.all([freshDatabase('order'), freshDatabase(), freshDatabase()]);
  const urls = { EVENT_STORE_URL: own, DATABASE_URL: own, MESSAGE_BUS_URL: bus, CUSTOMER_KEYS_URL: keys };
  service = await startService(orderDefinition, OrderModule, {
    env: { ...urls, AUTH_ISSUER: issuer.url, PORT: '0', LOG_LEVEL: 'silent', REQUEST_TIMEOUT: '300ms' },
    wrapPorts: (ports) => ({
      ...ports,
      store: new Proxy(ports.store, {
        get: (store, name) => {
          const member = store[name as keyof typeof store] as unknown;
          if (name !== 'read') return typeof member === 'function' ? member.bind(store) : member;
          return async function* (...args: Parameters<typeof store.read>) {
            if (args[0].startsWith('order-')) await readOrder?.();
            yield* store.read(...args);
          };
        },
      }),
    }),
  });
  await request(service.url).put('/prices/tea').set(clerk).send({ amountMinor: 300, currency: 'EUR' }).expect(200);
});
beforeEach(() => (readOrder = undefined));
afterAll(async () => {
  await service?.stop();
  issuer?.close();
});

const place = (key: string) =>
  request(service.url)
    .post('/orders')
    .set(clerk)
    .set('Idempotency-Key', `"${key}"`)
    .set('Prefer', 'wait=1')
    .send({ customerId: CUSTOMER, lines: [{ sku: 'tea', quantity: 1 }], payment: { token: 'tok_approved' } });

test.each([
  ['fails', () => Promise.reject(new ServerUnavailable('The server does not answer.'))],
  ['hangs', () => new Promise<void>(() => {})],
])(
  'an order was accepted and the wait for its end %s: the 503 says where it is, and it is there',
  async (what, read) => {
    readOrder = read; // Placing an order reads none.
    const key = `an order whose wait ${what}`;
    const answer = await place(key).expect(503);
    expect(answer.body.code).toBe('unavailable');
    expect(answer.headers['larder-position']).toMatch(/^order:\d+$/);
    expect(answer.headers['location']).toMatch(/^\/orders\/[\da-f-]{36}$/);

    readOrder = undefined;
    const position = answer.headers['larder-position']!;
    const found = await request(service.url)
      .get(answer.headers['location']!)
      .set({ ...clerk, 'Larder-Position': position })
      .expect(200);
    expect(found.body).toMatchObject({ status: 'placed', customerId: CUSTOMER });
    const again = await place(key).expect(202);
    expect(again.headers).toMatchObject({ 'larder-position': position, location: answer.headers['location'] });
  },
);

test('a member that is unknown is refused wherever it stands in an order', async () => {
  const body = {
    customerId: CUSTOMER,
    lines: [{ sku: 'tea', quantity: 1, colour: 'green' }],
    payment: { token: 'tok' },
  };
  const answer = await request(service.url)
    .post('/orders')
    .set({ ...clerk, 'Idempotency-Key': 'k' })
    .send(body)
    .expect(422);
  expect(answer.body.errors).toEqual([
    { pointer: '/lines/0', code: 'unrecognized_keys', detail: expect.stringContaining('colour') },
  ]);
});
