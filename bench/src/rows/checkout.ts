/** P9: the whole checkout over three services, next to its commands alone in one process. */
import { randomUUID } from 'node:crypto';
import {
  CommandHandlerStreamVersionConflictRetryOptions,
  DeciderCommandHandler,
  type Event,
} from '@event-driven-io/emmett';
import type { PostgresEventStore } from '@event-driven-io/emmett-postgresql';
import { order, type Order, type OrderCommand, type OrderEvent } from '../../../apps/order/src/domain/order.js';
import {
  payment,
  type Payment,
  type PaymentCommand,
  type PaymentEvent,
} from '../../../apps/payment/src/domain/payment.js';
import { stock, type Stock, type StockCommand, type StockEvent } from '../../../apps/inventory/src/domain/stock.js';
import type { Decider } from '../../../libs/decider/src/index.js';
import type { DomainEvent } from '../../../libs/event-store/src/index.js';
import { load } from '../load.js';
import { openEmmett } from '../peers.js';
import type { Row } from '../row.js';
import { FINAL, longAtFirst, openBenchShop, PRICE, QUANTITY, SKUS, TOKEN } from '../shop.js';

/** Emmett's connections, and how many checkouts are in flight: a few, as when a shop is quiet, and many, as when it is full. */
const CONNECTIONS = 16;
const FEW = 16;
const MANY = 64;
const TOTAL = { ...PRICE, amountMinor: PRICE.amountMinor * QUANTITY };

export const row: Row = {
  id: 'P9',
  name: 'Checkout from POST to settled, over three services',
  how: `Orders of one line, of ${SKUS.length} SKUs in turn. **Larder**: the three services as they are run, a process each, their messages over the bus in Postgres; a client sends \`POST /orders\` with \`Prefer: wait\` and is answered when the order is completed: placed, reserved, authorized, confirmed, shipped and captured, over some ten messages, with the simulated provider and its webhooks, and eight read models that follow. **Emmett**: the five commands of that checkout in one process, without HTTP, messages, read models and a provider: place, reserve, authorize, confirm, complete. They are Larder's own deciders under Emmett's \`DeciderCommandHandler\`, on streams of their own and the stock stream of the SKU, which all its buyers share; conflicts there are retried as its documentation advises (\`retry: { onVersionConflict }\`), with pauses of 2 to 20 ms instead of 100, which is faster here, and its pool has ${CONNECTIONS} connections. Both sides are measured with ${FEW} checkouts in flight and with ${MANY}, by the same code, which waits for those that are under way when the time is over. The stock streams are new in every round, because Emmett reads all of a stream for every command.`,
  goals: [
    {
      name: `checkouts per second, of Emmett's five commands in one process, ${MANY} in flight`,
      unit: '×',
      atLeast: 2.5,
      value: ({ larderMany, emmettMany }) => larderMany!['rate']! / emmettMany!['rate']!,
    },
    {
      name: `the same, ${FEW} in flight`,
      unit: '×',
      atLeast: 1.2,
      value: ({ larder, emmett }) => larder!['rate']! / emmett!['rate']!,
    },
    {
      name: `p99 from POST to the final answer, ${FEW} in flight`,
      unit: 'ms',
      atMost: 100,
      value: ({ larder }) => larder!['p99Ms']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 1_000 : 4_000;
    const larderMs = longAtFirst(bench.quick ? 1_000 : 20_000, ms);
    const shop = await openBenchShop(bench);
    const emmett = await openEmmett(await bench.database(), CONNECTIONS);
    const larder = async (inFlight: number) => {
      const sample = await load(inFlight, larderMs(), shop.checkOut);
      return { ...sample, behindMs: await shop.settled() };
    };
    const emmettCommands = async (inFlight: number) => {
      const shelves = SKUS.map((sku) => `stock-${sku}-${randomUUID()}`);
      for (const shelf of shelves) await onStock(emmett.store, shelf, { type: 'Receive', quantity: 1_000_000 });
      let n = 0;
      return load(inFlight, ms, () => checkout(emmett.store, shelves[n++ % shelves.length]!));
    };
    return {
      contenders: {
        larder: () => larder(FEW),
        emmett: () => emmettCommands(FEW),
        larderMany: () => larder(MANY),
        emmettMany: () => emmettCommands(MANY),
      },
      profile: () => shop.profiled(() => shop.placeOrders(FEW, ms, FINAL)),
      async close() {
        await shop.close();
        await emmett.close();
      },
    };
  },
};

async function checkout(store: PostgresEventStore, shelf: string): Promise<void> {
  const orderId = randomUUID();
  const orderStream = `order-${orderId}`;
  const now = new Date().toISOString();
  const lines = [{ sku: shelf, quantity: QUANTITY, unitPrice: PRICE }];
  const terms = {
    customerId: randomUUID(),
    lines,
    paymentToken: TOKEN,
    tokenDigest: TOKEN,
    placedAt: now,
    deadlineAt: now,
  };
  await onOrder(store, orderStream, { type: 'Place', ...terms });
  await onStock(store, shelf, { type: 'Reserve', orderId, quantity: QUANTITY });
  await onPayment(store, `payment-${orderId}`, [
    { type: 'Request', amount: TOTAL, token: TOKEN },
    { type: 'RecordAuthorized', authorizationId: orderId, amount: TOTAL },
  ]);
  await onOrder(store, orderStream, [
    { type: 'RecordStockReserved' },
    { type: 'RecordPaymentAuthorized', amount: TOTAL },
  ]);
  await onOrder(store, orderStream, [{ type: 'RecordStockShipped' }, { type: 'RecordPaymentCaptured' }]);
}

const onOrder = handlerOf<OrderCommand, OrderEvent, Order>(order);
const onPayment = handlerOf<PaymentCommand, PaymentEvent, Payment>(payment);
const onStock = handlerOf<StockCommand, StockEvent, Stock>(stock);

/** Larder's decider as Emmett's command handler. Its commands are typed here: Emmett's would be anything. */
function handlerOf<C, E extends DomainEvent, S>({
  initialState,
  decide,
  evolve,
}: Decider<C, E, S>): (store: PostgresEventStore, stream: string, commands: C | C[]) => Promise<unknown> {
  const onVersionConflict = {
    ...CommandHandlerStreamVersionConflictRetryOptions,
    retries: 100,
    minTimeout: 2,
    maxTimeout: 20,
  };
  return DeciderCommandHandler<S, any, E & Event>({
    initialState: () => initialState,
    evolve,
    decide: (command: C, state) => decide(command, state) as (E & Event)[],
    retry: { onVersionConflict },
  });
}
