/** The three services as the plain functions they are, in one process and in memory, on a clock of the test's own. */
import { setMaxListeners } from 'node:events';
import { type Stock, stock } from '../../apps/inventory/src/domain/stock.js';
import { inventoryService } from '../../apps/inventory/src/service.js';
import { MemoryCustomerKeys } from '../../apps/order/src/customer-keys/memory.js';
import type { CustomerKeys } from '../../apps/order/src/customer-keys/port.js';
import { orderService } from '../../apps/order/src/service.js';
import { perService, shop as definitions } from '../../apps/shop.js';
import { keysInMemory } from '../../scripts/lib/reconcile/books.js';
import { withTimeout } from '../../proof/provider-timeout.js';
import { developmentKeys } from '../../proof/token-keys.js';
import type { PaymentProvider } from '../../apps/payment/src/provider.js';
import { paymentService } from '../../apps/payment/src/service.js';
import { MemoryLedger } from '../../apps/payment/src/simulator/ledger.js';
import { SimulatedProvider } from '../../apps/payment/src/simulator/simulated-provider.js';
import { straysOf, troubledDelivery, troubledProvider } from '../../apps/payment/src/simulator/troubles.js';
import type { Deliver } from '../../apps/payment/src/simulator/webhooks.js';
import { commandOf, type Webhook } from '../../apps/payment/src/webhook.js';
import { type EventStore, MemoryEventStore, MemorySnapshots, withUpcasters } from '#event-store';
import { MemoryParkedMessages, type MessageBus } from '#message-bus';
import { type AnyProjection, MemoryTables } from '#projections';
import { type Clock, type Ids, type Log, MemoryCheckpoints, MemoryLeases, silentLog } from '#runtime';
import { SeededRandom } from '#runtime/testing';
import { type ServicePorts, type Troubles, withTroubles } from '#service';

/** The ports of a service, with servers of its own in memory; what is `given` besides takes the place of one. */
export function memoryPorts<Given extends Pick<ServicePorts, 'clock' | 'ids' | 'bus'>>(given: Given) {
  const parked = new MemoryParkedMessages();
  return {
    random: new SeededRandom(1),
    log: silentLog,
    store: new MemoryEventStore(given.clock),
    snapshots: new MemorySnapshots(),
    tables: new MemoryTables(given.clock),
    checkpoints: new MemoryCheckpoints(),
    parked,
    deadLetters: parked,
    leases: new MemoryLeases(),
    counters: { skipped() {}, dead() {} },
    ...given,
  };
}

/** Starts the services; `stop` ends them. `timing` is the provider's, and all times are milliseconds of `clock`. */
export function openMemoryShop(options: {
  readonly clock: Clock;
  readonly ids: Ids;
  readonly bus: MessageBus;
  readonly deadlineMs: number;
  /** Of each customer. */
  readonly openOrders?: number;
  readonly providerTimeoutMs: number;
  readonly timing?: { readonly slowMs: number; readonly downMs: number };
  /** Of the order service. */
  readonly store?: EventStore;
  readonly customerKeys?: CustomerKeys;
  readonly retentionMs?: number;
  readonly log?: Log;
  /** Whether the provider's webhooks arrive; by default none does. */
  readonly webhooks?: boolean;
  /** What operators switch on, by service. */
  readonly troubles?: Readonly<Record<'order' | 'inventory' | 'payment', Troubles>>;
  /** Puts something before the provider. */
  readonly before?: (provider: PaymentProvider) => PaymentProvider;
}) {
  const {
    clock,
    ids,
    bus,
    deadlineMs,
    openOrders = 20,
    providerTimeoutMs,
    timing,
    webhooks,
    troubles,
    before = (it) => it,
  } = options;
  const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };
  const ports = (service: 'order' | 'inventory' | 'payment', given: { store?: EventStore } = {}) => {
    const own = memoryPorts({ ...runtime, bus, ...given });
    return troubles ? withTroubles(own, troubles[service]) : own;
  };
  const ledger = new MemoryLedger();
  const post: Deliver = (webhook) => deliver(webhook);
  const sent = troubles ? troubledDelivery(post, troubles.payment) : post;
  const strays = troubles && straysOf(troubles.payment);
  const provider = new SimulatedProvider(ledger, sent, runtime, timing, strays);
  const { store, customerKeys = new MemoryCustomerKeys(), retentionMs = 0, log = silentLog } = options;
  const orderPorts = { ...ports('order', store && { store }), customerKeys, log };
  const order = orderService(orderPorts, { deadlineMs, openOrders, retentionMs, ...developmentKeys });
  const inventoryPorts = ports('inventory');
  const inventory = inventoryService(inventoryPorts);
  const asked = troubles ? troubledProvider(provider, troubles.payment) : provider;
  const limited = withTimeout(before(asked), clock, providerTimeoutMs);
  const paymentPorts = ports('payment');
  const payment = paymentService({ ...paymentPorts, providerFor: () => limited }, developmentKeys);
  let delivered = 0;
  const deliver = async ({ id, data }: Webhook) => {
    delivered++;
    const news = webhooks ? commandOf(data) : undefined;
    if (news) await payment.record(data.orderId, news, { correlationId: data.orderId, causationId: id });
  };
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  const running = [order, inventory, payment].map((service) => service.run(stopping.signal));
  const stop = async () => {
    stopping.abort();
    await Promise.all(running);
    await provider.close();
  };
  async function stockOf(sku: string): Promise<Stock> {
    let state = stock.initialState;
    for await (const event of inventoryPorts.store.read(`stock-${sku}`)) state = stock.evolve(state, event as never);
    return state;
  }
  const all = { order: orderPorts, inventory: inventoryPorts, payment: paymentPorts };
  /** For reconcile. */
  const books = {
    ...perService((service) => {
      const { store, tables } = all[service];
      return {
        store: withUpcasters(store, definitions[service].upcasters),
        tables,
        keys: (projection: AnyProjection) => keysInMemory(tables, projection),
      };
    }),
    ledger,
  };
  return {
    order,
    inventory,
    payment,
    ledger,
    books,
    orderPorts,
    ports: all,
    stockOf,
    /** How many webhooks have arrived. */
    delivered: () => delivered,
    signal: stopping.signal,
    stop,
  };
}
