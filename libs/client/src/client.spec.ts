/** The client against a server that answers as each test wants it; test/client.e2e.spec.ts tries it on a shop. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { LarderClient, type ProblemCode } from './index.js';

interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

let server: Server;
let url: string;
let received: Received[];
/** What the next requests are answered with, in order; the last one again and again. */
let answers: ((response: ServerResponse) => void)[];

beforeEach(async () => {
  received = [];
  server = createServer(async (request, response) => {
    const { method = '', url = '', headers } = request;
    received.push({ method, url, headers, body: await text(request) });
    (answers.length > 1 ? answers.shift()! : answers[0]!)(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(() => new Promise((resolve) => server.closeAllConnections() ?? server.close(resolve)));

const json =
  (status: number, body: object, headers: Record<string, string> = {}) =>
  (response: ServerResponse) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
  };
const away = json(503, { code: 'unavailable', detail: 'Try again.' }, { 'retry-after': '0' });
const order = { customerId: 'c', lines: [{ sku: 'tea', quantity: 1 }], payment: { token: 'tok_approved' } };
const at = (position: string, body: object = { items: [] }) => json(200, body, { 'larder-position': position });

test('a store that was set back is told once: its position is dropped, and the next read shows what there is', async () => {
  const shop = new LarderClient({ order: url, inventory: url });
  const setBack = json(400, { code: 'unknown-position', detail: 'It belongs to this store before it was restored.' });
  answers = [at('order:70'), at('inventory:30'), setBack, at('order:3')];
  await shop.placeOrder(order);
  await shop.receive('tea', 1);
  await expect(shop.order('o')).rejects.toMatchObject({ status: 400, code: 'unknown-position' });
  expect(shop.positions).toBe('inventory:30');
  await shop.orders();
  expect(received.at(-1)!.headers['larder-position']).toBe('inventory:30');
  expect(shop.positions).toBe('inventory:30, order:3');
});

test('a read that is wrong in another way drops no position', async () => {
  const shop = new LarderClient({ order: url });
  answers = [at('order:70'), json(400, { code: 'invalid-request', detail: 'No.' })];
  await shop.placeOrder(order);
  await expect(shop.order('o')).rejects.toMatchObject({ code: 'invalid-request' });
  expect(shop.positions).toBe('order:70');
});

test('a request sends the highest position that each service has answered with, reads and writes alike', async () => {
  const shop = new LarderClient({ order: url, inventory: url, payment: url });
  answers = [at('order:7'), at('inventory:30'), at('order:5'), at('payment:2'), at('order:9'), json(404, {}), at('')];
  await shop.placeOrder(order);
  await shop.receive('tea', 1);
  await shop.order('o');
  await shop.payment('o');
  await shop.orders();
  await shop.order('o').catch(() => {});
  await shop.stock();
  expect(received.map(({ method, headers }) => [method, headers['larder-position']])).toEqual([
    ['POST', undefined],
    ['POST', 'order:7'],
    ['GET', 'order:7, inventory:30'],
    ['GET', 'order:7, inventory:30'],
    ['GET', 'order:7, inventory:30, payment:2'],
    ['GET', 'order:9, inventory:30, payment:2'],
    ['GET', 'order:9, inventory:30, payment:2'],
  ]);
});

test('what a client knows can be handed to another', async () => {
  answers = [at('order:9007199254740993')];
  const first = new LarderClient({ order: url });
  await first.prices();
  await new LarderClient({ order: url }, { positions: first.positions }).prices();
  expect(received[1]!.headers['larder-position']).toBe('order:9007199254740993');
});

/** An answer of a gateway, which knows neither problems nor positions. */
const gateway = (status: number, retryAfter: string) => (response: ServerResponse) =>
  response.writeHead(status, { 'retry-after': retryAfter }).end('<h1>Later</h1>');

test('a write that could not be answered, here or at a gateway, is sent again with its key and its body', async () => {
  const past = new Date(0).toUTCString();
  const failures = [away, (response: ServerResponse) => response.destroy(), gateway(429, '0'), gateway(502, past)];
  answers = [...failures, gateway(504, '0'), json(202, { orderId: 'o' })];
  const shop = new LarderClient({ order: url }, { retries: 5 });
  expect(await shop.placeOrder(order)).toEqual({ orderId: 'o' });
  const keys = received.map(({ headers }) => headers['idempotency-key']);
  expect(keys).toEqual(Array.from({ length: 6 }, () => expect.stringMatching(/^[\da-f-]{36}$/)));
  expect(new Set(keys).size).toBe(1);
  expect(received.map(({ body }) => JSON.parse(body))).toEqual(Array.from({ length: 6 }, () => order));
});

test('who has sent too much waits for as long as they are told, unless that is too long: then they are told so', async () => {
  const tooMany = (seconds: string) =>
    json(429, { code: 'too-many-requests', detail: 'Wait.' }, { 'retry-after': seconds });
  const shop = new LarderClient({ order: url });
  answers = [tooMany('1'), json(200, { items: [] })];
  const begun = performance.now();
  await shop.prices();
  expect(performance.now() - begun).toBeGreaterThan(990);
  answers = [tooMany('11')];
  await expect(shop.prices()).rejects.toMatchObject({ status: 429, code: 'too-many-requests' });
  expect(received.length).toBe(3);
});

test('a position is kept of every answer, also of a problem after which the request is sent again', async () => {
  const problem = { code: 'unavailable', detail: 'Try again.' };
  answers = [json(503, problem, { 'larder-position': 'order:8', 'retry-after': '0' }), json(202, {})];
  const shop = new LarderClient({ order: url });
  await shop.placeOrder(order, { wait: 1 });
  expect(shop.positions).toBe('order:8');
});

test('what was answered with another error is not sent again', async () => {
  for (const status of [400, 404, 409, 422, 500, 501]) {
    answers = [json(status, { code: 'no', detail: 'No.' })];
    await expect(new LarderClient({ order: url }).placeOrder(order)).rejects.toMatchObject({ status });
  }
  expect(received.length).toBe(6);
});

test('it is not sent again indefinitely', async () => {
  answers = [away];
  await expect(new LarderClient({ order: url }).prices()).rejects.toMatchObject({ status: 503, code: 'unavailable' });
  expect(received.length).toBe(4);
  await expect(new LarderClient({ order: url }, { retries: 0 }).prices()).rejects.toMatchObject({ status: 503 });
  expect(received.length).toBe(5);
  answers = [(response) => response.destroy()];
  await expect(new LarderClient({ order: url }, { retries: 0 }).prices()).rejects.toThrow(TypeError);
});

test('every write has a key of its own, unless it is given one', async () => {
  answers = [json(200, {})];
  const shop = new LarderClient({ order: url, inventory: url });
  await shop.placeOrder(order);
  await shop.placeOrder(order);
  await shop.recount('tea', 1, { idempotencyKey: 'mine' });
  const keys = received.map(({ headers }) => headers['idempotency-key']);
  expect(new Set(keys).size).toBe(3);
  expect(keys[2]).toBe('mine');
});

test('a problem is thrown with its code', async () => {
  const problem = { code: 'order-confirmed', status: 409, detail: 'Too late.', correlationId: 'c' };
  answers = [json(409, problem)];
  const code: ProblemCode = 'order-confirmed';
  const refusal = new LarderClient({ order: url }).cancelOrder('o');
  await expect(refusal).rejects.toMatchObject({
    name: 'LarderProblem',
    status: 409,
    code,
    message: 'Too late.',
    problem,
  });
  // @ts-expect-error The codes are those of the documents.
  const unknown: ProblemCode = 'order-confrimed';
  expect(unknown).not.toBe(code);
});

test('an answer that a proxy gave instead of the shop is an error, too', async () => {
  answers = [gateway(502, '0')];
  await expect(new LarderClient({ order: url }).prices()).rejects.toMatchObject({
    status: 502,
    code: 'unknown',
    message: `${url}/prices?limit=200 was answered with 502, but not by the shop.`,
  });
});

test('prices and stock are all of them, whatever the number of pages', async () => {
  answers = [json(200, { items: [{ sku: 'a' }], next: 'b64' }), json(200, { items: [{ sku: 'b' }] })];
  expect(await new LarderClient({ order: url }).prices()).toEqual([{ sku: 'a' }, { sku: 'b' }]);
  expect(received.map((request) => request.url)).toEqual(['/prices?limit=200', '/prices?limit=200&cursor=b64']);
});

test('a wait is asked for, and a moment of the past', async () => {
  answers = [json(200, {})];
  const shop = new LarderClient({ order: url });
  await shop.order('o', { wait: 5 });
  await shop.history('o', { asOf: 0 });
  await shop.history('o', { asOf: new Date('2026-11-21T12:00:00Z') });
  expect(received[0]!.headers['prefer']).toBe('wait=5');
  expect(received.map((each) => each.url).slice(1)).toEqual([
    '/orders/o/history?asOf=0',
    '/orders/o/history?asOf=2026-11-21T12%3A00%3A00.000Z',
  ]);
});

test('every request says who calls, also one that is sent again when the first token has expired', async () => {
  const seen: (string | null)[] = [];
  let n = 0;
  const shop = new LarderClient(
    { order: 'http://shop.example' },
    {
      token: async () => `token-${++n}`,
      fetch: async ({ headers }) => {
        seen.push(headers.get('Authorization'));
        return new Response('{}', { status: seen.length === 1 ? 503 : 200, headers: { 'Retry-After': '0' } });
      },
    },
  );
  await shop.order('0190a8c0-0000-7000-8000-000000000002');
  expect(seen).toEqual(['Bearer token-1', 'Bearer token-2']);
});
