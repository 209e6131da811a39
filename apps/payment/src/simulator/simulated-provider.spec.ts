import { describe, expect, test } from 'vitest';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { withTimeout } from '../../../../proof/provider-timeout.js';
import { ProviderTimeout, ProviderUnavailable } from '../provider.js';
import type { Webhook } from '../webhook.js';
import { MemoryLedger } from './ledger.js';
import { SimulatedProvider } from './simulated-provider.js';

const orderId = '9d1e0000-0000-4000-8000-000000000001';
const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const never = new AbortController().signal;

function simulator() {
  const clock = new ManualClock();
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ledger = new MemoryLedger();
  const webhooks: Webhook[] = [];
  const provider = new SimulatedProvider(ledger, async (webhook) => void webhooks.push(webhook), runtime);
  return {
    clock,
    ledger,
    webhooks,
    provider,
    /** As the payment service calls it: with a time limit of two seconds. */
    called: withTimeout(provider, clock, 2_000),
    authorize: (token: string, idempotencyKey = 'a', amount = eur(2598)) =>
      provider.authorize({ orderId, amount, token, idempotencyKey }, never),
    capture: (amountMinor = 2598, idempotencyKey = 'c') =>
      provider.capture({ orderId, amount: eur(amountMinor), idempotencyKey }),
    void: (idempotencyKey = 'v') => provider.void({ orderId, idempotencyKey }),
    refund: (amountMinor = 2598, idempotencyKey = 'r') =>
      provider.refund({ orderId, amount: eur(amountMinor), idempotencyKey }),
    find: () => provider.find(orderId),
    entries: async () => (await ledger.entries({ limit: 100 })).map((entry) => entry.type),
  };
}

const authorized = {
  status: 'authorized',
  authorizationId: expect.stringMatching(/^auth_/),
  authorized: expect.objectContaining({ currency: 'EUR' }),
  expiresAt: expect.stringMatching(/^2026-01-08T/),
};
const charged = (heldMinor: number, capturedMinor: number, refundedMinor: number) => [
  {
    currency: 'EUR',
    heldMinor: BigInt(heldMinor),
    capturedMinor: BigInt(capturedMinor),
    refundedMinor: BigInt(refundedMinor),
    netMinor: BigInt(capturedMinor - refundedMinor),
  },
];

describe('tokens', () => {
  test('tok_approved is authorized, captured and refunded', async () => {
    const s = simulator();
    expect(await s.find()).toBeUndefined();
    const { authorizationId } = (await s.authorize('tok_approved')) as { authorizationId: string };
    expect(await s.find()).toEqual({ orderId, ...authorized, authorizationId, authorized: eur(2598) });
    expect(await s.ledger.totals()).toEqual(charged(2598, 0, 0));

    const captured = await s.capture();
    expect(captured).toEqual({ status: 'captured', captureId: expect.stringMatching(/^cap_/), captured: eur(2598) });
    const known = { orderId, authorizationId, ...captured, captured: eur(2598) };
    expect(await s.find()).toEqual({ ...known, refunded: eur(0) });
    expect(await s.ledger.totals()).toEqual(charged(0, 2598, 0));

    expect(await s.refund()).toEqual({
      status: 'refunded',
      refundId: expect.stringMatching(/^ref_/),
      refunded: eur(2598),
    });
    expect(await s.find()).toEqual({ ...known, status: 'refunded', refunded: eur(2598) });
    expect(await s.ledger.totals()).toEqual(charged(0, 2598, 2598));
    expect(await s.entries()).toEqual(['authorized', 'captured', 'refunded']);
  });

  test.each([
    ['tok_declined', 'declined'],
    ['tok_insufficient_funds', 'insufficient-funds'],
    ['tok_unheard_of', 'invalid-token'],
    ['constructor', 'invalid-token'],
  ])('%s is declined: %s', async (token, reason) => {
    const s = simulator();
    expect(await s.authorize(token)).toEqual({ status: 'declined', reason });
    expect(await s.find()).toEqual({ orderId, status: 'declined', reason });
    expect(await s.capture()).toEqual({ status: 'refused', reason: 'not-authorized' });
    expect(await s.void()).toEqual({ status: 'voided' });
    expect(await s.ledger.totals()).toEqual(charged(0, 0, 0));
  });

  test('tok_slow is pending at first, and answered within the time limit', async () => {
    const s = simulator();
    const request = { orderId, amount: eur(2598), token: 'tok_slow', idempotencyKey: 'a' };
    const answer = s.called.authorize(request, never);
    await s.clock.advance(1_499);
    expect(await s.find()).toEqual({ orderId, status: 'pending' });
    await s.clock.advance(1);
    expect(await answer).toEqual(authorized);
    expect(await s.entries()).toEqual(['authorized']);
  });

  test('tok_charged_after_timeout is authorized after its caller has given up, and finds out by asking', async () => {
    const s = simulator();
    const request = { orderId, amount: eur(2598), token: 'tok_charged_after_timeout', idempotencyKey: 'a' };
    const gaveUp = expect(s.called.authorize(request, never)).rejects.toThrow(ProviderTimeout);
    await s.clock.advance(2_000);
    await gaveUp;
    expect(await s.find()).toEqual({ orderId, status: 'pending' });
    const again = s.called.authorize(request, never);
    await s.clock.advance(1_000);
    expect(await s.find()).toMatchObject(authorized);
    expect(await again).toEqual(authorized);
    expect(await s.ledger.totals()).toEqual(charged(2598, 0, 0));
  });

  test('tok_charged_after_timeout leaves its first call without an answer for good', async () => {
    const s = simulator();
    const stop = new AbortController();
    let answered = false;
    const request = { orderId, amount: eur(1), token: 'tok_charged_after_timeout', idempotencyKey: 'a' };
    const call = s.provider.authorize(request, stop.signal).finally(() => (answered = true));
    await s.clock.advance(60_000);
    expect(answered).toBe(false);
    stop.abort();
    await expect(call).rejects.toThrow(ProviderTimeout);
  });

  test('tok_charged_after_timeout arrives, and a webhook reports it, even when nobody asks', async () => {
    const s = simulator();
    const gaveUp = expect(
      s.called.authorize({ orderId, amount: eur(1), token: 'tok_charged_after_timeout', idempotencyKey: 'a' }, never),
    ).rejects.toThrow(ProviderTimeout);
    await s.clock.advance(3_000);
    await gaveUp;
    expect(await s.entries()).toEqual(['authorized']);
    expect(s.webhooks).toMatchObject([{ type: 'payment.authorized', data: { orderId, status: 'authorized' } }]);
  });

  test('tok_capture_fails_twice is captured at the third attempt, once', async () => {
    const s = simulator();
    await s.authorize('tok_capture_fails_twice');
    await expect(s.capture()).rejects.toThrow(ProviderUnavailable);
    await expect(s.capture()).rejects.toThrow(ProviderUnavailable);
    expect(await s.find()).toMatchObject(authorized);
    expect(await s.capture()).toMatchObject({ status: 'captured' });
    expect(await s.entries()).toEqual(['authorized', 'captured']);
  });

  test('tok_down_30s cannot be reached for 30 s from its first call, by any call', async () => {
    const s = simulator();
    await expect(s.authorize('tok_down_30s')).rejects.toThrow(ProviderUnavailable);
    await s.clock.advance(29_999);
    await expect(s.authorize('tok_down_30s')).rejects.toThrow(ProviderUnavailable);
    await expect(s.find()).rejects.toThrow(ProviderUnavailable);
    await expect(s.void()).rejects.toThrow(ProviderUnavailable);
    await s.clock.advance(1);
    expect(await s.find()).toBeUndefined();
    expect(await s.authorize('tok_down_30s')).toEqual(authorized);
  });
});

describe('idempotency', () => {
  test('the same key gets the first answer, and nothing is done twice', async () => {
    const s = simulator();
    const first = [await s.authorize('tok_approved'), await s.capture(), await s.refund(100)];
    expect([await s.authorize('tok_approved'), await s.capture(), await s.refund(100)]).toEqual(first);
    expect(await s.entries()).toEqual(['authorized', 'captured', 'refunded']);
  });

  test('a key of one operation means nothing to another operation', async () => {
    const s = simulator();
    expect(await s.authorize('tok_approved', 'key')).toMatchObject({ status: 'authorized' });
    expect(await s.capture(2598, 'key')).toMatchObject({ status: 'captured' });
    expect(await s.refund(2598, 'key')).toMatchObject({ status: 'refunded' });
  });

  test('an order has one payment, whatever the key', async () => {
    const s = simulator();
    const first = await s.authorize('tok_approved', 'a1');
    expect(await s.authorize('tok_approved', 'a2')).toEqual(first);
    expect(await s.ledger.totals()).toEqual(charged(2598, 0, 0));
  });

  test('a refusal is not remembered: what was too early goes through later', async () => {
    const s = simulator();
    expect(await s.capture()).toEqual({ status: 'refused', reason: 'not-authorized' });
    await s.authorize('tok_approved');
    expect(await s.refund()).toEqual({ status: 'refused', reason: 'not-captured' });
    expect(await s.capture()).toMatchObject({ status: 'captured' });
    expect(await s.refund()).toMatchObject({ status: 'refunded' });
  });
});

describe('void', () => {
  test('releases what is held', async () => {
    const s = simulator();
    const { authorizationId } = (await s.authorize('tok_approved')) as { authorizationId: string };
    expect(await s.void()).toEqual({ status: 'voided', authorizationId });
    expect(await s.void('v2')).toEqual({ status: 'voided', authorizationId });
    expect(await s.capture()).toEqual({ status: 'refused', reason: 'not-authorized' });
    expect(await s.ledger.totals()).toEqual(charged(0, 0, 0));
    expect(await s.entries()).toEqual(['authorized', 'voided']);
  });

  test('ends a payment that is not known yet: an authorization that arrives later is refused', async () => {
    const s = simulator();
    expect(await s.void()).toEqual({ status: 'voided' });
    expect(await s.authorize('tok_approved')).toEqual({ status: 'declined', reason: 'canceled' });
    expect(await s.find()).toEqual({ orderId, status: 'voided' });
    expect(await s.ledger.totals()).toEqual([]);
  });

  test('ends a pending payment: the authorization in progress is refused', async () => {
    const s = simulator();
    const answer = s.authorize('tok_slow');
    await s.clock.advance(1_000);
    expect(await s.void()).toEqual({ status: 'voided' });
    await s.clock.advance(1_000);
    expect(await answer).toEqual({ status: 'declined', reason: 'canceled' });
    expect(await s.entries()).toEqual(['voided']);
  });

  test('of a hold that has ended after a week finds nothing to release', async () => {
    const s = simulator();
    await s.authorize('tok_approved');
    await s.clock.advance(7 * 24 * 60 * 60_000);
    expect(await s.capture()).toEqual({ status: 'refused', reason: 'not-authorized' });
    expect(await s.void()).toMatchObject({ status: 'voided' });
    expect(await s.entries()).toEqual(['authorized', 'voided']);
    expect(await s.ledger.totals()).toEqual(charged(0, 0, 0));
  });

  test('comes too late for captured money, and reports how much has to be refunded', async () => {
    const s = simulator();
    await s.authorize('tok_approved');
    await s.capture();
    await s.refund(598);
    expect(await s.void()).toEqual({ status: 'captured', amount: eur(2000) });
    expect(await s.ledger.totals()).toEqual(charged(0, 2598, 598));
  });
});

describe('limits', () => {
  test.each([2599, -1, 0.5, Number.NaN])('%s cannot be captured or refunded of 2598', async (amountMinor) => {
    const s = simulator();
    await s.authorize('tok_approved');
    expect(await s.capture(amountMinor)).toEqual({ status: 'refused', reason: 'invalid-amount' });
    await s.capture();
    expect(await s.refund(amountMinor)).toEqual({ status: 'refused', reason: 'invalid-amount' });
    expect(await s.ledger.totals()).toEqual(charged(0, 2598, 0));
  });

  test('another currency is refused', async () => {
    const s = simulator();
    await s.authorize('tok_approved');
    const amount = { amountMinor: 1, currency: 'USD' };
    const refused = { status: 'refused', reason: 'invalid-amount' };
    expect(await s.provider.capture({ orderId, amount, idempotencyKey: 'c' })).toEqual(refused);
    await s.capture();
    expect(await s.provider.refund({ orderId, amount, idempotencyKey: 'r' })).toEqual(refused);
  });

  test('money is captured once, and the rest of the hold is released', async () => {
    const s = simulator();
    await s.authorize('tok_approved');
    expect(await s.capture(2000, 'c1')).toMatchObject({ status: 'captured' });
    expect(await s.capture(500, 'c2')).toEqual({ status: 'refused', reason: 'already-captured' });
    expect(await s.ledger.totals()).toEqual(charged(0, 2000, 0));
  });

  test('refunds add up to no more than what was captured', async () => {
    const s = simulator();
    await s.authorize('tok_approved');
    await s.capture(1000);
    expect(await s.refund(600, 'r1')).toMatchObject({ status: 'refunded' });
    expect(await s.refund(401, 'r2')).toEqual({ status: 'refused', reason: 'invalid-amount' });
    expect(await s.find()).toMatchObject({ status: 'captured', refunded: eur(600) });
    expect(await s.refund(400, 'r3')).toMatchObject({ status: 'refunded' });
    expect(await s.find()).toMatchObject({ status: 'refunded', refunded: eur(1000) });
    expect(await s.ledger.totals()).toEqual(charged(0, 1000, 1000));
  });

  test('an amount below zero is not authorized', async () =>
    expect(await simulator().authorize('tok_approved', 'a', eur(-1))).toEqual({
      status: 'declined',
      reason: 'invalid-amount',
    }));
});

test('everything that happens is reported in a webhook, a repeated request is not', async () => {
  const s = simulator();
  await s.authorize('tok_approved');
  await s.authorize('tok_approved');
  await s.capture();
  await s.refund();
  await s.refund();
  const reported = s.webhooks.map((webhook) => [webhook.type, webhook.data.status]);
  expect(reported).toEqual([
    ['payment.authorized', 'authorized'],
    ['payment.captured', 'captured'],
    ['payment.refunded', 'refunded'],
  ]);
  expect(new Set(s.webhooks.map((webhook) => webhook.id)).size).toBe(3);
});

test('closing does not wait for what is still pending', async () => {
  const s = simulator();
  const stop = new AbortController();
  const answer = expect(
    s.provider.authorize({ orderId, amount: eur(1), token: 'tok_slow', idempotencyKey: 'a' }, stop.signal),
  ).rejects.toThrow(ProviderTimeout);
  await s.clock.advance(0);
  expect(s.clock.sleeping).toBe(2);
  stop.abort();
  await Promise.all([answer, s.provider.close()]);
  expect(s.clock.sleeping).toBe(0);
});
