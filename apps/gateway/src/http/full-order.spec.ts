/** An order from four parts, of which each may be away. */
import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { SystemClock } from '#runtime';
import type { AccessTable, Role } from '#service';
import { openApp } from '#test/app';
import type { FullOrder, OrderPart } from '../api.js';
import { gatewayAccess } from '../definition.js';
import { serveFullOrders } from './full-order.js';

const PATHS: Readonly<Record<OrderPart, string>> = {
  order: '/orders/:orderId',
  reservation: '/reservations/:orderId',
  payment: '/payments/:orderId',
  history: '/orders/:orderId/history',
};
const PARTS = Object.keys(PATHS) as OrderPart[];
const FULL = 'GET /orders/:orderId/full';
const ACCESS: AccessTable = Object.fromEntries(
  [FULL, ...PARTS.map((part) => `GET ${PATHS[part]}`)].map((each) => [each, gatewayAccess[each]!]),
);

@Module({})
class TestModule {}

const tokens = {
  known: () => undefined,
  identify: async (header = '') => {
    const [subject, ...roles] = header.split(' ');
    return { subject: subject!, roles: roles as Role[] };
  },
};

/** What a part answers: a status, or never. */
let answers: Record<OrderPart, number | 'silence'>;
let sent: Record<string, unknown>[];
let gateway: NestFastifyApplication;

beforeAll(async () => {
  gateway = await openApp({
    module: TestModule,
    access: ACCESS,
    tokens,
    requestTimeoutMs: 600_000, // Nothing but READ_TIMEOUT ends a silence.
    routes: (http) => {
      serveFullOrders(http, { clock: new SystemClock(), readTimeoutMs: 500 });
      for (const part of PARTS) {
        http.get(PATHS[part], async ({ headers, ip }, reply) => {
          sent.push({ part, ip, ...headers });
          const status = answers[part];
          if (status === 'silence') return new Promise(() => {});
          if (status < 500) {
            const service = { order: 'order', history: 'order', reservation: 'inventory', payment: 'payment' }[part];
            reply.header('larder-position', `${service}:${part === 'history' ? 12 : 11}`);
          }
          if (status === 200) return { part };
          return reply.status(status).send({ code: `${part}-refused`, detail: 'No.' });
        });
      }
    },
  });
});
afterAll(() => gateway?.close());
beforeEach(() => {
  answers = { order: 200, reservation: 200, payment: 200, history: 200 };
  sent = [];
});

async function read(as = 'Cid clerk', headers: Readonly<Record<string, string>> = {}) {
  const url = `${await gateway.getUrl()}/orders/a%2Fb/full`;
  const response = await fetch(url, { headers: { authorization: as, ...headers } });
  const { status } = response;
  const body = (await response.json()) as FullOrder & { code?: string };
  return { status, body, headers: Object.fromEntries(response.headers) };
}

test('shows what each service has of an order, up to a position of each', async () => {
  const { status, body, headers } = await read();
  expect([status, body]).toEqual([
    200,
    {
      orderId: 'a/b',
      complete: true,
      missing: [],
      ...Object.fromEntries(PARTS.map((part) => [part, { part }])),
    },
  ]);
  expect(headers['larder-position']).toBe('inventory:11, order:12, payment:11');
});

test('every part is asked for its caller, with their positions and correlation', async () => {
  await read('Cid clerk', { 'larder-position': 'order:7', 'x-correlation-id': 'c-1', 'if-none-match': '"x"' });
  expect(sent).toHaveLength(4);
  for (const each of sent) {
    const expected = { authorization: 'Cid clerk', 'larder-position': 'order:7', 'x-correlation-id': 'c-1' };
    expect(each).toMatchObject({ ...expected, ip: '127.0.0.1' });
    expect(each).not.toHaveProperty('if-none-match');
  }
});

test.each<[part: OrderPart, answer: number | 'silence']>([
  ...PARTS.map((part): [OrderPart, 503] => [part, 503]),
  ...PARTS.map((part): [OrderPart, 'silence'] => [part, 'silence']),
  ['reservation', 429],
  ['payment', 400],
  ['history', 404],
])('%s is missing when its answer is %s, and the others are there', async (part, answer) => {
  answers[part] = answer;
  const { status, body } = await read();
  expect([status, body.complete, body.missing]).toEqual([200, false, [part]]);
  expect(Object.keys(body)).not.toContain(part);
  for (const other of PARTS.filter((each) => each !== part)) expect(body[other]).toEqual({ part: other });
});

test('an order that has neither asked for stock nor for money is complete without', async () => {
  Object.assign(answers, { reservation: 404, payment: 404 });
  const { body } = await read();
  expect(body).toEqual({
    orderId: 'a/b',
    complete: true,
    missing: [],
    order: { part: 'order' },
    history: { part: 'history' },
  });
});

test('what a customer may not see is missing, and is not asked for', async () => {
  const { body } = await read('Ada customer');
  expect([body.complete, body.missing]).toEqual([false, ['reservation', 'payment']]);
  expect(new Set(sent.map(({ part }) => part))).toEqual(new Set(['order', 'history']));
});

test.each([404, 422, 429])('an order that is refused with %s is refused', async (status) => {
  Object.assign(answers, { order: status, history: 404 });
  expect(await read()).toMatchObject({
    status,
    body: { code: 'order-refused' },
    headers: { 'larder-position': 'order:11' },
  });
});

test('an order that its history knows is not refused because its read model is behind', async () => {
  answers.order = 404;
  expect((await read()).body).toMatchObject({ complete: false, missing: ['order'], history: { part: 'history' } });
});

test.each([503, 'silence'] as const)('when nothing but %s comes, it is 503, with when to try again', async (answer) => {
  for (const part of PARTS) answers[part] = answer;
  expect(await read()).toMatchObject({ status: 503, body: { code: 'unavailable' }, headers: { 'retry-after': '1' } });
});
