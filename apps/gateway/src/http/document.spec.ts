/** The one document, from those of the services as they are, and as they are not. */
import { readFileSync } from 'node:fs';
import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import type { OpenApi } from '#nest';
import { SystemClock } from '#runtime';
import type { Role } from '#service';
import { openApp } from '#test/app';
import { perService, type Service, services } from '../../../shop.js';
import { gatewayAccess, keptRoutes, serviceRoutes } from '../definition.js';
import { askForDocument, gatewayDocument } from './document.js';

const documents = perService(
  (service) => parse(readFileSync(`docs/openapi/${service}.yaml`, 'utf8')) as Required<OpenApi>,
);
const whole = gatewayDocument(documents);

const operations = Object.entries(whole.paths).flatMap(([path, item]) =>
  Object.entries(item).map(([method, operation]) => ({
    name: `${method.toUpperCase()} ${path.replace(/\{(\w+)\}/g, ':$1')}`,
    ...(operation as any),
  })),
);
const operationOf = (name: string) => operations.find((each) => each.name === name)!;

test('it has every route of the gateway but pages, probes, metrics and documents, and no other', () => {
  const listed = Object.keys(gatewayAccess).filter((name) => !/^GET \/($|console\/|\w+\/docs-json$)/.test(name));
  expect(listed).toContain('POST /payment/admin/attention/:orderId');
  expect(new Set(operations.map(({ name }) => name))).toEqual(new Set(listed));
});

test('who may call is what the table says, by a token or by a session', () => {
  for (const { name, security } of operations) {
    const expected = gatewayAccess[name] === 'anyone' ? [] : [{ bearer: [] }, { session: [] }];
    expect([name, security]).toEqual([name, expected]);
  }
});

test('a write may name the token of its session, and be refused without; a read needs none', () => {
  for (const { name, parameters, responses } of operations) {
    const isWrite = !name.startsWith('GET ');
    const takes = parameters.some((each: { name: string }) => each.name === 'Larder-CSRF');
    expect([name, takes]).toEqual([name, isWrite]);
    if (isWrite) expect([name, Object.keys(responses)]).toEqual([name, expect.arrayContaining(['403'])]);
  }
  expect(JSON.stringify(whole.components.responses['Forbidden'])).toContain('csrf');
  expect(JSON.stringify(operationOf('POST /webhooks/payments').responses[403])).toContain('csrf');
});

test('what the gateway keeps has the headers of a cache, and nothing else has', () => {
  for (const { name, parameters, responses } of operations) {
    const isKept = keptRoutes.has(name);
    const taken = parameters.some((each: { name: string }) => each.name === 'If-None-Match');
    const given = 'Larder-Cache' in (responses[200]?.headers ?? {}) && 'ETag' in responses[200].headers;
    expect([name, taken, given, '304' in responses]).toEqual([name, isKept, isKept, isKept]);
  }
});

test('every call to a service may find it too busy, and a write its positions forgotten', () => {
  for (const { method, path } of serviceRoutes.filter((route) => !route.path.endsWith('/docs-json'))) {
    const { 503: refusal } = operationOf(`${method} ${path}`).responses;
    const codes = refusal.content['application/problem+json'].schema.allOf[1].properties.code.enum;
    expect([path, codes]).toEqual([path, expect.arrayContaining(['unavailable', 'busy'])]);
    expect([path, codes.includes('position-forgotten')]).toEqual([path, method !== 'GET']);
    expect(refusal.headers).toHaveProperty('Retry-After');
  }
});

test('schemas of the same name are one, unless they, or what they refer to, differ: then each has its service in front', () => {
  expect(Object.keys(whole.components.schemas).filter((name) => /(Problem|Inbox|StoryFact)$/.test(name))).toEqual([
    'StoryFact',
    'Inbox',
    'Problem',
  ]);
  const newer = structuredClone(documents.payment) as any;
  newer.components.schemas.StoryFact.properties.weather = { type: 'string' };
  const mixed = gatewayDocument({ ...documents, payment: newer });
  const { schemas } = mixed.components as Record<'schemas', Record<string, any>>;
  for (const prefix of ['Order', 'Inventory', 'Payment']) {
    expect('weather' in schemas[`${prefix}StoryFact`].properties).toBe(prefix === 'Payment');
    expect(JSON.stringify(schemas[`${prefix}OrderStory`])).toContain(`"#/components/schemas/${prefix}StoryFact"`);
  }
  expect(schemas).not.toHaveProperty('OrderStory');
  expect(schemas).toHaveProperty('Inbox');
  expect(JSON.stringify(mixed.paths['/payment/admin/stories/{orderId}'])).toContain('schemas/PaymentOrderStory"');
});

@Module({})
class TestModule {}

let away: Service[];
let silent: Service[];
let seen: unknown[];
let gateway: NestFastifyApplication;
beforeAll(async () => {
  gateway = await openApp({
    module: TestModule,
    access: Object.fromEntries(services.map((service) => [`GET /${service}/docs-json`, { clerk: 'any' as const }])),
    tokens: { known: () => undefined, identify: async () => ({ subject: 'carla', roles: ['clerk'] as Role[] }) },
    routes: (http) => {
      for (const service of services) {
        http.get(`/${service}/docs-json`, async ({ headers }, reply) => {
          seen.push(headers.authorization);
          if (silent.includes(service)) return new Promise(() => {});
          return away.includes(service) ? reply.status(503).send({ code: 'unavailable' }) : documents[service];
        });
      }
    },
    document: (request) => askForDocument(request, { clock: new SystemClock(), partWithinMs: 100 }),
  });
});
afterAll(() => gateway?.close());
beforeEach(() => {
  away = [];
  silent = [];
  seen = [];
});

const ask = () => gateway.inject({ url: '/docs-json', headers: { authorization: 'Bearer carla' } });

test('it is made of what the services answer to who asks', async () => {
  const answer = await ask();
  expect(answer.json()).toEqual(JSON.parse(JSON.stringify(whole)));
  expect(seen).toEqual(services.map(() => 'Bearer carla'));
});

test('a service that is away is named, and its routes are missing', async () => {
  away = ['payment'];
  const { info, paths } = (await ask()).json<OpenApi>();
  expect(info.description).toContain('payment does not answer now');
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/orders', '/stock', '/session']));
  expect(Object.keys(paths).filter((path) => path.startsWith('/payment'))).toEqual([]);
  expect(whole.info.description).not.toContain('does not answer');
});

test('a service that is silent is missing, and not waited for', async () => {
  silent = ['order'];
  const { info, paths } = (await ask()).json<OpenApi>();
  expect(info.description).toContain('order does not answer now');
  expect(Object.keys(paths)).toEqual(expect.arrayContaining(['/stock', '/session']));
});

test('without any there is no document', async () => {
  away = [...services];
  const answer = await ask();
  expect([answer.statusCode, answer.headers['retry-after'], answer.json()]).toMatchObject([
    503,
    '1',
    { code: 'unavailable' },
  ]);
});
