/**
 * The payment service without a framework: what it can be asked to do, and what moves in it. A plain function of its
 * ports, so that Nest, a test and a simulation put together the same service.
 */
import { causeOf, orderEvents, paymentEvents, received, telling } from '#contracts';
import { type Cause, Transactor, upcasting } from '#event-store';
import { consumer, type Delivered, relay } from '#message-bus';
import { projector } from '#projections';
import { supervise } from '#runtime';
import type { ServicePorts } from '#service';
import { cashier } from './cashier.js';
import { react } from './checkout.js';
import { tell } from './messages.js';
import { payment, type PaymentCommand } from './payment.js';
import { bounded, type PaymentProvider } from './provider.js';
import { paymentSummary } from './read-models/payment-summary.js';
import { paymentTodo } from './read-models/payment-todo.js';
import { shapes } from './shapes.js';

export const projections = [paymentSummary, paymentTodo] as const;

export interface PaymentPorts extends ServicePorts {
  readonly provider: PaymentProvider;
}

export type PaymentService = ReturnType<typeof paymentService>;

/** What Nest knows it by. */
export const PAYMENT_SERVICE = Symbol('PaymentService');

/** `providerTimeoutMs`: how long an answer of the provider is waited for. */
export function paymentService(ports: PaymentPorts, { providerTimeoutMs }: { providerTimeoutMs: number }) {
  const { clock } = ports;
  const store = upcasting(ports.store, shapes);
  const transactor = new Transactor({ ...ports, store }, { shapes });
  const provider = bounded(ports.provider, clock, providerTimeoutMs);

  /** Writes down what the provider said of a payment: its answer to a call, or a webhook. */
  function record(orderId: string, command: PaymentCommand, cause: Cause) {
    return transactor.transact(payment, `payment-${orderId}`, command, cause);
  }

  /** The state of a payment, not older than position `since`. */
  async function load(orderId: string, since: bigint) {
    return (await transactor.load(payment, `payment-${orderId}`, since)).state;
  }

  /** What payment does when an order speaks. */
  async function hear(message: Delivered): Promise<void> {
    const said = received(orderEvents, message);
    const command = react(said);
    if (!command) return;
    const expectNew = command.type === 'Request';
    await transactor.transact(payment, `payment-${said.data.orderId}`, command, causeOf(message), { expectNew });
  }

  /** Everything that moves by itself, until `signal` aborts. */
  async function run(signal: AbortSignal): Promise<void> {
    const moving = { ...ports, store, runtime: ports, signal };
    await Promise.all([
      supervise('cashier', ports, signal, (s) => cashier({ ...ports, store, provider, load, record, signal: s })),
      relay({
        ...moving,
        name: 'payment',
        topic: paymentEvents.name,
        categories: ['payment'],
        toMessage: telling(paymentEvents, tell),
      }),
      consumer({ ...moving, name: 'payment', topics: [orderEvents.name], handle: hear }),
      ...projections.map((projection) => projector({ ...moving, projection })),
    ]);
  }

  return { record, hear, run };
}
