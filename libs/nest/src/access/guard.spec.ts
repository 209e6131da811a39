/** Routes and their rows: what is refused to whom, and what does not start. */
import { Body, Controller, Delete, Get, Module, Post } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { pino } from 'pino';
import supertest from 'supertest';
import { afterEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import type { Cause } from '#event-store';
import { openApp } from '#test/app';
import type { AccessTable, Caller, Role } from '#service';
import { Metrics } from '../boot/metrics.js';
import { RequestCause } from '../http/correlation.js';
import { Problem } from '../http/problem.js';
import { RequestCaller } from './guard.js';

@Controller()
class TestController {
  @Get('open')
  open(@RequestCause() { actor }: Cause) {
    return { actor };
  }

  @Get('mine')
  mine(@RequestCaller() caller: Caller, @RequestCause() { actor }: Cause) {
    return { caller, actor };
  }

  @Post('theirs')
  theirs(@Body({ schema: z.object({}) }) body: object) {
    return body;
  }

  @Delete('nobody')
  nobody() {
    return {};
  }
}

@Module({ controllers: [TestController] })
class TestModule {}

const TABLE: AccessTable = {
  'GET /open': 'anyone',
  'GET /mine': { customer: 'own', clerk: 'any' },
  'POST /theirs': { operator: 'any' },
  'DELETE /nobody': {},
};

let app: NestFastifyApplication | undefined;
let lines: Record<string, unknown>[] = [];
let metrics: Metrics;
afterEach(async () => {
  await app?.close();
  app = undefined;
});

/** Whoever says so in the header: `Ada customer clerk`. */
const tokens = {
  known: () => undefined,
  identify: async (header: string | undefined) => {
    if (header === undefined) throw new Problem(401, 'unauthenticated', 'Say who you are.');
    const [subject, ...roles] = header.split(' ');
    return { subject: subject!, roles: roles as Role[] };
  },
};

async function start(access: AccessTable): Promise<void> {
  lines = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  metrics = new Metrics('order');
  app = await openApp({ module: TestModule, access, log, metrics, tokens });
}

const ask = (method: 'get' | 'head' | 'post' | 'delete', path: string, caller?: string) => {
  const agent = supertest.agent(app!.getHttpServer()).set(caller === undefined ? {} : { authorization: caller });
  return agent[method](path);
};

test('a caller reaches what the rows of all their roles grant, and is known to the handler', async () => {
  await start(TABLE);
  expect((await ask('get', '/mine', 'ada customer').expect(200)).body).toEqual({
    caller: { subject: 'ada', roles: ['customer'], whose: 'own' },
    actor: 'ada',
  });
  expect((await ask('get', '/mine', 'ada customer clerk')).body.caller.whose).toBe('any');
  expect((await ask('get', '/open', 'ada clerk').expect(200)).body).toEqual({});
  await ask('head', '/mine', 'ada clerk').expect(200);
  await ask('head', '/mine').expect(401);
});

test.each([
  ['get', '/mine', undefined, 401, 'unauthenticated'],
  ['get', '/mine', 'ada operator', 403, 'forbidden'],
  ['get', '/mine', 'ada', 403, 'forbidden'],
  ['post', '/theirs', 'ada customer clerk service', 403, 'forbidden'],
  ['delete', '/nobody', 'ada customer clerk operator service', 403, 'forbidden'],
  ['get', '/nowhere', undefined, 404, 'not-found'],
  ['delete', '/mine', undefined, 405, 'method-not-allowed'],
] as const)('%s %s of %s is answered with %i', async (method, path, caller, status, code) => {
  await start(TABLE);
  const { body } = await ask(method, path, caller).expect(status);
  expect(body.code).toBe(code);
});

test('a refusal says for whom the route is, is logged with the address, and counted', async () => {
  await start(TABLE);
  const { body, headers } = await ask('get', '/mine', 'eve operator').expect(403);
  expect(body).toMatchObject({ needs: ['customer', 'clerk'], detail: expect.stringContaining('customer and clerk') });
  expect(headers['www-authenticate']).toBe('Bearer realm="larder", error="insufficient_scope", scope="customer clerk"');
  expect(lines).toContainEqual(
    expect.objectContaining({
      level: 40,
      code: 'forbidden',
      method: 'GET',
      path: '/mine',
      address: '127.0.0.1',
      correlationId: headers['x-correlation-id'],
    }),
  );
  expect(await metrics.registry.metrics()).toMatch(/^larder_requests_refused_total\{code="forbidden",.*\} 1$/m);
});

test('what staff read of customers is logged with their name; what customers read of their own is not', async () => {
  await start({ ...TABLE, 'POST /theirs': { customer: 'own', operator: 'any' } });
  await ask('get', '/mine', 'ada customer').expect(200);
  await ask('post', '/theirs', 'otto operator').send({}).expect(201);
  await ask('get', '/mine', 'otto operator').expect(403);
  const read = () => lines.filter(({ msg }) => msg === 'Staff have read what belongs to customers.');
  expect(read()).toEqual([]);
  const { headers } = await ask('get', '/mine', 'carla clerk').expect(200);
  await vi.waitFor(() =>
    expect(read()).toEqual([
      expect.objectContaining({
        level: 30,
        actor: 'carla',
        operation: 'GET /mine',
        url: '/mine',
        correlationId: headers['x-correlation-id'],
      }),
    ]),
  );
});

test('a body is not read of whom the route is not for', async () => {
  await start(TABLE);
  const answer = await ask('post', '/theirs').set('content-type', 'application/json').send('no JSON').expect(401);
  expect(answer.body.code).toBe('unauthenticated');
  await ask('post', '/theirs', 'ada operator').set('content-type', 'application/json').send('no JSON').expect(400);
});

test('what every service has is for those whom it concerns: probes are for anyone', async () => {
  await start(TABLE);
  await ask('get', '/health/live').expect(200);
  await ask('get', '/metrics').expect(401);
  await ask('get', '/metrics', 'ada customer clerk').expect(403);
  await ask('get', '/metrics', 'prometheus service').expect(200);
  await ask('get', '/docs').expect(200);
  await ask('get', '/docs-json', 'ada customer').expect(403);
});

const without = (row: string) => Object.fromEntries(Object.entries(TABLE).filter(([each]) => each !== row));

test.each([
  ['a route without a row', without('GET /mine'), 'GET /mine has no row'],
  ['a row without a route', { ...TABLE, 'GET /mime': 'anyone' as const }, 'the row GET /mime has no route'],
])('%s: the service does not start', async (_, access, said) => {
  await expect(start(access)).rejects.toMatchObject({ exitCode: 78, message: expect.stringContaining(said) });
});
