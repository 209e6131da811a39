/**
 * What stands between this service and a provider that fails, hangs or is down, so that it slows nothing but payments:
 *
 *   call ──▶ bulkhead ────────▶ circuit ───────────▶ retry ───────────▶ timeout ──▶ provider
 *            64 at once, the    while it is open,    once, of what the
 *            others in line     no call is made      provider turned away
 *
 *   (closed) ── of 50 calls or more in 10 s over half fail ──▶ (open)
 *      ▲                                                      │   ▲
 *      │ it succeeds                                after 1 s │   │ it fails
 *      └───────────────── (half-open): one call ◀─────────────┘───┘
 *
 * - Only errors are failures: a decline or a refusal is a provider that works.
 * - A single payment that the provider turns away again and again stays far below 50 calls in 10 s, so it does not stop
 *   the others.
 * - A call that timed out is not retried here: the cashier asks first what became of it. The cashier's retries are the
 *   ones that count, because they survive a crash; the one here only bridges a short hiccup.
 * - A call that is not let through fails with ProviderUnavailable, which is the truth: nothing happened.
 *
 * Built on cockatiel, which only this file knows. It uses the machine's timers: where time is virtual, the services get
 * `withTimeout` (proof/provider-timeout.ts). Its circuit also measures by `Date.now()`, and would stay open for as long as
 * that clock is set back; so what is recent, and how long the circuit has been open, is measured here.
 */
import {
  BrokenCircuitError,
  bulkhead,
  BulkheadRejectedError,
  circuitBreaker,
  CircuitState,
  DelegateBackoff,
  handleType,
  handleWhen,
  type IBackoff,
  type IBackoffFactory,
  type IBreaker,
  retry,
  TaskCancelledError,
  timeout,
  TimeoutStrategy,
} from 'cockatiel';
import { backoffMs, type Clock, type Log, type Random } from '#runtime';
import { type PaymentProvider, ProviderTimeout, ProviderUnavailable } from './provider.js';

/** How many calls may be in progress at the same time. */
const CALLS_AT_ONCE = 64;
/** How many may wait for one of those to end; further ones fail. */
const CALLS_IN_LINE = 10_000;
const RETRY_PAUSE_MS = 100;
/** The calls that count for the circuit, and how many there have to be. */
const RECENT_MS = 10_000;
const ENOUGH_CALLS = 50;
const OPEN_MS = 1_000;

/** 'half-open' while one call finds out whether the provider is back. */
export type Circuit = 'closed' | 'half-open' | 'open';

/** How a request to the provider ended; 'not-made' when the circuit or the bulkhead held it back. */
export type Outcome = 'answered' | 'timeout' | 'unavailable' | 'failed' | 'given-up' | 'not-made';

export interface GuardOptions {
  /** How long to wait for an answer, in milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Called for every request, including retries. */
  readonly count: (labels: { readonly operation: keyof PaymentProvider; readonly outcome: Outcome }) => void;
}

export interface GuardedProvider extends PaymentProvider {
  readonly circuit: Circuit;
}

/** The caller stopped waiting, which says nothing about the provider. */
class GivenUp extends ProviderTimeout {}

/** The same provider, guarded. One per process, so that its limits apply to all calls together. */
export function guardProvider(
  provider: PaymentProvider,
  { timeoutMs, clock, random, log, count }: GuardOptions,
): GuardedProvider {
  const places = bulkhead(CALLS_AT_ONCE, CALLS_IN_LINE);
  const circuit = circuitBreaker(
    handleWhen((error) => !(error instanceof GivenUp)),
    { breaker: new MostFail(clock), halfOpenAfter: monotonicPause(OPEN_MS, clock) },
  );
  const again = retry(handleType(ProviderUnavailable), {
    maxAttempts: 1,
    backoff: new DelegateBackoff(() => backoffMs(1, random, RETRY_PAUSE_MS)),
  });
  const limit = timeout(timeoutMs, TimeoutStrategy.Aggressive);

  let opened = false; // The circuit opens again after each call that fails half-open; that is not logged again.
  circuit.onBreak((reason) => {
    if (!opened) log.error({ err: 'error' in reason ? reason.error : undefined }, OPENED);
    opened = true;
  });
  circuit.onReset(() => {
    opened = false;
    log.info({}, 'The payment provider answers again: the circuit is closed.');
  });

  /** One request to the provider. */
  async function request<T>(operation: keyof PaymentProvider, call: Call<T>, signal: AbortSignal): Promise<T> {
    try {
      if (signal.aborted) throw new GivenUp();
      const answer = await limit.execute((context) => call(context.signal), signal);
      count({ operation, outcome: 'answered' });
      return answer;
    } catch (cause) {
      let error = cause;
      if (signal.aborted) error = new GivenUp();
      else if (cause instanceof TaskCancelledError) error = new ProviderTimeout();
      count({ operation, outcome: outcomeOf(error) });
      throw error;
    }
  }

  async function guard<T>(operation: keyof PaymentProvider, call: Call<T>, signal: AbortSignal): Promise<T> {
    try {
      // The signal is not given to the bulkhead and the circuit: cockatiel's bulkhead drops an aborted waiter without
      // starting the next one, and its circuit ignores the signal of callers that wait for a half-open call.
      return await places.execute(() =>
        circuit.execute(() => again.execute(() => request(operation, call, signal), signal)),
      );
    } catch (error) {
      const kept = error instanceof BrokenCircuitError ? CIRCUIT : error instanceof BulkheadRejectedError && LINE;
      if (!kept) throw error;
      count({ operation, outcome: 'not-made' });
      throw new ProviderUnavailable(kept);
    }
  }

  return {
    get circuit() {
      return circuitOf(circuit.state);
    },
    authorize: (it, signal) => guard('authorize', (limited) => provider.authorize(it, limited), signal),
    capture: (it, signal) => guard('capture', (limited) => provider.capture(it, limited), signal),
    void: (it, signal) => guard('void', (limited) => provider.void(it, limited), signal),
    refund: (it, signal) => guard('refund', (limited) => provider.refund(it, limited), signal),
    find: (orderId, signal) => guard('find', (limited) => provider.find(orderId, limited), signal),
  };
}

type Call<T> = (signal: AbortSignal) => Promise<T>;

/** A pause that is over when `ms` have passed: cockatiel asks for its duration each time, and compares it with the time of day. */
function monotonicPause(ms: number, clock: Clock): IBackoffFactory<unknown> {
  const next = (): IBackoff<unknown> => {
    const beganMs = clock.monotonicMs();
    return {
      get duration() {
        return clock.monotonicMs() - beganMs < ms ? Infinity : -Infinity;
      },
      next,
    };
  };
  return { next };
}

/** Opens the circuit when over half of enough recent calls have failed. */
class MostFail implements IBreaker {
  readonly state = undefined;
  /** By the second in which they ended, the oldest first. */
  private recent: { readonly sinceMs: number; calls: number; failures: number }[] = [];

  constructor(private readonly clock: Clock) {}

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.recent = [];
    this.count(0);
  }

  failure(state: CircuitState): boolean {
    this.count(1);
    if (state !== CircuitState.Closed) return true;
    const sum = (of: 'calls' | 'failures') => this.recent.reduce((sum, second) => sum + second[of], 0);
    return sum('calls') >= ENOUGH_CALLS && sum('failures') > sum('calls') / 2;
  }

  private count(failures: number): void {
    const nowMs = this.clock.monotonicMs();
    this.recent = this.recent.filter(({ sinceMs }) => nowMs - sinceMs < RECENT_MS);
    let last = this.recent.at(-1);
    if (!last || nowMs - last.sinceMs >= 1_000) {
      last = { sinceMs: nowMs, calls: 0, failures: 0 };
      this.recent.push(last);
    }
    last.calls++;
    last.failures += failures;
  }
}

const OPENED =
  'The payment provider fails: the circuit is open. Payments wait until it answers again; everything else continues.';
const CIRCUIT = 'The payment provider is not called for a moment: too many calls have failed.';
const LINE = 'The payment provider is not called: too many calls wait for it already.';

function outcomeOf(error: unknown): Outcome {
  if (error instanceof GivenUp) return 'given-up';
  if (error instanceof ProviderTimeout) return 'timeout';
  return error instanceof ProviderUnavailable ? 'unavailable' : 'failed';
}

function circuitOf(state: CircuitState): Circuit {
  if (state === CircuitState.Closed) return 'closed';
  return state === CircuitState.HalfOpen ? 'half-open' : 'open';
}
