/**
 * Calls the provider for what the payments' streams ask for, and records its answers.
 *
 *   (requested) ──▶ authorize ────────────────────────▶ RecordAuthorized | RecordDeclined
 *   (capturing) ──▶ capture ──────────────────────────▶ RecordCaptured | RecordCaptureRefused
 *   (returning) ──▶ void, refund if it is too late ───▶ RecordVoided | RecordRefunded | RecordRefundRefused
 *   a second hold ▶ void, refund if it is too late ───▶ RecordHoldReleased
 *
 * It compares nothing: what the provider says is handed on as it said it, and the payment decides what that means.
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
import { CannotOpen } from '#service';
import {
  type Money,
  type Payment,
  type PaymentCommand,
  type PaymentEvent,
  restOf,
  secondHoldOf,
} from './domain/payment.js';
import { type Hold, type PaymentProvider, type ProviderPayment, ProviderUnavailable } from './provider.js';
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
  /** The provider as a customer's payments reach it. */
  readonly providerFor: (customer: string) => PaymentProvider;
  /** The state of a payment, not older than position `since`. */
  readonly load: (orderId: string, since: bigint) => Promise<Payment>;
  /** Opens an order's payment token. @throws CannotOpen */
  readonly openToken: (token: string, orderId: string) => string;
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

const UNANSWERED = 'The provider did not answer; asking what became of the payment.';
const LOCKED = 'The payment token cannot be opened: the payment waits until PAYMENT_TOKEN_KEYS has its key.';

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
        const outcome = await this.processStep(orderId, position, attempt > 0 || position <= this.begunBefore);
        if (outcome !== 'pending') {
          attempt = 0;
          if (outcome === 'done' && this.inProgress.get(orderId) === position) break;
          continue;
        }
        log.info({ orderId, attempt }, 'The payment is still pending at the provider; asking again.');
      } catch (error) {
        if (this.lease.aborted) break;
        // While the provider is down every payment ends here, again and again; provider-guard.ts logs that once.
        if (error instanceof CannotOpen) log.error({ orderId, attempt, err: error }, LOCKED);
        else {
          const level = error instanceof ProviderUnavailable ? 'debug' : 'warn';
          log[level]({ orderId, attempt, err: error }, UNANSWERED);
        }
      }
      await clock.sleep(backoffMs(++attempt, random, 100, 5_000), this.lease);
    }
    this.inProgress.delete(orderId);
  }

  /** Makes the call that a payment waits for and records the answer. */
  private async processStep(
    orderId: string,
    position: bigint,
    doubtful: boolean,
  ): Promise<'done' | 'more' | 'pending'> {
    const { providerFor, openToken, load, record } = this.options;
    const cause = (step: string) => ({ correlationId: orderId, causationId: `${orderId}:${step}` });
    const state = await load(orderId, position);
    // A payment of whom nobody said whose it is, as older ones, stands for itself.
    const provider = providerFor(state.customerId ?? orderId);
    const second = secondHoldOf(state);
    if (second !== undefined) {
      await record(orderId, await giveBackSecondHold(provider, orderId, second, this.lease), cause('second-hold'));
      return 'more';
    }
    const answer = await callProvider({ provider, openToken }, orderId, state, doubtful, this.lease);
    if (answer === 'pending') return 'pending';
    if (answer !== 'nothing-to-do') await record(orderId, answer, cause(state.status));
    return 'done';
  }
}

/** Makes the one call that a payment in this state asks for. If `doubtful`, it may have been made before. */
async function callProvider(
  { provider, openToken }: Pick<CashierOptions, 'openToken'> & { readonly provider: PaymentProvider },
  orderId: string,
  state: Payment,
  doubtful: boolean,
  signal: AbortSignal,
): Promise<PaymentCommand | 'pending' | 'nothing-to-do'> {
  switch (state.status) {
    case 'requested': {
      const { amount } = state;
      const known = doubtful ? await provider.find(orderId, signal) : undefined;
      if (known) return known.status === 'pending' ? 'pending' : holdOf(known);
      const token = openToken(state.token, orderId);
      const verdict = await provider.authorize(
        { orderId, amount, token, idempotencyKey: `${orderId}:authorize` },
        signal,
      );
      return verdict.status === 'declined' ? { type: 'RecordDeclined', reason: verdict.reason } : newsOf(verdict);
    }
    case 'capturing': {
      const known = doubtful ? await provider.find(orderId, signal) : undefined;
      const found = known && (otherHoldOf(known, state) ?? captureOf(known, state));
      if (found) return found;
      const amount = restOf(state);
      if (amount === undefined) return { type: 'RecordCaptureRefused', reason: 'amount-mismatch' };
      // What is missing after a capture of a part is a request of its own.
      const idempotencyKey = state.captured ? `${orderId}:capture:${state.captured.amountMinor}` : `${orderId}:capture`;
      const capture = await provider.capture({ orderId, amount, idempotencyKey }, signal);
      if (capture.status === 'captured') {
        return { type: 'RecordCaptured', authorizationId: undefined, amount: capture.captured };
      }
      if (capture.reason === 'already-captured') {
        const captured = await provider.find(orderId, signal);
        const news = captured && captureOf(captured, state);
        if (news) return news;
      }
      return { type: 'RecordCaptureRefused', reason: capture.reason };
    }
    case 'returning': {
      // A void ends the payment whatever became of it, even while an authorization is still on its way.
      const ended = await provider.void({ orderId, idempotencyKey: `${orderId}:void` }, signal);
      // It ended all that the order has, whatever the id.
      const authorizationId = state.authorizationId ?? (ended.status === 'voided' ? ended.authorizationId : undefined);
      if (ended.status === 'voided') return { type: 'RecordVoided', authorizationId };
      const known = await provider.find(orderId, signal);
      const isKnown = known?.status === 'captured' || known?.status === 'refunded';
      const captured = isKnown ? known.captured : ended.amount;
      if (known?.status === 'refunded') {
        return { type: 'RecordRefunded', authorizationId: undefined, captured, refunded: known.refunded };
      }
      // What is missing after a refund of a part is a request of its own.
      const idempotencyKey = state.refunded ? `${orderId}:refund:${state.refunded.amountMinor}` : `${orderId}:refund`;
      const refund = await provider.refund({ orderId, amount: ended.amount, idempotencyKey }, signal);
      if (refund.status === 'refused') return { type: 'RecordRefundRefused', reason: refund.reason };
      return { type: 'RecordRefunded', authorizationId: undefined, captured, refunded: refund.refunded, asked: true };
    }
    case 'authorized': {
      const known = doubtful ? await provider.find(orderId, signal) : undefined;
      return (known && otherHoldOf(known, state)) ?? 'nothing-to-do';
    }
    case 'none':
    case 'blocked':
    case 'declined':
    case 'capture-refused':
    case 'captured':
    case 'voided':
    case 'refund-refused':
    case 'refunded':
      return 'nothing-to-do';
  }
}

/** What the provider knows of a payment whose answer to `authorize` was lost. What it has ended is no hold. */
function holdOf(known: Exclude<ProviderPayment, { status: 'pending' }>): PaymentCommand {
  switch (known.status) {
    case 'authorized':
      return newsOf(known);
    case 'captured':
      return { type: 'RecordAuthorized', authorizationId: known.authorizationId, amount: known.captured };
    case 'declined':
      return { type: 'RecordDeclined', reason: known.reason };
    case 'voided':
    case 'refunded':
      return { type: 'RecordDeclined', reason: 'canceled' };
  }
}

/**
 * A hold that is not the payment's own. Where the answer to the authorization was lost, a webhook told of a hold: of a second
 * one, perhaps, and that of the first was lost, too.
 */
function otherHoldOf(
  known: ProviderPayment,
  { holds }: Extract<Payment, { holds: object }>,
): PaymentCommand | undefined {
  return known.status === 'authorized' && !Object.hasOwn(holds, known.authorizationId) ? newsOf(known) : undefined;
}

function newsOf({ authorizationId, authorized: amount, expiresAt }: Hold): PaymentCommand {
  return { type: 'RecordAuthorized', authorizationId, amount, expiresAt };
}

/** What the provider has captured, if that is news; it may have given it back by now. */
function captureOf(known: ProviderPayment, { captured }: { readonly captured?: Money }): PaymentCommand | undefined {
  if (known.status !== 'captured' && known.status !== 'refunded') return undefined;
  if (known.captured.amountMinor === captured?.amountMinor && known.status === 'captured') return undefined;
  const news = { authorizationId: known.authorizationId, captured: known.captured, refunded: known.refunded };
  if (known.refunded.amountMinor > 0) return { type: 'RecordRefunded', ...news };
  return { type: 'RecordCaptured', authorizationId: known.authorizationId, amount: known.captured };
}

/** Gives a second hold back, and leaves alone what else the order has. */
async function giveBackSecondHold(
  provider: PaymentProvider,
  orderId: string,
  authorizationId: string,
  signal: AbortSignal,
): Promise<PaymentCommand> {
  const hold = { orderId, authorizationId };
  const ended = await provider.void({ ...hold, idempotencyKey: `${orderId}:void:${authorizationId}` }, signal);
  const released = { type: 'RecordHoldReleased', authorizationId } as const;
  if (ended.status === 'voided') return released;
  const { amount } = ended;
  if (amount.amountMinor === 0) return released;
  const idempotencyKey = `${orderId}:refund:${authorizationId}`;
  const refund = await provider.refund({ ...hold, amount, idempotencyKey }, signal);
  return refund.status === 'refunded'
    ? { ...released, taken: amount, refunded: refund.refunded }
    : { ...released, taken: amount };
}
