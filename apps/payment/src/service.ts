/**
 * The payment service without a framework: its operations, and what runs in the background. A plain function of its
 * ports, so that Nest, a test and a simulation compose the same service.
 */
import { type Cause, Transactor, withUpcasters } from '#event-store';
import { type Delivered, publishAgain } from '#message-bus';
import {
  holdsWithoutVerdict,
  opener,
  type OpeningKey,
  outboxOf,
  receive,
  runService,
  type ServicePorts,
} from '#service';
import { cashier } from './cashier.js';
import { paymentDefinition } from './definition.js';
import { isRecorded, payment, type PaymentCommand } from './domain/payment.js';
import type { PaymentProvider } from './provider.js';
import { moneyHold } from './read-models/money-hold.js';

export interface PaymentPorts extends ServicePorts {
  /**
   * The provider as a customer's payments reach it. It limits the time of each call by itself: guardProvider, or
   * withTimeout (proof/provider-timeout.ts) in virtual time.
   */
  readonly providerFor: (customer: string) => PaymentProvider;
}

export type PaymentService = ReturnType<typeof paymentService>;

/** Nest's injection token. */
export const PAYMENT_SERVICE = Symbol('PaymentService');

export interface PaymentOptions {
  /** What opens the customers' payment tokens. */
  readonly openingKeys: readonly OpeningKey[];
}

export function paymentService(ports: PaymentPorts, { openingKeys }: PaymentOptions) {
  const { upcasters } = paymentDefinition;
  const openToken = opener(openingKeys);
  const store = withUpcasters(ports.store, upcasters);
  const transactor = new Transactor({ ...ports, store }, { upcasters });
  const outbox = outboxOf(paymentDefinition, { ...ports, store });

  /**
   * Records what the provider reported of a payment, in an answer to a call or in a webhook. Usually each repeats the
   * other: what the cached state shows as recorded is not read again.
   */
  async function record(orderId: string, command: PaymentCommand, cause: Cause): Promise<{ position: bigint }> {
    const { state, position } = await transactor.load(payment, `payment-${orderId}`, 0n);
    if (isRecorded(state, command)) return { position };
    return transactor.transact(payment, `payment-${orderId}`, command, cause);
  }

  /** The state of a payment, not older than position `since`. */
  async function load(orderId: string, since: bigint) {
    return (await transactor.load(payment, `payment-${orderId}`, since)).state;
  }

  /** Does what an order asks for. Idempotent. */
  async function handle(delivered: Delivered): Promise<void> {
    const { message, command, cause } = receive(paymentDefinition, delivered);
    if (!command) return;
    const { orderId } = message.data;
    const stream = `payment-${orderId}`;
    // A token that cannot be opened waits as a message until it can, or a person decides: nothing is asked for with it.
    if (command.type === 'Request') openToken(command.token, orderId);
    await transactor.transact(payment, stream, command, cause, { expectNew: command.type === 'Request' });
    // A reminder may mean that our earlier answer was lost: publish it again.
    if (message.type === 'OrderReminder') await publishAgain(outbox, stream);
  }

  const attention = holdsWithoutVerdict(ports, {
    projection: moneyHold,
    name: 'payment',
    async find(orderId) {
      const { state } = await transactor.load(payment, `payment-${orderId}`);
      if (state.status !== 'authorized') return { status: state.status };
      const { status, amount, expiresAt } = state;
      return { status, held: { lines: [], money: { ...amount, state: 'held' } }, ...(expiresAt && { expiresAt }) };
    },
    publishAgain: (orderId) => publishAgain(outbox, `payment-${orderId}`),
    giveUp: (orderId, cause) => record(orderId, { type: 'GiveUp' }, cause),
    effects: {
      retry: 'The order is notified again that its money is held.',
      callOff:
        'The hold on the money is released. Should the order be confirmed after all, nothing is captured for it.',
    },
  });

  /** Runs everything that happens without a request, until `signal` aborts. */
  function run(signal: AbortSignal): Promise<void> {
    const loops = { cashier: (s: AbortSignal) => cashier({ ...ports, store, load, record, openToken, signal: s }) };
    return runService(paymentDefinition, { ...ports, store }, { handle, loops, signal });
  }

  return { record, ...attention, handle, run };
}
