import { expect, test, vi } from 'vitest';
import { MemoryEventStore } from '#event-store';
import { ManualClock, SeededRandom, SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { paymentService } from './service.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const cause = { correlationId: ORDER, causationId: 'webhook' };
const amount = { amountMinor: 1299, currency: 'EUR' };
const requested = { type: 'PaymentRequested', data: { amount, token: 'tok_approved' } };

test('what the provider reports twice is read once', async () => {
  const clock = new ManualClock();
  const store = new MemoryEventStore(clock);
  const ids = new SequentialIds();
  const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };
  const service = paymentService({ ...runtime, store } as unknown as Parameters<typeof paymentService>[0]);
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
