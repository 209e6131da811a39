/** A time limit for the provider's calls where time is virtual. */
import { type PaymentProvider, ProviderTimeout } from '../apps/payment/src/provider.js';
import { type Clock, within } from '#runtime';

/**
 * The same provider, with `timeoutMs` milliseconds of `clock` for each call: for simulations and tests, which have a clock
 * of their own. In production the provider is guarded (provider-guard.ts), with the machine's timers.
 */
export function withTimeout(provider: PaymentProvider, clock: Clock, timeoutMs: number): PaymentProvider {
  const limited = <T>(call: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> =>
    within(clock, timeoutMs, call, timeout, signal);
  return {
    authorize: (request, signal) => limited((s) => provider.authorize(request, s), signal),
    capture: (request, signal) => limited((s) => provider.capture(request, s), signal),
    void: (request, signal) => limited((s) => provider.void(request, s), signal),
    refund: (request, signal) => limited((s) => provider.refund(request, s), signal),
    find: (orderId, signal) => limited((s) => provider.find(orderId, s), signal),
  };
}

function timeout(): never {
  throw new ProviderTimeout();
}
