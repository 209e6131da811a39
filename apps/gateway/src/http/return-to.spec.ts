import { expect, test } from 'vitest';
import { loginAt, returnPath } from './return-to.js';

test.each([
  '/',
  '/orders/4711',
  '/orders?status=placed&cursor=a%2Fb',
  '/#/story/4711',
  '/?next=https://evil.example//x',
  '/%C3%A9',
])('a login leads back to %s', (path) => expect(returnPath(path)).toBe(path));

test.each([
  undefined,
  '',
  'orders',
  ['/orders', '/'],
  'https://evil.example/',
  'https:evil.example',
  'javascript:alert(1)',
  'data:text/html,x',
  '//evil.example',
  '///evil.example',
  '/\\evil.example',
  '\\\\evil.example',
  '/.//evil.example',
  '/x/..//evil.example',
  '/x/%2e%2e//evil.example',
  '/%2fevil.example',
  '/%2Fevil.example',
  '/%5cevil.example',
  '%2F%2Fevil.example',
  '/\t/evil.example',
  '/\n/evil.example',
  '/\r\nSet-Cookie: x=y',
  '\t//evil.example',
  ' //evil.example',
  '/\u0000/evil.example',
  '/\u0085/evil.example',
  '/\u2028/evil.example',
  `/${'x'.repeat(1_000)}`,
])('instead of %j it leads to the start', (returnTo) => expect(returnPath(returnTo)).toBe('/'));

test('what is no ASCII is encoded, as a header has it', () =>
  expect(returnPath('/orders?of=Zoë')).toBe('/orders?of=Zo%C3%AB'));

test('a link to the login carries its path whole', () =>
  expect(new URL(loginAt('/orders?a=b&c=d#e'), 'http://localhost').searchParams.get('returnTo')).toBe(
    '/orders?a=b&c=d#e',
  ));
