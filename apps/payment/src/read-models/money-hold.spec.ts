import { expect, test } from 'vitest';
import { goldenEvents } from '#test/golden';
import { recordedAt, rowAfter } from '#test/rows';
import type { PaymentEvent } from '../domain/payment.js';
import { moneyHold } from './money-hold.js';
import { upcasters } from '../upcasters.js';

const golden = await goldenEvents<PaymentEvent>(new URL('../golden/', import.meta.url), upcasters);
const after = (history: string) =>
  rowAfter(moneyHold, 'payment-o1', ...history.split(' ').map((name) => golden[`${name}.v1`]!));

const HOUR_MS = 60 * 60_000;
const held = (attentionAfterMs: number) => ({
  order_id: 'o1',
  held_since: recordedAt(1),
  attention_at: new Date(Date.parse(recordedAt(1)) + attentionAfterMs).toISOString(),
  attended_at: null,
});

test('money is held from when it was authorized, and waits for a person after a day', () =>
  expect(after('PaymentRequested PaymentAuthorized')).toEqual(held(24 * HOUR_MS)));

test('a second hold that comes and goes does not change that', () =>
  expect(after('PaymentRequested PaymentAuthorized PaymentHeldTwice PaymentHoldReleased')).toEqual(held(24 * HOUR_MS)));

test.each([
  ['a week', 7 * 24 * HOUR_MS, 24 * HOUR_MS],
  ['two hours', 2 * HOUR_MS, HOUR_MS],
  ['no time at all, because it ended before it was recorded', -HOUR_MS, 0],
])('a hold that lasts %s waits for a person before it ends', (_what, lastsMs, attentionAfterMs) => {
  const expiresAt = new Date(Date.parse(recordedAt(1)) + lastsMs).toISOString();
  const { type, data } = golden['PaymentAuthorized.v1'] as Extract<PaymentEvent, { type: 'PaymentAuthorized' }>;
  const authorized: PaymentEvent = { type, data: { ...data, expiresAt } };
  expect(rowAfter(moneyHold, 'payment-o1', golden['PaymentRequested.v1']!, authorized)).toEqual(held(attentionAfterMs));
});

test('a hold that waited for a person stays, and waits no longer', () => {
  const expired = new Date(Date.parse(recordedAt(1)) - HOUR_MS).toISOString();
  const { type, data } = golden['PaymentAuthorized.v1'] as Extract<PaymentEvent, { type: 'PaymentAuthorized' }>;
  const asked: PaymentEvent = { type, data: { ...data, expiresAt: expired } };
  const past = { ...held(0), attention_at: null, attended_at: recordedAt(2) };
  const history = ['PaymentRequested', 'PaymentAuthorized', 'PaymentReturnRequested', 'PaymentVoided'].map((name) =>
    name === type ? asked : golden[`${name}.v1`]!,
  );
  expect(rowAfter(moneyHold, 'payment-o1', ...history)).toEqual(past);
});

test.each([
  'PaymentRequested',
  'PaymentRequested PaymentDeclined',
  'PaymentRequested PaymentAuthorized PaymentCaptureRequested',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested',
  'PaymentRequested PaymentAuthorized PaymentReturnRequested PaymentVoided',
])('no money waits for a verdict after %s', (history) => expect(after(history)).toBeUndefined());
