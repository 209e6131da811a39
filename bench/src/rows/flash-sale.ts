/** P4: a thousand buyers at the same moment, and units for half of them. */
import { randomUUID } from 'node:crypto';
import { CommandHandler, isExpectedVersionConflictError } from '@event-driven-io/emmett';
import { inventoryService } from '../../../apps/inventory/src/service.js';
import { type Delivered, MemoryMessageBus, MemoryParkedMessages } from '../../../libs/message-bus/src/index.js';
import { MemoryTables } from '../../../libs/projections/src/index.js';
import { MemoryCheckpoints, MemoryLeases } from '../../../libs/runtime/src/index.js';
import { openInventory } from '../inventory.js';
import { summary } from '../load.js';
import { openEmmett } from '../peers.js';
import type { Bench, Row, Sample } from '../row.js';
import { cause } from '../samples.js';

const BUYERS = 1_000;
const UNITS = 500;
/** What Emmett's own pool has. More of them conflict more, and sell more slowly. */
const EMMETT_CONNECTIONS = 10;

export const row: Row = {
  id: 'P4',
  name: `Flash sale: ${BUYERS.toLocaleString('en')} buyers, ${UNITS} units`,
  how: `All buyers ask for one unit of the same SKU at the same moment, and wait for the answer; a buyer's time is counted from that moment. Each round sells a new SKU, and then counts what is in the streams: a side that sold other than ${UNITS} fails the row. **Larder**: \`handle\` of the inventory service, given an \`OrderPlaced\` message for each buyer: the check against the contract, the reaction, and the decision, which writes what was reserved and what was refused (two events for a sale, one for a refusal). **Emmett**: \`CommandHandler\` on the SKU's stream, with \`retry: { onVersionConflict: true }\`, the policy that its guide to command handling names first; a buyer for whom its three retries were not enough asks again at once. (Policies that retry sooner took longer.) Its pool has ${EMMETT_CONNECTIONS} connections, as it has by itself. It does less: one event for a sale and none for a refusal, and no look for an order that comes twice.`,
  goals: [
    {
      name: "buyers served per second, of Emmett's",
      unit: '×',
      atLeast: 20,
      value: ({ larder, emmett }) => larder!['rate']! / emmett!['rate']!,
    },
    { name: 'p99 of a buyer', unit: 'ms', atMost: 200, value: ({ larder }) => larder!['p99Ms']! },
    { name: 'units sold', unit: 'pieces', atLeast: UNITS, atMost: UNITS, value: ({ larder }) => larder!['sold']! },
  ],
  async open(bench) {
    const larder = await openLarder(bench);
    const emmett = await openSale(bench);
    return {
      contenders: {
        larder: () => sale(larder, UNITS),
        // What there is to see in a slice is seen with fewer buyers, who would take ten seconds.
        emmett: () => sale(emmett, bench.quick ? UNITS / 10 : UNITS),
      },
      async close() {
        await larder.close();
        await emmett.close();
      },
    };
  },
};

interface Shop {
  receive(sku: string, quantity: number): Promise<unknown>;
  /** Resolves when the buyer has an answer, yes or no. */
  buy(sku: string, orderId: string): Promise<unknown>;
  /** The units sold according to the events. */
  sold(sku: string): Promise<number>;
}

/** Sells `units` of a new SKU to buyers who want more than there are. @throws when not as many were sold as there were */
async function sale(shop: Shop, units: number): Promise<Sample> {
  const buyers = (units * BUYERS) / UNITS;
  const sku = randomUUID();
  await shop.receive(sku, units);
  const latencies: number[] = [];
  const begin = performance.now();
  await Promise.all(
    Array.from({ length: buyers }, async () => {
      await shop.buy(sku, randomUUID());
      latencies.push(performance.now() - begin);
    }),
  );
  const rate = (buyers * 1_000) / (performance.now() - begin);
  const sold = await shop.sold(sku);
  if (sold !== units) throw new Error(`${sold} units were sold, and there were ${units}.`);
  return { ...summary(latencies), rate, sold };
}

async function openLarder(bench: Bench): Promise<Shop & { close(): Promise<void> }> {
  const { ports, pool, close } = await openInventory(await bench.database());
  // Nothing moves by itself here, so what is for that has only memory.
  const parked = new MemoryParkedMessages();
  const inventory = inventoryService({
    ...ports,
    bus: new MemoryMessageBus({ clock: ports.clock }),
    tables: new MemoryTables(),
    checkpoints: new MemoryCheckpoints(),
    parked,
    deadLetters: parked,
    leases: new MemoryLeases(),
    counters: { skipped() {}, dead() {} },
  });
  return {
    receive: (sku, quantity) => inventory.bookStock({ entryId: randomUUID(), kind: 'receipt', sku, quantity }, cause()),
    buy: (sku, orderId) => inventory.handle(placed(orderId, sku)),
    async sold(sku) {
      const { rows } = await pool.query<{ sold: number }>(
        `SELECT count(*)::int AS sold FROM event_store.events
         WHERE category = 'reservation' AND type = 'ReservationMade' AND data->'lines'->0->>'sku' = $1`,
        [sku],
      );
      return rows[0]!.sold;
    },
    close,
  };
}

function placed(orderId: string, sku: string): Delivered {
  const id = randomUUID();
  return {
    id,
    type: 'OrderPlaced',
    source: '/order',
    time: new Date().toISOString(),
    key: orderId,
    data: { orderId, lines: [{ sku, quantity: 1 }] },
    correlationId: id,
    topic: 'order.events.v1',
    partition: 0,
    offset: 0n,
  };
}

type StockEvent =
  | { type: 'StockReceived'; data: { quantity: number } }
  | { type: 'StockReserved'; data: { orderId: string; quantity: number } };

async function openSale(bench: Bench): Promise<Shop & { close(): Promise<void> }> {
  const { store, close } = await openEmmett(await bench.database(), EMMETT_CONNECTIONS);
  const handle = CommandHandler<number, StockEvent>({
    initialState: () => 0,
    evolve: (available, { type, data: { quantity } }) =>
      type === 'StockReceived' ? available + quantity : available - quantity,
    retry: { onVersionConflict: true },
  });
  return {
    receive: (sku, quantity) => handle(store, `stock-${sku}`, () => ({ type: 'StockReceived', data: { quantity } })),
    async buy(sku, orderId) {
      const decide = (available: number): StockEvent[] =>
        available < 1 ? [] : [{ type: 'StockReserved', data: { orderId, quantity: 1 } }];
      let answered = false;
      while (!answered) {
        answered = await handle(store, `stock-${sku}`, decide).then(
          () => true,
          (error: unknown) => {
            if (isExpectedVersionConflictError(error)) return false;
            throw error;
          },
        );
      }
    },
    async sold(sku) {
      const { events } = await store.readStream<StockEvent>(`stock-${sku}`);
      return events.filter(({ type }) => type === 'StockReserved').length;
    },
    close,
  };
}
