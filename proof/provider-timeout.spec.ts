import { expect, test } from 'vitest';
import { ManualClock } from '#runtime/testing';
import { PaymentProvider, ProviderTimeout } from '../apps/payment/src/provider.js';
import { withTimeout } from './provider-timeout.js';

/** A provider that hangs, and records which calls it was asked to give up. */
class Silent extends PaymentProvider {
  readonly givenUp: string[] = [];
  override authorize = this.hang('authorize');
  override capture = this.hang('capture');
  override void = this.hang('void');
  override refund = this.hang('refund');
  override find = this.hang('find');

  private hang(operation: string) {
    return (_: unknown, signal: AbortSignal) => {
      signal.addEventListener('abort', () => this.givenUp.push(operation));
      return new Promise<never>(() => {});
    };
  }
}

const request = {
  orderId: 'o1',
  amount: { amountMinor: 1, currency: 'EUR' },
  token: 'tok_approved',
  idempotencyKey: 'k',
};

test.each(['authorize', 'capture', 'void', 'refund', 'find'] as const)(
  '%s that hangs is given up in time, and at once by a caller that stops',
  async (operation) => {
    const clock = new ManualClock();
    const silent = new Silent();
    const stop = new AbortController();
    const call = withTimeout(silent, clock, 2_000)[operation] as (_: unknown, signal: AbortSignal) => Promise<unknown>;

    const hanging = expect(call(request, stop.signal)).rejects.toThrow(ProviderTimeout);
    await clock.advance(1_999);
    expect(silent.givenUp).toEqual([]);
    await clock.advance(1);
    await hanging;
    expect(silent.givenUp).toEqual([operation]);

    const stopped = expect(call(request, stop.signal)).rejects.toThrow(ProviderTimeout);
    stop.abort();
    await stopped;
    expect(silent.givenUp).toEqual([operation, operation]);
  },
);
