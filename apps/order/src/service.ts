/**
 * The order service without a framework: its operations, and what runs in the background. A plain function of its ports,
 * so that Nest, a test and a simulation compose the same service.
 */
import { Conflict } from '#decider';
import { type Cause, DecisionQueue, followFromHead, type RecordedEvent, Transactor, withUpcasters } from '#event-store';
import type { Delivered } from '#message-bus';
import { waitForPosition } from '#projections';
import { within } from '#runtime';
import { type Attention, inboxOf, receive, runService, type ServicePorts } from '#service';
import { attentionItem, pastCase } from './attention.js';
import type { CustomerKeys } from './customer-keys/port.js';
import { orderDefinition } from './definition.js';
import { customer } from './domain/customer.js';
import {
  assertOwn,
  isSettled,
  type Money,
  type Order,
  order,
  type OrderCommand,
  type OrderEvent,
  orderNotFound,
  type PlacedOrder,
} from './domain/order.js';
import { price } from './domain/price.js';
import { quota, QuotaExceeded } from './domain/quota.js';
import { OrderCounts } from './order-counts.js';
import { tokenSealer, type TokenKeys } from './payment-token.js';
import { PersonalData } from './personal-data.js';
import { PriceCache } from './price-cache.js';
import { orderSummary } from './read-models/order-summary.js';
import { orderTodo } from './read-models/order-todo.js';
import type { Recipient } from './recipient.js';
import { SettlementWaits } from './settlement-waits.js';
import { watchdog } from './watchdog.js';

/** An order that exists, and the position that a read model must have reached to show it like this. */
export interface KnownOrder {
  readonly order: PlacedOrder;
  readonly position: bigint;
}

export interface PlaceRequest {
  readonly orderId: string;
  readonly customerId: string;
  readonly lines: readonly { readonly sku: string; readonly quantity: number }[];
  /** As the customer gave it: from here on it is sealed. */
  readonly paymentToken: string;
  /** Who it is sent to, as it was given: this, too, is sealed from here on. */
  readonly recipient?: Recipient | undefined;
  /** An order with another total is refused. */
  readonly expectedTotal?: Money | undefined;
  /** The position that its prices must not be older than. */
  readonly since?: bigint | undefined;
}

export type OrderService = ReturnType<typeof orderService>;

/** What a person's decision is to the order. */
const COMMANDS = { retry: 'Remind', 'call-off': 'CallOff', accept: 'Accept' } as const;

/** Nest's injection token. */
export const ORDER_SERVICE = Symbol('OrderService');

export interface OrderOptions {
  /** An order that is not confirmed so many milliseconds after it was placed is cancelled. */
  readonly deadlineMs: number;
  /** How many orders that are not settled a customer may have. */
  readonly openOrders: number;
  readonly tokenKeys: TokenKeys;
  /** For so many milliseconds after the last order that it was used for, a customer's key is not erased; default: 0. */
  readonly retentionMs?: number;
}

export interface OrderPorts extends ServicePorts {
  readonly customerKeys: CustomerKeys;
}

/** How long the refusal of an order may take because a read model is behind, in milliseconds. */
const QUOTA_CHECK_MS = 1_000;

export function orderService(ports: OrderPorts, { deadlineMs, openOrders, tokenKeys, retentionMs = 0 }: OrderOptions) {
  const { clock, tables } = ports;
  const sealToken = tokenSealer(tokenKeys);
  const { upcasters } = orderDefinition;
  const store = withUpcasters(ports.store, upcasters);
  const transactor = new Transactor({ ...ports, store }, { upcasters });
  const prices = new PriceCache(store, transactor);
  const settlementWaits = new SettlementWaits();
  const counts = new OrderCounts(clock);
  const personalData = new PersonalData({ ...ports, store, transactor }, retentionMs);
  /** Whether the last customer was new: then the next one most likely is, too. */
  let customersAreNew = true;
  /** What comes at the same moment is decided together, so what a customer sends does not conflict: their quota is one stream. */
  const placing = new DecisionQueue(transactor, { maxBatch: 64 });

  /**
   * Places an order at the current prices, which are no older than the position `since`. The same order again returns the
   * existing one.
   */
  async function place(request: PlaceRequest, cause: Cause): Promise<KnownOrder> {
    try {
      return await placeAt(request.since, request, cause);
    } catch (error) {
      // The customer may know a newer price than this instance: only the prices of now can refuse the expected total.
      if (!(error instanceof Conflict && error.code === 'price-changed')) throw error;
      return placeAt(await store.head(), request, cause);
    }
  }

  async function placeAt(since: bigint | undefined, request: PlaceRequest, cause: Cause): Promise<KnownOrder> {
    const { orderId, customerId, paymentToken, recipient, expectedTotal } = request;
    const lines = await Promise.all(
      request.lines.map(async (line) => ({ ...line, unitPrice: await priceOf(line.sku, since) })),
    );
    const now = clock.now();
    const command = {
      type: 'Place',
      customerId,
      lines,
      ...sealToken(paymentToken, orderId),
      expectedTotal,
      placedAt: now.toISOString(),
      deadlineAt: new Date(now.getTime() + deadlineMs).toISOString(),
    } as const;
    if (!recipient) return placeWithinQuota(orderId, command, undefined, cause);
    return personalData.placeWith(recipient, { orderId, customerId }, (sealed, kid) =>
      placeWithinQuota(orderId, { ...command, ...sealed }, kid, cause),
    );
  }

  /**
   * The order, its place in the customer's quota (domain/quota.ts), and the note of the key `kid` that its recipient is
   * sealed with (domain/customer.ts), in one append.
   */
  async function placeWithinQuota(
    orderId: string,
    command: Extract<OrderCommand, { type: 'Place' }>,
    kid: string | undefined,
    cause: Cause,
  ): Promise<KnownOrder> {
    const { customerId, placedAt } = command;
    const stream = `order-${orderId}`;
    const quotaStream = `quota-${customerId}`;
    const placeAmong = async (settled: readonly string[]) => {
      const { result, position } = await placing.decide((desk) => {
        desk.expectNew(stream);
        const placed = desk.decide(order, stream, command, cause);
        if (placed.length === 0) return { state: desk.state(order, stream), open: undefined }; // It has its place.
        if (customersAreNew) desk.expectNew(quotaStream);
        desk.decide(quota, quotaStream, { type: 'Take', orderId, limit: openOrders, settled }, cause);
        if (kid) desk.decide(customer, `customer-${customerId}`, { type: 'Keep', orderId, kid, placedAt }, cause);
        return { state: desk.state(order, stream), open: desk.state(quota, quotaStream).underWay };
      });
      const { state, open } = result;
      if (open) customersAreNew = open.length === 1;
      return requireOrder({ state, position });
    };
    try {
      return await placeAmong([]);
    } catch (error) {
      if (!(error instanceof QuotaExceeded)) throw error;
      const settled = await settledOf(error.underWay);
      if (settled.length === 0) throw error;
      return placeAmong(settled);
    }
  }

  /** Those of these orders that were settled before now. */
  async function settledOf(orderIds: readonly string[]): Promise<string[]> {
    const { signal } = new AbortController();
    const position = await store.head();
    await waitForPosition({ tables, projection: orderSummary, position, clock, timeoutMs: QUOTA_CHECK_MS, signal });
    const keys = orderIds.map((order_id) => ({ order_id }));
    const rows = await tables.load(orderSummary, keys);
    return rows.filter(({ settled }) => settled).map(({ order_id }) => order_id);
  }

  async function priceOf(sku: string, since: bigint | undefined) {
    const found = await prices.of(sku, since);
    return found.status === 'set' ? { amountMinor: found.amountMinor, currency: found.currency } : undefined;
  }

  /** `owner` is whose order it has to be, here and below; undefined: anybody's. */
  async function cancel(orderId: string, owner: string | undefined, cause: Cause): Promise<KnownOrder> {
    return requireOrder(await transactor.transact(order, `order-${orderId}`, { type: 'Cancel', owner }, cause));
  }

  /**
   * Waits up to `ms` milliseconds for the order to be settled, and returns it as it is then. Pass `since` when you have
   * just written at that position: the cached state is then used without a read.
   */
  async function awaitSettled(
    orderId: string,
    owner: string | undefined,
    ms: number,
    signal: AbortSignal,
    since?: bigint,
  ): Promise<KnownOrder> {
    const stream = `order-${orderId}`;
    const wait = settlementWaits.begin(orderId);
    const settledAt = within(
      clock,
      ms,
      () => wait.settledAt,
      () => undefined,
      signal,
    );
    try {
      const current = await transactor.load(order, stream, since);
      assertOwn(requireOrder(current).order, owner);
      return requireOrder(isSettled(current.state) ? current : await transactor.load(order, stream, await settledAt));
    } finally {
      wait.end();
    }
  }

  /** The events of an order, oldest first; none when there is no such order. */
  async function history(orderId: string, owner?: string): Promise<RecordedEvent<OrderEvent>[]> {
    const events: RecordedEvent[] = [];
    for await (const event of store.read(`order-${orderId}`)) events.push(event);
    const history = events as RecordedEvent<OrderEvent>[];
    const [placed] = history;
    const isOwn = owner === undefined || (placed?.type === 'OrderPlaced' && placed.data.customerId === owner);
    return isOwn ? history : [];
  }

  /** Sets the price at which further orders are placed. */
  function setPrice(sku: string, amount: { amountMinor: number; currency: string }, cause: Cause) {
    return transactor.transact(price, `price-${sku}`, { type: 'Set', ...amount }, cause);
  }

  /** Takes a SKU out of sale, until it has a price again. */
  function withdrawPrice(sku: string, cause: Cause) {
    return transactor.transact(price, `price-${sku}`, { type: 'Withdraw' }, cause);
  }

  /** Follows the orders of all instances, for those who wait for one and for who counts them. */
  async function followOrders(signal: AbortSignal): Promise<void> {
    try {
      await followFromHead(store, ['order'], signal, ({ events }) => {
        settlementWaits.see(events);
        counts.see(events);
      });
    } finally {
      counts.restart();
    }
  }

  /** Records in the order what another service reports. */
  async function handle(delivered: Delivered): Promise<void> {
    const { message, command, cause } = receive(orderDefinition, delivered);
    if (command) await transactor.transact(order, `order-${message.data.orderId}`, command, cause);
  }

  /** Cancels an order whose deadline has passed. */
  function expire(orderId: string) {
    const cause = { correlationId: orderId, causationId: 'deadline' };
    return transactor.transact(order, `order-${orderId}`, { type: 'Expire', now: clock.now().toISOString() }, cause);
  }

  /** Reminds the other services of what an order wants from them. */
  function remind(orderId: string, attempt: number) {
    const cause = { correlationId: orderId, causationId: 'reminder' };
    return transactor.transact(order, `order-${orderId}`, { type: 'Remind', attempt }, cause);
  }

  const attention: Attention = {
    ...inboxOf(
      ports.tables,
      orderTodo,
      () => clock.now(),
      async ({ order_id, attention_at }) => attentionItem(order_id, await history(order_id), attention_at!),
      async ({ order_id, attended_at }) => pastCase(order_id, await history(order_id), attended_at!),
    ),

    resolve(orderId, { decision, reason }, cause) {
      const command = { type: COMMANDS[decision] };
      return transactor.transact(order, `order-${orderId}`, command, { ...cause, reason });
    },
  };

  /** Runs everything that happens without a request, until `signal` aborts. */
  function run(signal: AbortSignal): Promise<void> {
    const loops = {
      prices: (s: AbortSignal) => prices.follow(s),
      orders: followOrders,
      keys: (s: AbortSignal) => personalData.follow(s),
      erasures: (s: AbortSignal) => personalData.run(s),
      watchdog: (s: AbortSignal) => watchdog({ ...ports, expire, remind, everyMs: 1_000, signal: s }),
    };
    return runService(orderDefinition, { ...ports, store }, { handle, loops, signal });
  }

  return {
    place,
    cancel,
    awaitSettled,
    history,
    flow: () => counts.flow(),
    setPrice,
    withdrawPrice,
    personalData,
    ...attention,
    handle,
    expire,
    run,
  };
}

/** @throws NotFound */
function requireOrder({ state, position }: { state: Order; position: bigint }): KnownOrder {
  if (state.status === 'none') throw orderNotFound();
  return { order: state, position };
}
