import fastify, { type FastifyInstance } from 'fastify';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Agent } from 'undici';
import { SystemClock } from '#runtime';
import type { ServiceFlow } from '#service';
import type { Service } from '../../../shop.js';
import type { Flow } from '../api.js';
import { serveFlow } from './flow.js';
import type { State } from './instances.js';

const told = (service: Service, instance: string, seconds?: number): ServiceFlow => ({
  service,
  instance,
  at: '2026-11-21T12:00:00.000Z',
  consumer: { unread: 3 },
  circuits: service === 'payment' ? { provider: instance === 'pay:1' ? 'closed' : 'open' } : {},
  ...(seconds !== undefined && {
    orders: { seconds: 10, placed: seconds, settled: 0, toSettle: { seconds, orders: 0, others: 0 } },
  }),
});

/** By URL, what an instance answers: a status that is no answer, or nothing at all. */
let instances: Record<string, { service: Service; says: ServiceFlow | number | 'silent'; state?: State }>;
let asked: { url: string; path: string; headers: Record<string, unknown> }[];
let gateway: FastifyInstance;

const agent = {
  request: async ({ origin, path, headers }: { origin: string; path: string; headers: Record<string, unknown> }) => {
    asked.push({ url: origin, path, headers });
    const { says } = instances[origin]!;
    if (says === 'silent') return new Promise(() => {});
    if (says === 0) throw new Error('refused');
    const isRefused = typeof says === 'number';
    return { statusCode: isRefused ? says : 200, body: { json: async () => says, dump: async () => {} } };
  },
} as unknown as Agent;

beforeEach(() => {
  asked = [];
  instances = {
    'http://order:1': { service: 'order', says: told('order', 'ord:1', 7) },
    'http://order:2': { service: 'order', says: told('order', 'ord:2', 60) },
    'http://inventory:1': { service: 'inventory', says: told('inventory', 'inv:1') },
    'http://payment:1': { service: 'payment', says: told('payment', 'pay:1') },
    'http://payment:2': { service: 'payment', says: told('payment', 'pay:2') },
  };
  gateway = fastify();
  gateway.decorateRequest('dueMs', 0);
  gateway.addHook('onRequest', async (request) => {
    request.cause = { correlationId: 'c', causationId: 'c' };
  });
  serveFlow(gateway, {
    clock: new SystemClock(),
    agent,
    instances: {
      all: (service) =>
        Object.entries(instances).flatMap(([url, { service: its, state = 'ready' }]) =>
          its === service ? [{ service, url, host: url.slice('http://'.length), state }] : [],
        ),
    },
    calls: { isOpen: (service) => service === 'inventory' },
    name: 'door:3000',
    readers: () => 4,
    answerWithinMs: 200,
  });
});
afterEach(() => gateway.close());

async function ask(): Promise<Flow> {
  const answer = await gateway.inject({ url: '/flow', headers: { authorization: 'Bearer token', cookie: 'secret' } });
  expect(answer.statusCode).toBe(200);
  return answer.json<Flow>();
}

test('every instance is asked, as the caller; what they share is told once, and what is their own of each', async () => {
  const flow = await ask();
  expect(flow).toMatchObject({
    complete: true,
    missing: [],
    gateway: {
      name: 'door:3000',
      circuits: { order: 'closed', inventory: 'open', payment: 'closed' },
      readers: 4,
    },
  });
  expect(flow.services.map(({ service }) => service)).toEqual(['order', 'inventory', 'payment']);
  expect(flow.services.every((each) => !('circuits' in each))).toBe(true);
  expect(flow.instances.map(({ url, name, circuits }) => [url, name, circuits])).toEqual([
    ['http://order:1', 'ord:1', {}],
    ['http://order:2', 'ord:2', {}],
    ['http://inventory:1', 'inv:1', {}],
    ['http://payment:1', 'pay:1', { provider: 'closed' }],
    ['http://payment:2', 'pay:2', { provider: 'open' }],
  ]);
  expect(asked).toHaveLength(5);
  for (const { url, path, headers } of asked) {
    expect(path).toBe('/admin/flow');
    expect(headers).toEqual({
      host: url.slice('http://'.length),
      authorization: 'Bearer token',
      'x-correlation-id': 'c',
      'x-forwarded-for': '127.0.0.1',
    });
  }
});

test('of several that count the same, the one is told that has counted for the longest', async () => {
  expect((await ask()).services[0]).toMatchObject({ instance: 'ord:2', orders: { placed: 60 } });
});

test.each(['silent', 0, 404, 503] as const)('an instance that says %s is named, and the others tell', async (says) => {
  instances['http://order:2'] = { service: 'order', says };
  const flow = await ask();
  expect(flow).toMatchObject({ complete: false, missing: [] });
  expect(flow.services[0]).toMatchObject({ instance: 'ord:1' });
  expect(flow.instances[1]).toEqual({ service: 'order', url: 'http://order:2', state: 'ready' });
});

test('a service of which none answers is missing; one that is out is not asked', async () => {
  instances['http://inventory:1'] = { service: 'inventory', says: 503, state: 'out' };
  instances['http://payment:1'] = { service: 'payment', says: 'silent' };
  instances['http://payment:2'] = { service: 'payment', says: 0, state: 'there' };
  const flow = await ask();
  expect(flow).toMatchObject({ complete: false, missing: ['inventory', 'payment'], services: [{ service: 'order' }] });
  expect(asked.map(({ url }) => url)).not.toContain('http://inventory:1');
});

test('a service without any instance is missing, too', async () => {
  delete instances['http://inventory:1'];
  expect(await ask()).toMatchObject({ complete: false, missing: ['inventory'] });
});
