/** The three services as the plain functions they are, in one process and in memory, on a clock of the test's own. */
import { type Stock, stock } from '../../apps/inventory/src/domain/stock.js';
import { inventoryService } from '../../apps/inventory/src/service.js';
import { MemoryCustomerKeys } from '../../apps/order/src/customer-keys/memory.js';
import type { CustomerKeys } from '../../apps/order/src/customer-keys/port.js';
import { orderService } from '../../apps/order/src/service.js';
import { withTimeout } from '../../proof/provider-timeout.js';
import { developmentKeys } from '../../proof/token-keys.js';
import type { PaymentProvider } from '../../apps/payment/src/provider.js';
import { paymentService } from '../../apps/payment/src/service.js';
import { MemoryLedger } from '../../apps/payment/src/simulator/ledger.js';
import { SimulatedProvider } from '../../apps/payment/src/simulator/simulated-provider.js';
import { commandOf, type Webhook } from '../../apps/payment/src/webhook.js';
import { type EventStore, MemoryEventStore, MemorySnapshots } from '#event-store';
import { MemoryParkedMessages, type MessageBus } from '#message-bus';
import { MemoryTables } from '#projections';
import { type Clock, type Ids, type Log, MemoryCheckpoints, MemoryLeases, silentLog } from '#runtime';
import { SeededRandom } from '#runtime/testing';
import type { ServicePorts } from '#service';

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
    before = (it) => it,
  } = options;
  const runtime = { clock, ids, random: new SeededRandom(1), log: silentLog };
  const ports = () => memoryPorts({ ...runtime, bus });
  const ledger = new MemoryLedger();
  const provider: SimulatedProvider = new SimulatedProvider(ledger, (webhook) => deliver(webhook), runtime, timing);
  const { store, customerKeys = new MemoryCustomerKeys(), retentionMs = 0, log = silentLog } = options;
  const orderPorts = { ...ports(), customerKeys, log, ...(store && { store }) };
  const order = orderService(orderPorts, { deadlineMs, openOrders, retentionMs, ...developmentKeys });
  const inventoryPorts = ports();
  const inventory = inventoryService(inventoryPorts);
  const limited = withTimeout(before(provider), clock, providerTimeoutMs);
  const paymentPorts = ports();
  const payment = paymentService({ ...paymentPorts, providerFor: () => limited }, developmentKeys);
  const deliver = async ({ id, data }: Webhook) => {
    const news = webhooks ? commandOf(data) : undefined;
    if (news) await payment.record(data.orderId, news, { correlationId: data.orderId, causationId: id });
  };
  const stopping = new AbortController();
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
  return { order, inventory, payment, ledger, orderPorts, ports: all, stockOf, signal: stopping.signal, stop };
}
