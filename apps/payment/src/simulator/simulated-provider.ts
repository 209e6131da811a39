/**
 * The payment provider that ships with Larder. It stands for a company on the other side of a network: whatever it
 * answers is in its ledger first, its answers can come late or never, and its webhooks come at any time, if need be after
 * it was started again.
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
 *
 * And what a provider does that was not asked for, all of which its webhooks and answers say:
 *   tok_held_less              half of the sum is held
 *   tok_held_other_currency    the sum is held in another currency
 *   tok_held_twice             two holds, with an id each
 *   tok_captured_in_part       the first capture takes half of the sum; the rest can be captured
 *   tok_refunded_in_part       the first refund gives back half of the sum
 *   tok_refunded_by_provider   `slowMs` after the capture all of it is given back
 *   tok_hold_expires           the hold ends after `slowMs`, and no capture gets through until then; others last a week
 */
import { backoffMs, type Runtime, untilAborted } from '#runtime';
import {
  type Authorization,
  type AuthorizeRequest,
  type Capture,
  type MoneyRequest,
  PaymentProvider,
  type ProviderPayment,
  ProviderTimeout,
  ProviderUnavailable,
  type Refund,
  type ReturnRequest,
  type Void,
} from '../provider.js';
import type { Ledger } from './ledger.js';
import {
  authorize,
  cancel,
  capture,
  type Change,
  find,
  nextMoveOf,
  refund,
  type SimulatedPayment,
  type Stray,
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
    /** What it does by itself with a payment, at a request for it, whatever its token. */
    private readonly strays: (operation: 'authorize' | 'capture' | 'refund') => Stray | undefined = () => undefined,
  ) {
    super();
    this.outbox = new WebhookOutbox(deliver, runtime);
  }

  override async authorize(request: AuthorizeRequest, signal: AbortSignal): Promise<Authorization> {
    const named = { ...request, id: `auth_${this.runtime.ids.next()}`, stray: this.strays('authorize') };
    const ask = () => this.change(request.orderId, (payment, nowMs) => authorize(payment, named, nowMs, this.timing));
    let answer = await ask();
    while (answer.status === 'pending') {
      if (answer.silent) await untilAborted(signal);
      else await this.sleepUntil(answer.untilMs, signal);
      if (signal.aborted) throw new ProviderTimeout();
      answer = await ask();
    }
    return answer;
  }

  override capture(request: MoneyRequest): Promise<Capture> {
    const named = { ...request, id: `cap_${this.runtime.ids.next()}`, stray: this.strays('capture') };
    return this.change(request.orderId, (payment, nowMs) => capture(payment, named, nowMs, this.timing));
  }

  override void(request: ReturnRequest): Promise<Void> {
    return this.change(request.orderId, (payment, nowMs) => cancel(payment, request, nowMs));
  }

  override refund(request: MoneyRequest & ReturnRequest): Promise<Refund> {
    const named = { ...request, id: `ref_${this.runtime.ids.next()}`, stray: this.strays('refund') };
    return this.change(request.orderId, (payment, nowMs) => refund(payment, named, nowMs));
  }

  override find(orderId: string): Promise<ProviderPayment | undefined> {
    return this.change(orderId, find);
  }

  /**
   * Tells again, as any provider would, what it did by itself and the webhook of which may have died with the process, and
   * does what it was about to. Of what was asked for, the answer is asked for again. Other instances may tell the same:
   * webhooks come at least once.
   */
  async resume(signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.runtime;
    for (let attempt = 1; !signal.aborted; attempt++) {
      try {
        for (const { orderId, payment } of await this.ledger.strays()) {
          this.schedule(orderId, undefined, payment);
          this.tell(orderId, undefined, payment, clock.now().toISOString());
        }
        return;
      } catch (error) {
        log.warn({ err: error }, 'The simulated provider cannot read yet what it has to tell again.');
        await clock.sleep(backoffMs(attempt, random, 200, 10_000), signal);
      }
    }
  }

  /**
   * Ends all background work. A pending payment then arrives with the next request for it; webhooks are lost, except for
   * what `resume` tells again.
   */
  async close(): Promise<void> {
    this.stopped.abort();
    await Promise.all([this.outbox.close(), ...this.arrivals]);
  }

  private async change<T>(
    orderId: string,
    step: (payment: SimulatedPayment | undefined, nowMs: number) => Change<T | typeof UNAVAILABLE>,
  ): Promise<T> {
    const now = this.runtime.clock.now();
    let before: SimulatedPayment | undefined;
    const { payment, entries, answer } = await this.ledger.change(orderId, now, (found) =>
      step((before = found), now.getTime()),
    );
    this.schedule(orderId, before, payment);
    if (entries.length > 0) this.tell(orderId, before, payment, now.toISOString());
    if (answer === UNAVAILABLE) throw new ProviderUnavailable();
    return answer;
  }

  /**
   * Webhooks say what is the case now: of a hold that arrives and is ended by the same request only the end is told. The
   * type of each follows from what it says.
   */
  private tell(
    orderId: string,
    before: SimulatedPayment | undefined,
    after: SimulatedPayment | undefined,
    createdAt: string,
  ): void {
    const send = (type: string, data: ProviderPayment) =>
      this.outbox.send({ id: this.runtime.ids.next(), type: `payment.${type}`, createdAt, data });
    const { known, second } = after ?? {};
    if (known && known !== before?.known) {
      const isRefund = known.status === 'captured' && known.refunded.amountMinor > 0;
      send(isRefund ? 'refunded' : known.status, known);
    }
    if (second && !before?.second) send('authorized', { orderId, status: 'authorized', ...second });
    const own = known && 'authorizationId' in known ? known.authorizationId : undefined;
    if (!second && before?.second && before.second.authorizationId !== own) {
      send('voided', { orderId, status: 'voided', authorizationId: before.second.authorizationId });
    }
  }

  /** Sees to what will happen to a payment without a request, where that is news. */
  private schedule(orderId: string, before: SimulatedPayment | undefined, after: SimulatedPayment | undefined): void {
    const untilMs = after && nextMoveOf(after);
    if (untilMs === undefined || untilMs === (before && nextMoveOf(before))) return;
    const arrival = this.arrive(orderId, untilMs).finally(() => this.arrivals.delete(arrival));
    this.arrivals.add(arrival);
  }

  /** What happens without a request happens when its time has come, even when no call waits for it any longer. */
  private async arrive(orderId: string, untilMs: number): Promise<void> {
    const { signal } = this.stopped;
    try {
      do await this.sleepUntil(untilMs, signal);
      while (!signal.aborted && this.runtime.clock.now().getTime() < untilMs);
      if (!signal.aborted) await this.find(orderId);
    } catch (error) {
      this.runtime.log.warn(
        { orderId, err: error },
        'What a payment waits for will happen with the next request for it.',
      );
    }
  }

  /** At least a millisecond: a timer may wake a little before its time. */
  private sleepUntil(untilMs: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.runtime;
    return clock.sleep(Math.max(1, untilMs - clock.now().getTime()), signal);
  }
}
