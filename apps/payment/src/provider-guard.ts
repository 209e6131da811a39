/**
 * What stands between this service and a provider that fails, hangs or is down, so that it slows nothing but payments, and
 * between its customers, so that nobody's payments slow another's:
 *
 *   call ──▶ places ──────────▶ circuit ───────────▶ retry ───────────▶ timeout ──▶ provider
 *            64, shared out     while it is open,    once, of what the
 *            among customers    no call is made      provider turned away
 *
 *   (closed) ── of 20 customers or more over half fail ──▶ (open)
 *      ▲                                                  │   ▲
 *      │ it succeeds                            after 1 s │   │ it fails
 *      └─────────────── (half-open): one call ◀───────────┘───┘
 *
 * - Only errors are failures: a decline or a refusal is a provider that works.
 * - A customer fails whose latest call of the last 10 s did. However many payments of one the provider turns away, or keeps
 *   waiting, they count as one, so they do not stop the others.
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
import { backoffMs, type Clock, FairPlaces, LineFull, type Log, type Random } from '#runtime';
import { type PaymentProvider, ProviderTimeout, ProviderUnavailable } from './provider.js';

/** How many calls may be under way, and wait; further ones fail. */
const PLACES = { places: 64, inLine: { all: 10_000, each: 1_000 } };
const RETRY_PAUSE_MS = 100;
/** The calls that count for the circuit, and of how many customers they have to be. */
const RECENT_MS = 10_000;
const ENOUGH_CUSTOMERS = 20;
const OPEN_MS = 1_000;

/** 'half-open' while one call finds out whether the provider is back. */
export type Circuit = 'closed' | 'half-open' | 'open';

/** How a request to the provider ended; 'not-made' when the circuit was open or the line full. */
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

export interface GuardedProvider {
  readonly circuit: Circuit;
  /** The provider as a customer's payments reach it. */
  for(customer: string): PaymentProvider;
}

/** The caller stopped waiting, which says nothing about the provider. */
class GivenUp extends ProviderTimeout {}

/** The same provider, guarded. One per process, so that its limits apply to all calls together. */
export function guardProvider(
  provider: PaymentProvider,
  { timeoutMs, clock, random, log, count }: GuardOptions,
): GuardedProvider {
  const places = new FairPlaces(PLACES);
  const breaker = new MostFail(clock);
  const circuit = circuitBreaker(
    handleWhen((error) => !(error instanceof GivenUp)),
    { breaker, halfOpenAfter: monotonicPause(OPEN_MS, clock) },
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

  async function guard<T>(
    customer: string,
    operation: keyof PaymentProvider,
    call: Call<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const tried = () => again.execute(() => request(operation, call, signal), signal);
    try {
      // The signal is not given to the circuit: cockatiel's ignores that of callers that wait for a half-open call.
      return await places.call(customer, () => circuit.execute(() => breaker.watch(customer, tried)));
    } catch (error) {
      const kept = error instanceof BrokenCircuitError ? CIRCUIT : error instanceof LineFull && LINE;
      if (!kept) throw error;
      count({ operation, outcome: 'not-made' });
      throw new ProviderUnavailable(kept);
    }
  }

  return {
    get circuit() {
      return circuitOf(circuit.state);
    },
    for: (customer) => ({
      authorize: (it, signal) => guard(customer, 'authorize', (limited) => provider.authorize(it, limited), signal),
      capture: (it, signal) => guard(customer, 'capture', (limited) => provider.capture(it, limited), signal),
      void: (it, signal) => guard(customer, 'void', (limited) => provider.void(it, limited), signal),
      refund: (it, signal) => guard(customer, 'refund', (limited) => provider.refund(it, limited), signal),
      find: (orderId, signal) => guard(customer, 'find', (limited) => provider.find(orderId, limited), signal),
    }),
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

/** Opens the circuit when over half of enough customers fail. Each has one voice: how their latest call ended. */
class MostFail implements IBreaker {
  readonly state = undefined;
  /** By customer, the oldest first. */
  private readonly latest = new Map<string, { readonly endedMs: number; readonly failed: boolean }>();
  private failing = 0;

  constructor(private readonly clock: Clock) {}

  /** Makes a customer's call, and remembers how it ended: the circuit does not tell whose call has failed. */
  async watch<T>(customer: string, call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      this.remember(customer, false);
      return answer;
    } catch (error) {
      if (!(error instanceof GivenUp)) this.remember(customer, true);
      throw error;
    }
  }

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) for (const customer of this.latest.keys()) this.forget(customer);
  }

  failure(state: CircuitState): boolean {
    if (state !== CircuitState.Closed) return true;
    return this.latest.size >= ENOUGH_CUSTOMERS && this.failing > this.latest.size / 2;
  }

  private remember(customer: string, failed: boolean): void {
    const nowMs = this.clock.monotonicMs();
    this.forget(customer);
    this.latest.set(customer, { endedMs: nowMs, failed });
    if (failed) this.failing++;
    for (const [other, { endedMs }] of this.latest) {
      if (nowMs - endedMs < RECENT_MS) break;
      this.forget(other);
    }
  }

  private forget(customer: string): void {
    if (this.latest.get(customer)?.failed) this.failing--;
    this.latest.delete(customer);
  }
}

const OPENED =
  'The payment provider fails: the circuit is open. Payments wait until it answers again; everything else continues.';
const CIRCUIT = 'The payment provider is not called for a moment: those of too many customers have failed.';
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
