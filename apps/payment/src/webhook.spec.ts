import { expect, test } from 'vitest';
import { sign, verify, webhook } from './webhook.js';

const now = new Date('2026-01-01T00:00:00Z');
const later = (ms: number) => new Date(now.getTime() + ms);
const body = JSON.stringify({ id: 'w1', note: 'grüße' });
const header = sign(body, 'secret', now);
const v1 = (signed: string) => signed.split(',')[1];

test('a signature is the HMAC-SHA256 of time and body', () => {
  // printf '1767225600.hello' | openssl dgst -sha256 -hmac secret
  expect(sign('hello', 'secret', now)).toBe(
    't=1767225600,v1=39fa52a7c3039d31e438bc7903e1ba5bb9f957ff110f46ff8c533dcb04ad804f',
  );
});

test('a signed body is accepted, as text and as the bytes that came over the wire', () => {
  expect(verify(body, header, 'secret', now)).toBe('ok');
  expect(verify(Buffer.from(body), header, 'secret', now)).toBe('ok');
});

test('another body, another secret or another time is a forgery', () => {
  expect(verify(`${body} `, header, 'secret', now)).toBe('forged');
  expect(verify(body, header, 'other', now)).toBe('forged');
  expect(verify(body, header.replace('t=1767225600', 't=1767225601'), 'secret', now)).toBe('forged');
});

test('a signature is good for five minutes, before and after, and then stale', () => {
  expect(verify(body, header, 'secret', later(300_000))).toBe('ok');
  expect(verify(body, header, 'secret', later(300_001))).toBe('stale');
  expect(verify(body, header, 'secret', later(-300_001))).toBe('stale');
  expect(verify(body, header, 'secret', later(2_000), 1_000)).toBe('stale');
});

test('a forged request is called forged, however old', () =>
  expect(verify('{}', header, 'secret', later(600_000))).toBe('forged'));

test('one fitting signature is enough while a secret is being changed', () => {
  const both = `${header},${v1(sign(body, 'new secret', now))}`;
  expect(verify(body, both, 'secret', now)).toBe('ok');
  expect(verify(body, both, 'new secret', now)).toBe('ok');
  expect(verify(body, both, 'older secret', now)).toBe('forged');
});

test.each([
  undefined,
  '',
  't=1767225600',
  v1(header),
  `t=,${v1(header)}`,
  `t=today,${v1(header)}`,
  `t=-1,${v1(header)}`,
  `t=1,${header}`,
  't=1767225600,v1=',
  't=1767225600,v1=abc',
  `${header}zz`,
  header.replace('v1', 'v0'),
])('the header %s is malformed', (given) => expect(verify(body, given, 'secret', now)).toBe('malformed'));

test('a webhook tells what became of an order', () => {
  const data = { orderId: '00000000-0000-4000-8000-000000000001', status: 'declined', reason: 'declined' };
  const given = { id: 'w1', type: 'payment.declined', createdAt: now.toISOString(), data };
  expect(webhook.parse(given)).toEqual(given);
  expect(webhook.safeParse({ ...given, data: { ...data, orderId: 'o1' } }).success).toBe(false);
  expect(webhook.safeParse({ ...given, type: 'payment.lost' }).success).toBe(false);
});
