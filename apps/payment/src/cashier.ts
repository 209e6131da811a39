/**
 * Calls the provider for what the payments' streams ask for, and records its answers.
 *
 *   (requested) ──▶ authorize ────────────────────────▶ RecordAuthorized | RecordDeclined
 *   (capturing) ──▶ capture ──────────────────────────▶ RecordCaptured | RecordCaptureRefused
 *   (returning) ──▶ void, refund if it is too late ───▶ RecordVoided | RecordRefunded | RecordRefundRefused
 *
 * Which payments wait for a call is a projection: the cashier starts from its table and then follows the stream, so it
 * learns of a request as soon as it is written, and finds it again after any crash. One instance works at a time, and
 * each payment is processed by itself: one that the provider keeps waiting delays no other.
 *
 * A call whose answer was lost, by a timeout or by a crash before it was recorded, may have taken effect. So the provider
 * is asked what it knows before the call is made again, and the call is made again under the same key.
 */
import { type Cause, type EventStore, idOf, type RecordedEvent } from '#event-store';
import type { Tables } from '#projections';
import { backoffMs, type Leases, type Runtime } from '#runtime';
import type { Payment, PaymentCommand, PaymentEvent } from './domain/payment.js';
import { type PaymentProvider, ProviderUnavailable } from './provider.js';
import { paymentTodo } from './read-models/payment-todo.js';

/** How many payments it takes from the table at once; further ones wait there. */
const PAGE_SIZE = 10_000;
/** All rows are due: one may be dated later than it is now, because a clock was set back. */
const EVER = new Date('9999-12-31T23:59:59.999Z');
/** How often it polls the table for what the stream did not show, in milliseconds. */
const POLL_EVERY_MS = 5_000;

export interface CashierOptions extends Runtime {
  readonly store: EventStore;
  readonly tables: Tables;
  readonly leases: Leases;
  readonly provider: PaymentProvider;
  /** The state of a payment, not older than position `since`. */
  readonly load: (orderId: string, since: bigint) => Promise<Payment>;
  /** Records what the provider answered. */
  readonly record: (orderId: string, command: PaymentCommand, cause: Cause) => Promise<unknown>;
  readonly signal: AbortSignal;
}

export async function cashier(options: CashierOptions): Promise<void> {
  const { store, tables, leases, clock, signal } = options;
  await leases.hold('cashier', signal, async (lease) => {
    const checkpoint = await tables.checkpoint(paymentTodo);
    const desk = new CashDesk(options, lease, await store.head());

    async function poll(): Promise<void> {
      while (!lease.aborted) {
        const rows = await tables.due(paymentTodo, 'due_at', EVER, PAGE_SIZE);
        for (const row of rows) desk.take(row.order_id, BigInt(row.position));
        await clock.sleep(POLL_EVERY_MS, lease);
      }
    }

    async function follow(): Promise<void> {
      for await (const { events } of store.subscribe({ categories: ['payment'], after: checkpoint, signal: lease })) {
        for (const event of events as readonly RecordedEvent<PaymentEvent>[]) {
          if (paymentTodo.apply(undefined, event)) desk.take(idOf(event.stream), event.position);
        }
      }
    }

    await Promise.all([poll(), follow()]);
  });
}

/** The payments in progress, each with the position of the event that asked for the call. */
class CashDesk {
  private readonly inProgress = new Map<string, bigint>();

  /** Calls that were asked for up to position `begunBefore` may have been begun by an instance that crashed. */
  constructor(
    private readonly options: CashierOptions,
    private readonly lease: AbortSignal,
    private readonly begunBefore: bigint,
  ) {}

  take(orderId: string, position: bigint): void {
    const known = this.inProgress.get(orderId);
    if (known === undefined || known < position) this.inProgress.set(orderId, position);
    if (known === undefined) void this.process(orderId);
  }

  /** Processes one payment until it asks for nothing more. */
  private async process(orderId: string): Promise<void> {
    const { clock, random, log } = this.options;
    let attempt = 0;
    while (!this.lease.aborted) {
      const position = this.inProgress.get(orderId)!;
      try {
        if (await this.processStep(orderId, position, attempt > 0 || position <= this.begunBefore)) {
          attempt = 0;
          if (this.inProgress.get(orderId) === position) break;
          continue;
        }
        log.info({ orderId, attempt }, 'The payment is still pending at the provider; asking again.');
      } catch (error) {
        if (this.lease.aborted) break;
        // While the provider is down every payment ends here, again and again; provider-guard.ts logs that once.
        const level = error instanceof ProviderUnavailable ? 'debug' : 'warn';
        log[level]({ orderId, attempt, err: error }, 'The provider did not answer; asking what became of the payment.');
      }
      await clock.sleep(backoffMs(++attempt, random, 100, 5_000), this.lease);
    }
    this.inProgress.delete(orderId);
  }

  /** Makes the call that a payment waits for and records the answer; false when there is none yet. */
  private async processStep(orderId: string, position: bigint, doubtful: boolean): Promise<boolean> {
    const state = await this.options.load(orderId, position);
    const answer = await callProvider(this.options.provider, orderId, state, doubtful, this.lease);
    if (answer === 'pending') return false;
    if (answer !== 'nothing-to-do') {
      await this.options.record(orderId, answer, { correlationId: orderId, causationId: `${orderId}:${state.status}` });
    }
    return true;
  }
}

/** Makes the one call that a payment in this state asks for. If `doubtful`, it may have been made before. */
async function callProvider(
  provider: PaymentProvider,
  orderId: string,
  state: Payment,
  doubtful: boolean,
  signal: AbortSignal,
): Promise<PaymentCommand | 'pending' | 'nothing-to-do'> {
  switch (state.status) {
    case 'requested': {
      const { amount, token } = state;
      const known = doubtful ? await provider.find(orderId, signal) : undefined;
      if (known?.status === 'pending') return 'pending';
      if (known?.status === 'declined') return { type: 'RecordDeclined', reason: known.reason };
      if (known && 'authorizationId' in known && known.authorizationId) {
        return { type: 'RecordAuthorized', authorizationId: known.authorizationId, amount };
      }
      const verdict = await provider.authorize(
        { orderId, amount, token, idempotencyKey: `${orderId}:authorize` },
        signal,
      );
      return verdict.status === 'authorized'
        ? { type: 'RecordAuthorized', authorizationId: verdict.authorizationId, amount }
        : { type: 'RecordDeclined', reason: verdict.reason };
    }
    case 'capturing': {
      const known = doubtful ? await provider.find(orderId, signal) : undefined;
      if (known?.status === 'captured') return { type: 'RecordCaptured' };
      const { amount } = state;
      const capture = await provider.capture({ orderId, amount, idempotencyKey: `${orderId}:capture` }, signal);
      if (capture.status === 'captured' || capture.reason === 'already-captured') return { type: 'RecordCaptured' };
      return { type: 'RecordCaptureRefused', reason: capture.reason };
    }
    case 'returning': {
      // A void ends the payment whatever became of it, even while an authorization is still on its way.
      const ended = await provider.void({ orderId, idempotencyKey: `${orderId}:void` }, signal);
      if (ended.status === 'voided') return { type: 'RecordVoided', authorizationId: ended.authorizationId };
      const known = await provider.find(orderId, signal);
      if (known?.status === 'refunded') return { type: 'RecordRefunded' };
      const { amount } = ended;
      const refund = await provider.refund({ orderId, amount, idempotencyKey: `${orderId}:refund` }, signal);
      if (refund.status === 'refunded') return { type: 'RecordRefunded' };
      return { type: 'RecordRefundRefused', reason: refund.reason };
    }
    case 'none':
    case 'blocked':
    case 'declined':
    case 'authorized':
    case 'capture-refused':
    case 'captured':
    case 'voided':
    case 'refund-refused':
    case 'refunded':
      return 'nothing-to-do';
  }
}
