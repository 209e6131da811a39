/** What a ledger promises, for every kind of ledger. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { type Clock, silentLog, SystemIds, untilAborted } from '#runtime';
import { ManualClock, SeededRandom } from '#runtime/testing';
import { postgresPool } from '#runtime/postgres';
import { freshDatabase } from '#test/database';
import { ProviderUnavailable } from '../provider.js';
import type { Webhook } from '../webhook.js';
import { type Ledger, MemoryLedger, MOST_STRAYS } from './ledger.js';
import { PostgresLedger } from './postgres-ledger.js';
import { SimulatedProvider } from './simulated-provider.js';
import type { Deliver } from './webhooks.js';

const eur = (amountMinor: number) => ({ amountMinor, currency: 'EUR' });
const never = new AbortController().signal;

let pool: ReturnType<typeof postgresPool>;
beforeAll(async () => {
  pool = postgresPool(await freshDatabase('payment'));
});
afterAll(() => pool.end());

/** The ledgers of two instances of the payment service. */
const ledgers: [string, () => [Ledger, Ledger]][] = [
  [
    'memory',
    () => {
      const shared = new MemoryLedger();
      return [shared, shared];
    },
  ],
  ['Postgres', () => [new PostgresLedger(pool), new PostgresLedger(pool)]],
];

function provider(ledger: Ledger, clock: Clock = new ManualClock(), deliver: Deliver = async () => {}) {
  const runtime = { clock, ids: new SystemIds(), random: new SeededRandom(1), log: silentLog };
  return new SimulatedProvider(ledger, deliver, runtime);
}

describe.each(ledgers)('the ledger in %s', (_, instances) => {
  test('concurrent authorizations with one key hold the money once, whichever instance they reach', async () => {
    const [one, other] = instances();
    const providers = [provider(one), provider(other)];
    const orderId = randomUUID();
    const request = { orderId, amount: eur(500), token: 'tok_approved', idempotencyKey: 'a' };
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, nth) => providers[nth % 2]!.authorize(request, never)),
    );
    for (const answer of answers) expect(answer).toEqual(answers[0]);
    expect(await one.entries({ orderId, limit: 10 })).toMatchObject([{ type: 'authorized', heldMinor: 500 }]);
  });

  test('concurrent refunds give back no more than was captured', async () => {
    const [one, other] = instances();
    const providers = [provider(one), provider(other)];
    const orderId = randomUUID();
    await providers[0]!.authorize({ orderId, amount: eur(1000), token: 'tok_approved', idempotencyKey: 'a' }, never);
    await providers[0]!.capture({ orderId, amount: eur(1000), idempotencyKey: 'c' });
    const answers = await Promise.all(
      Array.from({ length: 20 }, (_, nth) =>
        providers[nth % 2]!.refund({ orderId, amount: eur(300), idempotencyKey: `r${nth}` }),
      ),
    );
    expect(answers.filter((answer) => answer.status === 'refunded')).toHaveLength(3);
    expect(await other.totals(orderId)).toEqual([
      { currency: 'EUR', heldMinor: 0n, capturedMinor: 1000n, refundedMinor: 900n, netMinor: 100n },
    ]);
  });

  test('many orders at once, from two instances in opposite order, are all in the books', async () => {
    const [one, other] = instances();
    const orders = Array.from({ length: 200 }, () => randomUUID());
    const work = async (ledger: Ledger, orderIds: string[]) => {
      const each = provider(ledger);
      const requests = orderIds.map((orderId) => ({ orderId, amount: eur(7), idempotencyKey: 'k' }));
      await Promise.all(requests.map((request) => each.authorize({ ...request, token: 'tok_approved' }, never)));
      await Promise.all(requests.map((request) => each.capture(request)));
    };
    await Promise.all([work(one, orders), work(other, orders.toReversed())]);
    for (const orderId of orders) {
      expect(await one.totals(orderId)).toMatchObject([{ heldMinor: 0n, netMinor: 7n }]);
    }
  });

  test('what a payment has been through outlives the provider', async () => {
    const [one, other] = instances();
    const clock = new ManualClock();
    const before = provider(one, clock);
    const after = () => provider(other, clock);

    const failing = { orderId: randomUUID(), amount: eur(500), token: 'tok_capture_fails_twice', idempotencyKey: 'k' };
    await before.authorize(failing, never);
    await expect(before.capture(failing)).rejects.toThrow(ProviderUnavailable);
    await expect(after().capture(failing)).rejects.toThrow(ProviderUnavailable);
    expect(await after().capture(failing)).toMatchObject({ status: 'captured' });

    const down = { ...failing, orderId: randomUUID(), token: 'tok_down_30s' };
    await expect(before.authorize(down, never)).rejects.toThrow(ProviderUnavailable);
    await expect(after().authorize(down, never)).rejects.toThrow(ProviderUnavailable);

    const late = { ...failing, orderId: randomUUID(), token: 'tok_charged_after_timeout' };
    const crashed = new AbortController();
    const unheard = before.authorize(late, crashed.signal).catch(() => {});
    await expect.poll(() => clock.sleeping).toBe(1);
    crashed.abort();
    await before.close();
    await unheard;
    expect(await after().find(late.orderId)).toEqual({ orderId: late.orderId, status: 'pending' });
    await clock.advance(30_000);
    expect(await after().find(late.orderId)).toMatchObject({ status: 'authorized', authorized: eur(500) });
    expect(await after().authorize(down, never)).toMatchObject({ status: 'authorized' });
  });

  test('what the provider did by itself, and had not told when it ended, it tells when it starts again', async () => {
    const [one, other] = instances();
    const clock = new ManualClock();
    const before = provider(one, clock, (_, signal) => untilAborted(signal));
    const pay = async (token: string) => {
      const request = { orderId: randomUUID(), amount: eur(500), token, idempotencyKey: 'k' };
      await before.authorize(request, never);
      return request;
    };
    const asked = await pay('tok_captured_in_part');
    const twice = await pay('tok_held_twice');
    const refunded = await pay('tok_refunded_by_provider');
    for (const each of [asked, twice, refunded]) await before.capture(each);
    await clock.advance(1_500);
    await expect.poll(() => one.totals(refunded.orderId)).toMatchObject([{ netMinor: 0n }]);
    const refunding = await pay('tok_refunded_by_provider');
    const expiring = await pay('tok_hold_expires');
    await before.capture(refunding);
    await before.close();

    const told: Webhook[] = [];
    const after = provider(other, clock, async (webhook) => void told.push(webhook));
    const newsOf = ({ orderId }: { orderId: string }) => told.filter(({ data }) => data.orderId === orderId);
    await after.resume(never);
    const second = { status: 'authorized', authorizationId: expect.stringMatching(/_second$/), authorized: eur(500) };
    expect(newsOf(twice)).toMatchObject([
      { type: 'payment.captured', data: { captured: eur(500) } },
      { type: 'payment.authorized', data: second },
    ]);
    expect(newsOf(refunded)).toMatchObject([{ type: 'payment.refunded', data: { refunded: eur(500) } }]);
    expect(newsOf(asked), 'the answer tells that').toEqual([]);
    expect(told.at(0)?.data.orderId, 'the newest comes first').toBe(refunding.orderId);

    told.length = 0;
    await clock.advance(1_500);
    await expect.poll(() => newsOf(refunding).map(({ type }) => type)).toEqual(['payment.refunded']);
    await expect.poll(() => newsOf(expiring).map(({ type }) => type)).toEqual(['payment.voided']);
    await after.close();
  });

  test('of very many payments with which it does something by itself, the newest are told again', async () => {
    const [ledger] = instances();
    const each = provider(ledger);
    const pay = async () => {
      const orderId = randomUUID();
      await each.authorize({ orderId, amount: eur(5), token: 'tok_held_twice', idempotencyKey: 'a' }, never);
      return orderId;
    };
    const oldest = await pay();
    expect((await ledger.strays()).map(({ orderId }) => orderId)).toContain(oldest);
    const later = await Promise.all(Array.from({ length: MOST_STRAYS }, pay));
    const found = (await ledger.strays()).map(({ orderId }) => orderId);
    expect(found.toSorted()).toEqual(later.toSorted());
  });

  test('entries come page by page, in the order in which things happened', async () => {
    const [ledger] = instances();
    const each = provider(ledger);
    const orderId = randomUUID();
    const request = { orderId, amount: eur(500), idempotencyKey: 'k' };
    await each.authorize({ ...request, token: 'tok_approved' }, never);
    await each.capture(request);
    await each.refund({ ...request, amount: eur(200) });
    const at = '2026-01-01T00:00:00.000Z';
    const first = await ledger.entries({ orderId, limit: 2 });
    expect(first).toMatchObject([
      { orderId, type: 'authorized', currency: 'EUR', heldMinor: 500, chargedMinor: 0, at },
      { orderId, type: 'captured', currency: 'EUR', heldMinor: -500, chargedMinor: 500, at },
    ]);
    const after = first[1]!.position;
    const rest = [{ orderId, type: 'refunded', currency: 'EUR', heldMinor: 0, chargedMinor: -200, at }];
    expect(await ledger.entries({ orderId, after, limit: 2 })).toMatchObject(rest);
    expect(await ledger.entries({ after, limit: 2 })).toMatchObject(rest);
  });

  test('totals are kept apart by currency', async () => {
    const [ledger] = instances();
    const each = provider(ledger);
    const order = { orderId: randomUUID(), token: 'tok_approved', idempotencyKey: 'k' };
    const sums = async () => new Map((await ledger.totals()).map((sum) => [sum.currency, sum.heldMinor]));
    const before = await sums();
    await each.authorize({ ...order, amount: { amountMinor: 1, currency: 'CHF' } }, never);
    await each.authorize({ ...order, orderId: randomUUID(), amount: { amountMinor: 2, currency: 'JPY' } }, never);
    await each.void({ orderId: randomUUID(), idempotencyKey: 'v' });
    expect(await sums()).toEqual(new Map([['CHF', 1n], ...before, ['JPY', 2n]]));
  });

  test('sums over many orders are exact, also beyond the safe integers', async () => {
    const [ledger] = instances();
    const each = provider(ledger);
    const amount = { amountMinor: Number.MAX_SAFE_INTEGER, currency: 'KWD' };
    const orders = [randomUUID(), randomUUID(), randomUUID()];
    for (const orderId of orders) {
      await each.authorize({ orderId, amount, token: 'tok_approved', idempotencyKey: 'a' }, never);
      await each.capture({ orderId, amount, idempotencyKey: 'c' });
    }
    await each.refund({ orderId: orders[0]!, amount: { ...amount, amountMinor: 1 }, idempotencyKey: 'r' });
    const capturedMinor = 3n * BigInt(Number.MAX_SAFE_INTEGER);
    const sums = { heldMinor: 0n, capturedMinor, refundedMinor: 1n, netMinor: capturedMinor - 1n };
    expect(await ledger.totals()).toContainEqual({ currency: 'KWD', ...sums });
  });

  test('an order is the same order in capital letters', async () => {
    const [ledger] = instances();
    const each = provider(ledger);
    const orderId = 'ABCDEF00-0000-4000-8000-00000000000A';
    await each.void({ orderId, idempotencyKey: 'v' });
    expect(await each.find(orderId)).toMatchObject({ status: 'voided' });
  });
});

test('a payment costs one statement for each change, and what is unchanged is read first', async () => {
  const statements = vi.spyOn(pool, 'query');
  const count = () => statements.mock.calls.splice(0).length;
  const [one, other] = [provider(new PostgresLedger(pool)), provider(new PostgresLedger(pool))];
  const orderId = randomUUID();
  await one.authorize({ orderId, amount: eur(500), token: 'tok_approved', idempotencyKey: 'a' }, never);
  await one.capture({ orderId, amount: eur(500), idempotencyKey: 'c' });
  expect(count()).toBe(2);
  expect(await one.find(orderId)).toMatchObject({ status: 'captured' });
  expect(count()).toBe(1);
  // The other knows nothing of it: a payment that is new has nothing to refund.
  await other.refund({ orderId, amount: eur(200), idempotencyKey: 'r' });
  expect(count()).toBe(2);
  // What the first knows is old, which its write finds.
  await one.refund({ orderId, amount: eur(300), idempotencyKey: 's' });
  expect(count()).toBe(3);
  statements.mockRestore();
});

test('a change that fails does not take the others of its batch with it', async () => {
  const ledger = new PostgresLedger(pool);
  const now = new Date(0);
  const failing = ledger.change(randomUUID(), now, () => {
    throw new Error('no');
  });
  const other = ledger.change(randomUUID(), now, () => ({ payment: undefined, entries: [], answer: 1 }));
  await expect(failing).rejects.toThrow('no');
  expect((await other).answer).toBe(1);
});

test('two instances that change the same payments in opposite order never deadlock', async () => {
  const orders = Array.from({ length: 3 }, () => randomUUID()).sort();
  const change = (orderIds: string[]) => {
    const each = provider(new PostgresLedger(pool));
    return Promise.all(orderIds.map((orderId) => each.void({ orderId, idempotencyKey: randomUUID() })));
  };
  await change(orders);
  const blocker = await pool.connect();
  await blocker.query('BEGIN');
  await blocker.query('SELECT FROM simulated_payments WHERE order_id = $1 FOR UPDATE', [orders[1]]);
  const changes = Promise.all([change(orders), change(orders.toReversed())]);
  const blocked = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
  await expect.poll(async () => (await pool.query(blocked)).rowCount).toBe(2);
  await blocker.query('COMMIT');
  blocker.release();
  expect((await changes).flat()).toHaveLength(6);
});
