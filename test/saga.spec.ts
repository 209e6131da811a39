/**
 * The saga as pure functions: the deciders, reactions and messages of the three services, and between them nothing but
 * inboxes, from which messages come late, interleaved and more than once. A schedule of numbers decides what happens
 * next among all that can happen; when it is used up, what is still under way runs to its end.
 */
import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { inventoryReaction } from '../apps/inventory/src/messaging/reactions.js';
import { inventoryMessageOf } from '../apps/inventory/src/messaging/messages.js';
import { reservation } from '../apps/inventory/src/domain/reservation.js';
import { stock } from '../apps/inventory/src/domain/stock.js';
import { decideCheckout } from '../apps/inventory/src/warehouse.js';
import { orderReaction } from '../apps/order/src/messaging/reactions.js';
import { orderMessageOf } from '../apps/order/src/messaging/messages.js';
import { isSettled, order, type OrderCommand, type OrderEvent, wantOf } from '../apps/order/src/domain/order.js';
import { paymentReaction } from '../apps/payment/src/messaging/reactions.js';
import { paymentMessageOf } from '../apps/payment/src/messaging/messages.js';
import { payment, type PaymentCommand, type PaymentEvent } from '../apps/payment/src/domain/payment.js';
import type { InventoryMessage, OrderMessage, PaymentMessage } from '#contracts';
import { type Decider, DomainError } from '#decider';
import type { Desk, DomainEvent } from '#event-store';

const cause = { correlationId: 'saga', causationId: 'saga' };

/** The streams of a service, folded, and every event that was ever written to them. */
class Streams implements Desk {
  private readonly states = new Map<string, unknown>();
  readonly events: DomainEvent[] = [];

  state<C, E extends DomainEvent, S>(decider: Decider<C, E, S>, stream: string): S {
    return (this.states.get(stream) as S | undefined) ?? decider.initialState;
  }

  decide<C, E extends DomainEvent, S>(decider: Decider<C, E, S>, stream: string, command: C): readonly E[] {
    const state = this.state(decider, stream);
    const events = decider.decide(command, state);
    this.states.set(
      stream,
      events.reduce<S>((s, event) => decider.evolve(s, event), state),
    );
    this.events.push(...events);
    return events;
  }

  expectNew(): void {}
}

/** The messages of one sender about one order, on their way to one receiver. */
class Inbox<M> {
  private readonly log: M[] = [];
  private waiting: M[] = [];

  constructor(
    private readonly inOrder: boolean,
    private readonly handle: (message: M) => void,
  ) {}

  get isEmpty(): boolean {
    return this.waiting.length === 0;
  }

  /** Whether something was delivered, and can be again. */
  get canRepeat(): boolean {
    return this.log.length > this.waiting.length;
  }

  put(message: M): void {
    this.log.push(message);
    this.waiting.push(message);
  }

  deliver(choice: number): void {
    const [message] = this.waiting.splice(this.inOrder ? 0 : choice % this.waiting.length, 1);
    this.handle(message!);
  }

  /** As after a crash: the offset was not stored, so a message comes again; where there is order, with all that followed. */
  repeat(choice: number): void {
    if (this.inOrder) this.waiting = this.log.slice(choice % (this.log.length - this.waiting.length));
    else this.waiting.push(this.log[choice % this.log.length]!);
  }

  repeatAll(): void {
    this.waiting = [...this.log];
  }
}

interface Plan {
  readonly lines: [sku: 'oil' | 'salt', quantity: number][];
  readonly provider: 'approves' | 'declines' | 'declines, then charges';
  readonly calledOffBy: ('customer' | 'deadline' | 'operator')[];
}

type Action = [name: string, act: (choice: number) => void];

/** One order on its way through the three services, and all that can happen to it next. */
class Checkout {
  readonly streams = new Streams();
  /** What the provider did last. Once it has voided, it stays with that. */
  money: 'none' | 'declined' | 'authorized' | 'captured' | 'voided' | 'refunded' = 'none';
  wasAuthorized = false;
  readonly inboxes: Record<string, Omit<Inbox<unknown>, 'put'>>;

  private readonly inventory: Inbox<OrderMessage>;
  private readonly payment: Inbox<OrderMessage>;
  private readonly fromInventory: Inbox<InventoryMessage>;
  private readonly fromPayment: Inbox<PaymentMessage>;
  private readonly webhooks: Inbox<PaymentCommand>;
  /** The provider's answer to the cashier as long as it is not written down: a crash loses it. */
  private answer: PaymentCommand | undefined;
  private readonly authorized: PaymentCommand;
  private readonly captured: PaymentCommand;
  private readonly refunded: PaymentCommand;

  constructor(
    readonly orderId: string,
    readonly plan: Plan,
    inOrder: boolean,
    private readonly warehouse: Streams,
  ) {
    const amountMinor = plan.lines.reduce((sum, [, quantity]) => sum + quantity * UNIT_PRICE.amountMinor, 0);
    const total = { ...UNIT_PRICE, amountMinor };
    this.authorized = { type: 'RecordAuthorized', authorizationId: 'auth', amount: total };
    this.captured = { type: 'RecordCaptured', authorizationId: 'auth', amount: total };
    this.refunded = { type: 'RecordRefunded', authorizationId: 'auth', captured: total, refunded: total };
    this.inventory = new Inbox(inOrder, (message) => {
      const command = inventoryReaction(message);
      if (!command) return;
      if (message.type === 'OrderReminder') this.fromInventory.repeatAll();
      for (const event of decideCheckout(orderId, command, cause)(warehouse)) {
        this.fromInventory.put(inventoryMessageOf(orderId, event));
      }
    });
    this.payment = new Inbox(inOrder, (message) => {
      const command = paymentReaction(message);
      if (!command) return;
      if (message.type === 'OrderReminder') this.fromPayment.repeatAll();
      this.pay(command);
    });
    this.fromInventory = new Inbox(inOrder, (message) => this.order(orderReaction(message)));
    this.fromPayment = new Inbox(inOrder, (message) => this.order(orderReaction(message)));
    this.webhooks = new Inbox(false, (command) => this.pay(command));
    const { inventory, payment, fromInventory, fromPayment, webhooks } = this;
    this.inboxes = { inventory, payment, fromInventory, fromPayment, webhooks };
  }

  get state() {
    return this.streams.state(order, `order-${this.orderId}`);
  }

  /** What happens by itself, sooner or later. */
  progress(): Action[] {
    const { orderId } = this;
    const actions: Action[] = [];
    if (this.state.status === 'none') actions.push([`${orderId}: place`, () => this.place()]);
    for (const [name, inbox] of Object.entries(this.inboxes)) {
      if (!inbox.isEmpty) actions.push([`${orderId}: deliver ${name}`, (choice) => inbox.deliver(choice)]);
    }
    if (this.answer) actions.push([`${orderId}: write the answer down`, () => this.writeDown()]);
    else if (['requested', 'capturing', 'returning'].includes(this.paymentState.status)) {
      actions.push([`${orderId}: call the provider`, () => this.callProvider()]);
    }
    return actions;
  }

  /** What may come between. */
  interference(): Action[] {
    if (this.state.status === 'none') return [];
    const { orderId } = this;
    const { calledOffBy, provider } = this.plan;
    const actions: Action[] = [[`${orderId}: place again`, () => this.place()]];
    if (calledOffBy.includes('customer')) actions.push([`${orderId}: cancel`, () => this.cancel()]);
    if (calledOffBy.includes('deadline')) {
      actions.push([`${orderId}: expire`, () => this.order({ type: 'Expire', now: '13:00' })]);
    }
    if (calledOffBy.includes('operator')) actions.push([`${orderId}: call off`, () => this.callOff()]);
    if (wantOf(this.state)) actions.push([`${orderId}: remind`, () => this.order({ type: 'Remind' })]);
    for (const [name, inbox] of Object.entries(this.inboxes)) {
      if (inbox.canRepeat) actions.push([`${orderId}: repeat ${name}`, (choice) => inbox.repeat(choice)]);
    }
    if (this.answer) actions.push([`${orderId}: lose the answer`, () => (this.answer = undefined)]);
    if (this.money === 'declined' && provider === 'declines, then charges') {
      actions.push([`${orderId}: charge after all`, () => this.authorize()]);
    }
    return actions;
  }

  /** Whether it holds stock or money that is not its own for good. */
  get holds(): boolean {
    const { status } = this.warehouse.state(reservation, `reservation-${this.orderId}`);
    return (
      status === 'made' ||
      this.money === 'authorized' ||
      (this.money === 'captured' && this.state.status !== 'completed')
    );
  }

  private get paymentState() {
    return this.streams.state(payment, `payment-${this.orderId}`);
  }

  private place(): void {
    const lines = this.plan.lines.map(([sku, quantity]) => ({ sku, quantity, unitPrice: UNIT_PRICE }));
    const times = { placedAt: '12:00', deadlineAt: '12:15' };
    this.order({ type: 'Place', customerId: 'c1', lines, paymentToken: 'sealed', tokenDigest: 'digest', ...times });
  }

  private cancel(): void {
    try {
      this.order({ type: 'Cancel' });
    } catch (error) {
      if (!(error instanceof DomainError && error.code === 'order-confirmed')) throw error;
    }
  }

  private callOff(): void {
    try {
      this.order({ type: 'CallOff' });
    } catch (error) {
      if (!(error instanceof DomainError && /order-(completed|off)/.test(error.code))) throw error;
    }
  }

  private order(command: OrderCommand): void {
    for (const event of this.streams.decide(order, `order-${this.orderId}`, command)) {
      const message = orderMessageOf(this.orderId, event);
      if (!message) continue;
      this.inventory.put(message);
      this.payment.put(message);
    }
  }

  private pay(command: PaymentCommand): void {
    for (const event of this.streams.decide(payment, `payment-${this.orderId}`, command)) {
      const message = paymentMessageOf(this.orderId, event);
      if (message) this.fromPayment.put(message);
    }
  }

  /** Makes the call that the payment asks for, as the cashier does. It takes effect before its answer arrives. */
  private callProvider(): void {
    switch (this.paymentState.status) {
      case 'requested':
        if (this.money === 'none') {
          if (this.plan.provider === 'approves') this.authorize();
          else this.decline();
        }
        this.answer = this.money === 'authorized' ? this.authorized : DECLINED;
        return;
      case 'capturing':
        if (this.money === 'authorized') {
          this.money = 'captured';
          this.webhooks.put(this.captured);
        }
        this.answer = this.captured;
        return;
      case 'returning': {
        if (this.money === 'captured') this.money = 'refunded';
        if (this.money !== 'refunded') this.money = 'voided';
        const voided = { type: 'RecordVoided', authorizationId: this.wasAuthorized ? 'auth' : undefined } as const;
        this.answer = this.money === 'voided' ? voided : this.refunded;
      }
    }
  }

  private writeDown(): void {
    const answer = this.answer!;
    this.answer = undefined;
    this.pay(answer);
  }

  private authorize(): void {
    this.money = 'authorized';
    this.wasAuthorized = true;
    this.webhooks.put(this.authorized);
  }

  private decline(): void {
    this.money = 'declined';
    this.webhooks.put(DECLINED);
  }
}

const UNIT_PRICE = { amountMinor: 1299, currency: 'EUR' };
const DECLINED: PaymentCommand = { type: 'RecordDeclined', reason: 'declined' };

interface Run {
  /** Whether the messages of one sender keep their order. */
  readonly inOrder: boolean;
  readonly received: Record<'oil' | 'salt', number>;
  readonly plans: readonly Plan[];
  readonly schedule: readonly number[];
}

/** Runs checkouts by a schedule and then to their end. */
function run({ inOrder, received, plans, schedule }: Run) {
  const warehouse = new Streams();
  for (const [sku, quantity] of Object.entries(received)) {
    if (quantity > 0) warehouse.decide(stock, `stock-${sku}`, { type: 'Receive', quantity });
  }
  const checkouts = plans.map((plan, i) => new Checkout(`o${i}`, plan, inOrder, warehouse));
  const story: string[] = [];
  const settledTooEarly = new Set<string>();

  function act(actions: readonly Action[], choice: number): void {
    if (actions.length === 0) return;
    const [name, act] = actions[choice % actions.length]!;
    story.push(name);
    act(Math.floor(choice / actions.length));
    for (const { state, holds, orderId } of checkouts) {
      if (isSettled(state) && holds) settledTooEarly.add(orderId);
    }
  }
  const progress = () => checkouts.flatMap((checkout) => checkout.progress());
  const interference = () => checkouts.flatMap((checkout) => checkout.interference());

  function toTheEnd(): void {
    for (let steps = 0, actions = progress(); actions.length > 0; steps++, actions = progress()) {
      if (steps > 1_000) throw new Error('The checkouts do not come to an end.');
      act(actions, 0);
    }
  }

  for (const choice of schedule) act(choice % 5 === 0 ? interference() : progress(), Math.floor(choice / 5));
  toTheEnd();
  return { warehouse, checkouts, story, settledTooEarly, toTheEnd };
}

const anyPlan = fc.record<Plan>({
  lines: fc.uniqueArray(fc.tuple(fc.constantFrom('oil' as const, 'salt' as const), fc.integer({ min: 1, max: 2 })), {
    selector: ([sku]) => sku,
    minLength: 1,
  }),
  provider: fc.constantFrom('approves', 'approves', 'declines', 'declines, then charges'),
  calledOffBy: fc.subarray(['customer', 'deadline', 'operator']),
});

const anyRun = fc
  .record<Run>({
    inOrder: fc.boolean(),
    received: fc.record({ oil: fc.nat(4), salt: fc.nat(4) }),
    plans: fc.array(anyPlan, { minLength: 1, maxLength: 3 }),
    schedule: fc.array(fc.nat(), { maxLength: 80, size: 'max' }),
  })
  // A decline that comes behind the charge that followed it cannot be distinguished from one that came before.
  .filter(({ inOrder, plans }) => inOrder || plans.every(({ provider }) => provider !== 'declines, then charges'));

/** Runs many checkouts and checks each; a failure lists what happened, one step a line. */
const always = (check: (result: ReturnType<typeof run>, given: Run) => void) => () =>
  fc.assert(
    fc.property(anyRun, (given) => {
      const result = run(given);
      try {
        check(result, given);
      } catch (error) {
        throw new Error(`${(error as Error).message}\n\nWhat happened:\n${result.story.join('\n')}`, { cause: error });
      }
    }),
    { numRuns: 200 },
  );

const countOf = ({ events }: Streams, ...types: (OrderEvent | PaymentEvent)['type'][]) =>
  events.filter(({ type }) => (types as string[]).includes(type)).length;

describe('whatever is late, repeated, lost, called off or charged too late', () => {
  test(
    'every order reaches exactly one final state and is settled',
    always(({ checkouts }) => {
      for (const { state, streams } of checkouts) {
        expect(['completed', 'rejected', 'cancelled']).toContain(state.status);
        expect(isSettled(state)).toBe(true);
        expect(countOf(streams, 'OrderCompleted', 'OrderRejected', 'OrderCancelled')).toBe(1);
        expect(countOf(streams, 'OrderCompleted', 'OrderSettled')).toBe(1);
      }
    }),
  );

  test(
    'an order that is reported as settled holds neither stock nor money',
    always(({ settledTooEarly }, { plans }) => {
      const surprised = plans.flatMap(({ provider }, i) => (provider === 'declines, then charges' ? [`o${i}`] : []));
      expect([...settledTooEarly].filter((orderId) => !surprised.includes(orderId))).toEqual([]);
    }),
  );

  test(
    'completed orders have their stock, and no other order holds any',
    always(({ checkouts, warehouse }, { received }) => {
      const sold = { oil: 0, salt: 0 };
      for (const { orderId, plan, state } of checkouts) {
        const { status } = warehouse.state(reservation, `reservation-${orderId}`);
        if (state.status === 'completed') {
          expect(status).toBe('shipped');
          plan.lines.forEach(([sku, quantity]) => (sold[sku] += quantity));
        } else {
          expect(['rejected', 'released', 'returned', 'blocked']).toContain(status);
        }
      }
      for (const sku of ['oil', 'salt'] as const) {
        const available = received[sku] - sold[sku];
        expect(warehouse.state(stock, `stock-${sku}`)).toEqual({ available, reserved: 0, shipped: sold[sku] });
      }
    }),
  );

  test(
    'completed orders are paid once, and no other order is paid',
    always(({ checkouts }) => {
      for (const { state, streams, money } of checkouts) {
        const completed = state.status === 'completed';
        expect(completed ? ['captured'] : ['none', 'declined', 'voided', 'refunded']).toContain(money);
        expect(countOf(streams, 'PaymentCaptured') - countOf(streams, 'PaymentRefunded')).toBe(completed ? 1 : 0);
        expect(countOf(streams, 'PaymentCaptured')).toBeLessThanOrEqual(1);
      }
    }),
  );

  test(
    'money that went back is in the history of its order, once',
    always(({ checkouts }) => {
      for (const { streams, money, wasAuthorized } of checkouts) {
        const returned = streams.events.filter(
          ({ type, data }) => type === 'OrderPaymentReturned' && !isDeepStrictEqual(data, { outcome: 'nothing-held' }),
        );
        expect(returned).toHaveLength(money === 'refunded' || (money === 'voided' && wasAuthorized) ? 1 : 0);
      }
    }),
  );

  test(
    'an order that nobody calls off ends as its stock and its payment decide, however its messages travel',
    always(({ checkouts, warehouse }, { received, plans }) => {
      const asked = { oil: 0, salt: 0 };
      plans.forEach(({ lines }) => lines.forEach(([sku, quantity]) => (asked[sku] += quantity)));
      const enough = asked.oil <= received.oil && asked.salt <= received.salt;
      for (const { orderId, plan, state } of checkouts) {
        if (plan.calledOffBy.length > 0 || plan.provider === 'declines, then charges') continue;
        const { status } = warehouse.state(reservation, `reservation-${orderId}`);
        if (enough) expect(status).not.toBe('rejected');
        expect(state.status).toBe(status !== 'rejected' && plan.provider === 'approves' ? 'completed' : 'rejected');
      }
    }),
  );

  test(
    'a repetition of all messages from the beginning changes nothing',
    always(({ checkouts, warehouse, toTheEnd }) => {
      const written = () => [warehouse, ...checkouts.map(({ streams }) => streams)].map(({ events }) => events.length);
      const before = written();
      for (const { inboxes } of checkouts) Object.values(inboxes).forEach((inbox) => inbox.repeatAll());
      toTheEnd();
      expect(written()).toEqual(before);
    }),
  );
});
