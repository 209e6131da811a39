import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Problem } from '#nest';
import { SystemClock } from '#runtime';
import { type Service, services } from '../../../shop.js';
import { serveStories } from './story.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const fact = (service: Service, revision: number, recordedAt: string) => ({ service, revision, recordedAt, shown: {} });

let gateway: FastifyInstance;
let asked: { service: Service; url: string; authorization: unknown; correlation: unknown }[];
/** Instead of what a service tells: the status of a refusal, or silence. 503 is what the gateway answers for one that is away. */
let trouble: Partial<Record<Service, number | 'silent'>>;
let whose: 'own' | 'any';

beforeEach(() => {
  asked = [];
  trouble = {};
  whose = 'any';
  gateway = fastify();
  gateway.decorateRequest('dueMs', 0);
  gateway.addHook('onRequest', async (request) => {
    request.caller = { subject: 'ada', roles: ['operator'], whose };
    request.cause = { correlationId: 'c', causationId: 'c' };
  });
  gateway.setErrorHandler((error: Problem, _, reply) =>
    reply
      .status(error.status)
      .headers(error.headers)
      .send({ code: error.code, ...error.extras }),
  );
  class Clock extends SystemClock {
    override now = () => new Date('2026-11-21T12:00:09.000Z');
  }
  serveStories(gateway, { clock: new Clock(), partWithinMs: 300 });
  const forward = (service: Service, path: string, told: object) =>
    gateway.get(path, async (request, reply) => {
      const { authorization, 'x-correlation-id': correlation } = request.headers;
      asked.push({ service, url: request.url, authorization, correlation });
      const problem = trouble[service];
      if (problem === undefined) return told;
      if (problem === 'silent') return new Promise(() => {});
      if (problem === 429) reply.header('retry-after', '7');
      return reply.status(problem).send({ code: 'order-not-found', detail: 'None.' });
    });
  for (const service of services) {
    const ahead = { awaits: [], choices: [] };
    const part = { order: { ahead }, inventory: {}, payment: { exchanges: [] } }[service];
    const story = { orderId: ORDER, facts: TOLD[service], ...part };
    forward(service, `/${service}/admin/stories/:orderId`, story);
  }
  const placed = { revision: 0, type: 'OrderPlaced', at: '2026-11-21T12:00:00.000Z', data: { lines: [] } };
  forward('order', '/orders/:orderId/history', { events: [placed] });
});
afterEach(() => gateway.close());

/** Order's second fact was recorded by an instance whose clock is behind. */
const TOLD = {
  order: [fact('order', 0, '2026-11-21T12:00:01.000Z'), fact('order', 1, '2026-11-21T12:00:00.500Z')],
  inventory: [fact('inventory', 0, '2026-11-21T12:00:00.700Z'), fact('inventory', 1, '2026-11-21T12:00:02.000Z')],
  payment: [],
} satisfies Record<Service, object[]>;

const ask = (orderId = ORDER) =>
  gateway.inject({ url: `/orders/${orderId}/story`, headers: { authorization: 'Bearer token' } });

test('the stories of all services are one, by time, and those of one service in its order', async () => {
  const answer = await ask();
  const { facts, ...story } = answer.json<{ facts: { service: string; revision: number }[] }>();
  expect(story).toEqual({
    orderId: ORDER,
    at: '2026-11-21T12:00:09.000Z',
    complete: true,
    missing: [],
    ahead: { awaits: [], choices: [] },
    exchanges: [],
  });
  expect(facts.map(({ service, revision }) => `${service} ${revision}`)).toEqual([
    'inventory 0',
    'order 0',
    'order 1',
    'inventory 1',
  ]);
  expect(asked.map(({ service }) => service).sort()).toEqual([...services].sort());
  for (const each of asked) {
    expect(each).toMatchObject({
      url: `/${each.service}/admin/stories/${ORDER}`,
      authorization: 'Bearer token',
      correlation: 'c',
    });
  }
});

test.each(['silent', 503, 500, 404] as const)('a service that answers %s is missing, and named', async (how) => {
  trouble = { inventory: how };
  expect((await ask()).json()).toMatchObject({ complete: false, missing: ['inventory'], facts: [{}, {}] });
});

test('without order the rest is told; without any there is nothing to tell', async () => {
  trouble = { order: 503 };
  const { ahead, ...story } = (await ask()).json<{ ahead?: object }>();
  expect(story).toMatchObject({ missing: ['order'], facts: [{ service: 'inventory' }, { service: 'inventory' }] });
  expect(ahead).toBeUndefined();
  trouble = { order: 503, inventory: 500, payment: 'silent' };
  const none = await ask();
  expect([none.statusCode, none.json()]).toEqual([503, { code: 'unavailable' }]);
});

test('there is no such order when order says so', async () => {
  trouble = { order: 404 };
  const answer = await ask();
  expect([answer.statusCode, answer.json()]).toEqual([404, { code: 'order-not-found' }]);
  trouble = { order: 429 };
  expect((await ask()).headers['retry-after']).toBe('7');
});

test("a customer is told the order's own history, and nobody else is asked", async () => {
  whose = 'own';
  const story = (await ask()).json<object>();
  expect(asked.map(({ service, url }) => `${service} ${url}`)).toEqual([`order /orders/${ORDER}/history`]);
  const placed = { type: 'OrderPlaced', recordedAt: '2026-11-21T12:00:00.000Z', data: { lines: [] }, shown: {} };
  const facts = [{ id: `order-${ORDER}/0`, service: 'order', stream: `order-${ORDER}`, revision: 0, ...placed }];
  expect(story).toMatchObject({ complete: false, missing: ['inventory', 'payment'], facts });
  expect(story).not.toHaveProperty('ahead');
});

test('a customer is told who does not answer: nobody else was asked', async () => {
  whose = 'own';
  trouble = { order: 'silent' };
  const answer = await ask();
  expect([answer.statusCode, answer.json()]).toEqual([503, { code: 'unavailable', service: 'order' }]);
});

test('what is not the id of an order goes to no service', async () => {
  expect((await ask('..%2F..%2Fadmin')).statusCode).toBe(422);
  expect(asked).toEqual([]);
});
