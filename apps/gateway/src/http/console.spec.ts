import { Module } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openApp } from '#test/app';
import { gatewayAccess } from '../definition.js';
import { CONSOLE_FOLDER, serveConsole } from './console.js';

@Module({})
class Nothing {}

const isConsoles = (operation: string) => /^GET \/(console\/.*)?$/.test(operation);
const access = Object.fromEntries(Object.entries(gatewayAccess).filter(([operation]) => isConsoles(operation)));

const SECRET = 'not for anybody';
let folder: string;
let app: NestFastifyApplication;
let url: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'larder-console-'));
  mkdirSync(join(folder, 'console/assets'), { recursive: true });
  writeFileSync(join(folder, 'console/index.html'), '<!doctype html>');
  writeFileSync(join(folder, 'console/licenses.md'), 'MIT');
  writeFileSync(join(folder, 'console/worlds.json'), '[]');
  writeFileSync(join(folder, 'console/assets/index-1.js'), 'start();');
  writeFileSync(join(folder, 'secret'), SECRET);
  app = await openApp({ module: Nothing, access, routes: (http) => serveConsole(http, join(folder, 'console')) });
  url = await app.getUrl();
});
afterAll(async () => {
  await app.close();
  rmSync(folder, { recursive: true });
});

test.each([
  '/',
  '/console/orders',
  '/console/orders/1',
  '/console/inbox',
  '/console/dead-letters',
  '/console/read-models',
  '/console/worlds/7',
  '/console/story',
])('%s is the page, which may load nothing from elsewhere and run nothing inline', async (path) => {
  const answer = await fetch(url + path);
  expect(await answer.text()).toBe('<!doctype html>');
  expect(answer.headers.get('content-type')).toBe('text/html; charset=utf-8');
  expect(answer.headers.get('cache-control')).toBe('no-cache');
  const policy = answer.headers.get('content-security-policy');
  expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/);
  expect(policy).toMatch(/frame-ancestors 'none'; base-uri 'none'$/);
  expect(policy).not.toContain('unsafe');
});

test('what the page names is kept for ever, since another build names others', async () => {
  const answer = await fetch(`${url}/console/assets/index-1.js`);
  expect(await answer.text()).toBe('start();');
  expect(answer.headers.get('content-type')).toBe('text/javascript; charset=utf-8');
  expect(answer.headers.get('cache-control')).toBe('public, max-age=31536000, immutable');
});

test('a script that is started as a thread may load and ask no more than the page', async () => {
  const [page, script] = await Promise.all([fetch(url), fetch(`${url}/console/assets/index-1.js`)]);
  expect(script.headers.get('content-security-policy')).toBe(page.headers.get('content-security-policy'));
});

test.each([
  ['gzip, br', 'gzip'],
  ['*', null],
  ['gzip;q=0', null],
  ['identity', null],
])('for Accept-Encoding %s the encoding is %s', async (accepted, encoding) => {
  const answer = await fetch(`${url}/console/assets/index-1.js`, { headers: { 'accept-encoding': accepted } });
  expect(answer.headers.get('content-encoding')).toBe(encoding);
  expect(answer.headers.get('vary')).toBe('Accept-Encoding');
  expect(await answer.text()).toBe('start();');
});

test('the licences of what is bundled can be read', async () => {
  expect(await (await fetch(`${url}/console/licenses.md`)).text()).toBe('MIT');
});

test('which simulated worlds there are is asked for anew', async () => {
  const answer = await fetch(`${url}/console/worlds.json`);
  expect(await answer.json()).toEqual([]);
  expect(answer.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(answer.headers.get('cache-control')).toBe('no-cache');
});

test.each([
  '/console',
  '/console/',
  '/console/unknown',
  '/console/orders/1/2',
  '/console/worlds/1/2',
  '/console/worlds-licenses.md',
  '/console/assets/index-2.js',
  '/console/assets/..%2F..%2Fsecret',
  '/console/assets/%2e%2e%2f%2e%2e%2fsecret',
  '/console/assets/....//secret',
  '/console/assets/index-1.js%00',
  '/console/assets/..',
])('nothing is at %s', async (path) => {
  const answer = await fetch(url + path);
  expect(answer.status).toBe(404);
  expect(await answer.text()).not.toContain(SECRET);
  expect(answer.headers.get('cache-control')).toBe('no-store');
});

test('a console that is not built is said to be missing', async () => {
  const routes: Parameters<typeof openApp>[0]['routes'] = (http) => serveConsole(http, join(folder, 'nowhere'));
  const empty = await openApp({ module: Nothing, access, routes });
  const answer = await fetch(await empty.getUrl());
  await empty.close();
  expect(answer.status).toBe(503);
  expect(await answer.json()).toMatchObject({ detail: 'The console is not built. Run `npm run build`.' });
});

test('its scripts are below 150 kB, compressed, and so is what runs a simulated world', () => {
  const sizes = readdirSync(join(CONSOLE_FOLDER, 'assets'))
    .filter((name) => name.endsWith('.js'))
    .map((name) => ({ name, bytes: gzipSync(readFileSync(join(CONSOLE_FOLDER, 'assets', name))).length }));
  const sum = (belongs: (name: string) => boolean) =>
    sizes.reduce((bytes, each) => bytes + (belongs(each.name) ? each.bytes : 0), 0);
  const console = sum((name) => !name.startsWith('world-'));
  expect(console).toBeGreaterThan(5_000);
  expect(console).toBeLessThan(150_000);
  const threads = sizes.filter(({ name }) => /^world-(?!shared)/.test(name));
  const largest = Math.max(...threads.map(({ bytes }) => bytes));
  expect(largest).toBeGreaterThan(5_000);
  expect(largest + sum((name) => name.startsWith('world-shared'))).toBeLessThan(150_000);
});
