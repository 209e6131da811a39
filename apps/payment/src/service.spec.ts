import { expect, test, vi } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { MemoryMessageBus } from '#message-bus';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { makeSealKeys, opener, openingKeys as openingKeysOf, sealer, sealingKey } from '#service';
import { goldenEvents } from '#test/golden';
import { memoryPorts } from '#test/memory-shop';
import { developmentKeys } from '../../../proof/token-keys.js';
import type { PaymentEvent } from './domain/payment.js';
import type { PaymentProvider } from './provider.js';
import { type PaymentOptions, paymentService } from './service.js';
import { upcasters } from './upcasters.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const cause = { correlationId: ORDER, causationId: 'webhook' };
const amount = { amountMinor: 1299, currency: 'EUR' };
const requested = { type: 'PaymentRequested', data: { amount, token: 'tok_approved' } };

const other = makeSealKeys('another');
const reserved = (token: string) => ({
  id: 'm1',
  type: 'OrderStockReserved',
  key: ORDER,
  topic: 'order.events.v1',
  source: '/order',
  time: '2026-01-01T00:00:00.000Z',
  partition: 0,
  offset: 0n,
  correlationId: ORDER,
  causationId: 'c1',
  data: { orderId: ORDER, total: amount, paymentToken: token },
});

test('a token that cannot be opened asks for nothing; with its key the same message does, and is stored as it came', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ports = { ...runtime, store } as unknown as Parameters<typeof paymentService>[0];
  const stored = async () => {
    const found: unknown[] = [];
    for await (const { type, data } of store.read(`payment-${ORDER}`)) found.push({ type, data });
    return found;
  };
  const sealed = sealer(sealingKey().parse(other.sealing))('tok_approved', ORDER);
  const message = reserved(sealed);
  await expect(paymentService(ports, developmentKeys).handle(message)).rejects.toThrow(
    'It is sealed to the key "another", which is not among ours.',
  );
  expect(await stored()).toEqual([]);
  const openingKeys = [...developmentKeys.openingKeys, ...openingKeysOf().parse(other.opening)];
  await paymentService(ports, { openingKeys }).handle(message);
  expect(await stored()).toEqual([{ type: 'PaymentRequested', data: { amount, token: sealed } }]);
});

test('the token of an order from before tokens were sealed is taken as it is', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const runtime = { clock, ids: new SequentialIds(), random: new SeededRandom(1), log: silentLog };
  const ports = { ...runtime, store } as unknown as Parameters<typeof paymentService>[0];
  await paymentService(ports, developmentKeys).handle(reserved('tok_approved'));
  for await (const { type, data } of store.read(`payment-${ORDER}`)) expect({ type, data }).toEqual(requested);
  expect(await store.head()).toBe(1n);
});

test('what was ever stored as sealed can be opened', async () => {
  const golden = await goldenEvents<PaymentEvent>(new URL('golden/', import.meta.url), upcasters);
  const open = opener(developmentKeys.openingKeys);
  const tokens = Object.values(golden).flatMap((event) => ('token' in event.data ? open(event.data.token, ORDER) : []));
  expect(tokens).toEqual(['tok_approved', 'tok_approved', 'tok_approved']);
});

test('what the provider reports twice is read once', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const ids = new SequentialIds();
  const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };
  const service = paymentService(
    { ...runtime, store } as unknown as Parameters<typeof paymentService>[0],
    developmentKeys,
  );
  await store.append([
    {
      stream: `payment-${ORDER}`,
      expected: 'none',
      events: [{ ...requested, id: ids.next(), metadata: { ...cause, schema: 1 } }],
    },
  ]);
  const read = vi.spyOn(store, 'read');
  const authorized = { type: 'RecordAuthorized', authorizationId: 'auth_1', amount } as const;
  const captured = { type: 'RecordCaptured', authorizationId: 'auth_1', amount } as const;
  expect(await service.record(ORDER, authorized, cause)).toMatchObject({ position: 2n });
  expect(await service.record(ORDER, authorized, cause)).toEqual({ position: 2n });
  // The webhook comes while the answer is being written.
  let webhook: Promise<{ position: bigint }> | undefined;
  const write = store.append.bind(store);
  vi.spyOn(store, 'append').mockImplementationOnce(async (writes) => {
    await Promise.resolve();
    webhook = service.record(ORDER, captured, cause);
    return write(writes);
  });
  expect(await service.record(ORDER, captured, cause)).toMatchObject({ position: 3n });
  expect(await webhook).toEqual({ position: 3n });
  expect(await service.record(ORDER, captured, cause)).toEqual({ position: 3n });
  expect(await service.record(ORDER, authorized, cause)).toEqual({ position: 3n });
  expect(read).toHaveBeenCalledTimes(1);

  // Another hold is not recorded yet.
  expect(await service.record(ORDER, { ...authorized, authorizationId: 'auth_2' }, cause)).toMatchObject({
    position: 4n,
  });
  expect(await service.record(ORDER, { ...captured, authorizationId: 'auth_3' }, cause)).toMatchObject({
    position: 5n,
  });
});

test('a payment whose key is gone waits for it, says so, and calls the provider when it is back', async () => {
  const clock = new ManualClock();
  const errors: string[] = [];
  const log = { ...silentLog, error: (_: object, message: string) => void errors.push(message) };
  const authorize = vi.fn(() => Promise.resolve({ status: 'declined' as const, reason: 'no-funds' }));
  const provider = { find: () => Promise.resolve(undefined), authorize } as unknown as PaymentProvider;
  const bus = new MemoryMessageBus({ clock });
  const ports = memoryPorts({ clock, ids: new SequentialIds(), bus, log, providerFor: () => provider });
  const runFor = async (keys: PaymentOptions, ms: number) => {
    const stop = new AbortController();
    const running = paymentService(ports, keys).run(stop.signal);
    await clock.advance(ms);
    stop.abort();
    await running;
  };
  const withBoth = { openingKeys: [...developmentKeys.openingKeys, ...openingKeysOf().parse(other.opening)] };
  const token = sealer(sealingKey().parse(other.sealing))('tok_approved', ORDER);
  await paymentService(ports, withBoth).handle(reserved(token));

  await runFor(developmentKeys, 30_000);
  expect(authorize).not.toHaveBeenCalled();
  expect(new Set(errors)).toEqual(
    new Set(['The payment token cannot be opened: the payment waits until PAYMENT_TOKEN_KEYS has its key.']),
  );
  await runFor(withBoth, 5_000);
  expect(authorize).toHaveBeenCalledOnce();
  expect(authorize).toHaveBeenCalledWith(expect.objectContaining({ token: 'tok_approved' }), expect.anything());
});
