/**
 * The payment provider that ships with Larder. It stands for a company on the other side of a network: whatever it
 * answers is in its ledger first, its answers can come late or never, and its webhooks come at any time.
 *
 *   tok_approved               authorized at once
 *   tok_declined               declined: 'declined'
 *   tok_insufficient_funds     declined: 'insufficient-funds'
 *   tok_slow                   pending for `slowMs` (1.5 s), then authorized; the call is answered then
 *   tok_charged_after_timeout  pending for twice `slowMs`, then authorized; the first call is never answered
 *   tok_capture_fails_twice    authorized; the first two captures find the provider unavailable
 *   tok_capture_refused        authorized; every capture is refused: 'refused-by-issuer'
 *   tok_capture_refused_once   authorized; the first capture is refused
 *   tok_refund_refused_once    authorized; the first refund is refused
 *   tok_down_30s               unavailable for `downMs` (30 s) from the first call, then authorized
 *   any other                  declined: 'invalid-token'
 */
import { type Runtime, untilAborted } from '#runtime';
import {
  type Authorization,
  type AuthorizeRequest,
  type Capture,
  type MoneyRequest,
  PaymentProvider,
  type ProviderPayment,
  type ProviderRequest,
  ProviderTimeout,
  ProviderUnavailable,
  type Refund,
  type Void,
} from '../provider.js';
import type { Ledger } from './ledger.js';
import {
  authorize,
  cancel,
  capture,
  type Change,
  find,
  refund,
  type SimulatedPayment,
  UNAVAILABLE,
} from './payment.js';
import { type Deliver, WebhookOutbox } from './webhooks.js';

export class SimulatedProvider extends PaymentProvider {
  private readonly outbox: WebhookOutbox;
  private readonly stopped = new AbortController();
  private readonly arrivals = new Set<Promise<void>>();

  /** `timing` is in milliseconds. */
  constructor(
    private readonly ledger: Ledger,
    deliver: Deliver,
    private readonly runtime: Runtime,
    private readonly timing = { slowMs: 1_500, downMs: 30_000 },
  ) {
    super();
    this.outbox = new WebhookOutbox(deliver, runtime);
  }

  override async authorize(request: AuthorizeRequest, signal: AbortSignal): Promise<Authorization> {
    const named = { ...request, id: `auth_${this.runtime.ids.next()}` };
    const ask = () => this.change(request.orderId, (payment, nowMs) => authorize(payment, named, nowMs, this.timing));
    let answer = await ask();
    if (answer.status === 'pending' && answer.first) {
      const arrival = this.arrive(request.orderId, answer.untilMs).finally(() => this.arrivals.delete(arrival));
      this.arrivals.add(arrival);
    }
    while (answer.status === 'pending') {
      if (answer.silent) await untilAborted(signal);
      else await this.sleepUntil(answer.untilMs, signal);
      if (signal.aborted) throw new ProviderTimeout();
      answer = await ask();
    }
    return answer;
  }

  override capture(request: MoneyRequest): Promise<Capture> {
    const named = { ...request, id: `cap_${this.runtime.ids.next()}` };
    return this.change(request.orderId, (payment, nowMs) => capture(payment, named, nowMs));
  }

  override void(request: ProviderRequest): Promise<Void> {
    return this.change(request.orderId, (payment, nowMs) => cancel(payment, request, nowMs));
  }

  override refund(request: MoneyRequest): Promise<Refund> {
    const named = { ...request, id: `ref_${this.runtime.ids.next()}` };
    return this.change(request.orderId, (payment, nowMs) => refund(payment, named, nowMs));
  }

  override find(orderId: string): Promise<ProviderPayment | undefined> {
    return this.change(orderId, find);
  }

  /** Ends all background work. A pending payment then arrives with the next request for it; webhooks are lost. */
  async close(): Promise<void> {
    this.stopped.abort();
    await Promise.all([this.outbox.close(), ...this.arrivals]);
  }

  private async change<T>(
    orderId: string,
    step: (payment: SimulatedPayment | undefined, nowMs: number) => Change<T | typeof UNAVAILABLE>,
  ): Promise<T> {
    const now = this.runtime.clock.now();
    const { payment, entries, answer } = await this.ledger.change(orderId, now, (before) =>
      step(before, now.getTime()),
    );
    if (payment?.known) {
      for (const { type } of entries) {
        const id = this.runtime.ids.next();
        this.outbox.send({ id, type: `payment.${type}`, createdAt: now.toISOString(), data: payment.known });
      }
    }
    if (answer === UNAVAILABLE) throw new ProviderUnavailable();
    return answer;
  }

  /** A pending payment arrives when its time has come, even when no call waits for it any longer. */
  private async arrive(orderId: string, untilMs: number): Promise<void> {
    const { signal } = this.stopped;
    try {
      do await this.sleepUntil(untilMs, signal);
      while (!signal.aborted && (await this.find(orderId))?.status === 'pending');
    } catch (error) {
      this.runtime.log.warn({ orderId, err: error }, 'A pending payment will arrive with the next request for it.');
    }
  }

  /** At least a millisecond: a timer may wake a little before its time. */
  private sleepUntil(untilMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.runtime;
    return clock.sleep(Math.max(1, untilMs - clock.now().getTime()), signal);
  }
}
