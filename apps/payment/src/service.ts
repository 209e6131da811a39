/**
 * The payment service without a framework: what it can be asked to do, and what moves in it. A plain function of its
 * ports, so that Nest, a test and a simulation put together the same service.
 */
import { causeOf, orderEvents, paymentEvents, received, telling } from '#contracts';
import { type Cause, Transactor, upcasting } from '#event-store';
import { consumer, type Delivered, relay, tellAgain } from '#message-bus';
import { projector } from '#projections';
import { supervise } from '#runtime';
import type { ServicePorts } from '#service';
import { holdsWithoutVerdict } from '#service/holds';
import { cashier } from './cashier.js';
import { react } from './messaging/reactions.js';
import { tell } from './messaging/messages.js';
import { hasHeard, payment, type PaymentCommand } from './domain/payment.js';
import type { PaymentProvider } from './provider.js';
import { moneyHold } from './read-models/money-hold.js';
import { paymentSummary } from './read-models/payment-summary.js';
import { paymentTodo } from './read-models/payment-todo.js';
import { shapes } from './upcasters.js';

export const projections = [paymentSummary, paymentTodo, moneyHold] as const;

export interface PaymentPorts extends ServicePorts {
  /** It gives up calls that take too long. */
  readonly provider: PaymentProvider;
}

export type PaymentService = ReturnType<typeof paymentService>;

/** What Nest knows it by. */
export const PAYMENT_SERVICE = Symbol('PaymentService');

export function paymentService(ports: PaymentPorts) {
  const store = upcasting(ports.store, shapes);
  const transactor = new Transactor({ ...ports, store }, { shapes });
  const speech = {
    store,
    bus: ports.bus,
    topic: paymentEvents.name,
    categories: ['payment'],
    toMessage: telling(paymentEvents, tell),
  };

  /**
   * Writes down what the provider said of a payment: its answer to a call, or a webhook. Each mostly repeats the other,
   * and what is known to be written is not looked up again.
   */
  async function record(orderId: string, command: PaymentCommand, cause: Cause): Promise<{ position: bigint }> {
    const { state, position } = await transactor.load(payment, `payment-${orderId}`, 0n);
    if (hasHeard(state, command)) return { position };
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
    const stream = `payment-${said.data.orderId}`;
    await transactor.transact(payment, stream, command, causeOf(message), { expectNew });
    // Who reminds us may not have heard what we said.
    if (said.type === 'OrderReminder') await tellAgain(speech, stream);
  }

  const attention = holdsWithoutVerdict(ports, {
    projection: moneyHold,
    name: 'payment',
    async look(orderId) {
      const { state } = await transactor.load(payment, `payment-${orderId}`);
      if (state.status !== 'authorized') return { status: state.status };
      return { status: state.status, held: { lines: [], money: { ...state.amount, state: 'held' } } };
    },
    tellAgain: (orderId) => tellAgain(speech, `payment-${orderId}`),
    giveUp: (orderId, cause) => record(orderId, { type: 'GiveUp' }, cause),
    effects: {
      retry: 'The order is told again that its money is held.',
      callOff: 'The hold on the money is released. Should the order be confirmed after all, nothing is taken for it.',
    },
  });

  /** Everything that moves by itself, until `signal` aborts. */
  async function run(signal: AbortSignal): Promise<void> {
    const moving = { ...ports, store, runtime: ports, signal };
    await Promise.all([
      supervise('cashier', ports, signal, (s) => cashier({ ...ports, store, load, record, signal: s })),
      relay({ ...moving, ...speech, name: 'payment' }),
      consumer({ ...moving, name: 'payment', topics: [orderEvents.name], handle: hear }),
      ...projections.map((projection) => projector({ ...moving, projection })),
    ]);
  }

  return { record, ...attention, hear, run };
}
