/** Requests that a page of another site has sent, or by a name that is not the service's. */
import { Controller, Delete, Get, Module, Post } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import supertest from 'supertest';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openApp } from '#test/app';
import { Metrics } from '../boot/metrics.js';

@Controller()
class TestController {
  @Get('things')
  list() {
    return {};
  }

  @Post('things')
  create() {
    return {};
  }

  @Delete('things')
  remove() {
    return {};
  }
}

@Module({ controllers: [TestController] })
class TestModule {}

const SHOP = 'https://shop.example';
const EVIL = 'https://evil.example';

let app: NestFastifyApplication;
let metrics: Metrics;
beforeAll(async () => {
  metrics = new Metrics('order');
  app = await openApp({
    module: TestModule,
    access: { 'GET /things': 'anyone', 'POST /things': 'anyone', 'DELETE /things': 'anyone' },
    metrics,
    allowedHosts: ['api.shop.example'],
    corsOrigins: [SHOP],
  });
});
afterAll(() => app.close());

const http = () => supertest(app.getHttpServer());

const OWN = [
  'localhost',
  'localhost:3001',
  'LOCALHOST',
  'shop.localhost:3001',
  'order',
  'order:3001',
  'order.',
  '127.0.0.1',
  '127.0.0.1:80',
  '10.1.2.3:3001',
  '[::1]',
  '[::1]:3001',
  '[2001:db8::7]:3001',
  'api.shop.example',
  'api.shop.example:443',
  'API.Shop.Example.',
];

test.each(OWN)(
  '%s is a name of the service',
  async (host) => void (await http().get('/things').set('Host', host).expect(200)),
);

const FOREIGN = [
  'evil.example',
  'evil.example:3001',
  'shop.example',
  'x.api.shop.example',
  'api.shop.example.evil.example',
  '127.0.0.1.evil.example',
  'localhost.evil.example',
  'shop.evillocalhost',
  'evil.example#localhost',
  'evil.example@localhost',
  'localhost.evil.example',
  'shop.evillocalhost',
  'localhost:80:80',
  '[::1',
  '',
  'a b',
  '1.2.3.4.5',
];

test.each(FOREIGN)('a request to "%s" is refused, also to a path that is not there', async (host) => {
  for (const path of ['/things', '/nowhere', '/health/live']) {
    const { body } = await http().get(path).set('Host', host).set('X-Forwarded-Host', 'localhost').expect(421);
    expect(body).toMatchObject({ code: 'foreign-host', detail: expect.stringContaining('ALLOWED_HOSTS') });
  }
});

test('what X-Forwarded-Host says counts for nothing', async () => {
  await http().get('/things').set('X-Forwarded-Host', 'evil.example').expect(200);
});

/** The status line of the answer to these lines. */
async function raw(...lines: string[]): Promise<string> {
  const { port } = app.getHttpServer().address() as { port: number };
  const socket = connect(port, '127.0.0.1');
  socket.write([...lines, 'Connection: close', '', ''].join('\r\n'));
  return (await text(socket)).split('\r\n', 1)[0]!;
}

test('a target with a name is looked at too, whatever Host says', async () => {
  expect(await raw('GET http://evil.example/things HTTP/1.1', 'Host: localhost')).toMatch(/ 421 /);
  expect(await raw('GET HTTP://evil.example/things HTTP/1.1', 'Host: localhost')).toMatch(/ 421 /);
  expect(await raw('GET http://localhost:3001/things HTTP/1.1', 'Host: localhost')).toMatch(/ 200 /);
  expect(await raw('GET http://localhost:3001/things HTTP/1.1', 'Host: evil.example')).toMatch(/ 421 /);
  expect(await raw('GET /things?of=http://evil.example/ HTTP/1.1', 'Host: localhost')).not.toMatch(/ 421 /);
});

test('a probe of HTTP/1.0 needs no Host', async () => {
  expect(await raw('GET /health/live HTTP/1.0')).toMatch(/ 200 /);
});

test.each([
  ['cross-site', EVIL, 403],
  ['cross-site', 'null', 403],
  ['cross-site', undefined, 403],
  ['same-site', 'https://other.shop.example', 403],
  ['nonsense', EVIL, 403],
  ['cross-site', SHOP, 201],
  ['same-site', SHOP, 201],
  ['same-origin', 'https://api.shop.example', 201],
  ['none', undefined, 201],
  [undefined, undefined, 201],
])('a write from a page that is %s, at %s, is answered with %i', async (site, origin, status) => {
  const headers = { ...(site && { 'sec-fetch-site': site }), ...(origin && { origin }) };
  const { body } = await http().post('/things').set(headers).expect(status);
  if (status === 403) expect(body.code).toBe('cross-site');
  await http()
    .delete('/things')
    .set(headers)
    .expect(status === 403 ? 403 : 200);
  await http().get('/things').set(headers).expect(200); // What it may read, CORS says.
});

test('each refusal is counted by its code', async () => {
  const found = await metrics.registry.getSingleMetricAsString('larder_requests_refused_total');
  for (const code of ['foreign-host', 'cross-site']) expect(found).toContain(`code="${code}"`);
});
