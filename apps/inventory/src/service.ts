/**
 * The inventory service without a framework: its operations, and what runs in the background. A plain function of its
 * ports, so that Nest, a test and a simulation compose the same service.
 */
import { DomainError } from '#decider';
import { type Cause, DecisionQueue, type RecordedEvent, Transactor, withUpcasters } from '#event-store';
import { type Delivered, publishAgain } from '#message-bus';
import { holdsWithoutVerdict, outboxOf, receive, runService, type ServicePorts } from '#service';
import { inventoryDefinition } from './definition.js';
import type { Booking } from './domain/entry.js';
import { reservation } from './domain/reservation.js';
import { stock, type StockEvent, unitsOnShelf } from './domain/stock.js';
import { stockHold } from './read-models/stock-hold.js';
import { decideBooking, decideCheckout } from './warehouse.js';

export type InventoryService = ReturnType<typeof inventoryService>;

/** Nest's injection token. */
export const INVENTORY_SERVICE = Symbol('InventoryService');

export function inventoryService(ports: ServicePorts) {
  const { upcasters } = inventoryDefinition;
  const store = withUpcasters(ports.store, upcasters);
  const transactor = new Transactor({ ...ports, store }, { upcasters, snapshots: ['stock'] });
  // Everything here writes stock streams, often the same ones: decisions queue up and are made together.
  const queue = new DecisionQueue(transactor, { maxBatch: 256 });
  const outbox = outboxOf(inventoryDefinition, { ...ports, store });

  /** Books a receipt, or a recount, of one SKU; the same `entryId` again changes nothing and gets the first answer. */
  async function bookStock({ entryId, ...booking }: { entryId: string } & Booking, cause: Cause) {
    const { sku, asOf } = booking;
    const expected = asOf === undefined ? undefined : await unitsOnShelfAt(sku, BigInt(asOf));
    return queue.decide(decideBooking(entryId, booking, cause, expected));
  }

  /**
   * How many units of a SKU the books had on the shelf at a position. It reads back from now, so that it costs what has
   * moved since then, and not what the SKU has been through.
   */
  async function unitsOnShelfAt(sku: string, position: bigint): Promise<number> {
    const head = await store.head(position);
    if (position > head) {
      throw new DomainError('unknown-position', `Nothing was counted at ${position}: the last position is ${head}.`);
    }
    const stream = `stock-${sku}`;
    const { state, revision } = await transactor.load(stock, stream);
    if (revision === 'none') return 0;
    for (let back = 500; ; back *= 4) {
      const from = Math.max(0, revision + 1 - back);
      let reached = from === 0;
      let moved = stock.initialState; // What has moved since is a fold like any other: a stock is a sum.
      for await (const event of store.read(stream, from)) {
        if (event.revision > revision) break;
        if (event.position > position) moved = stock.evolve(moved, event as RecordedEvent<StockEvent>);
        else reached = true;
      }
      if (reached) return unitsOnShelf(state) - unitsOnShelf(moved);
    }
  }

  /** Does what an order asks for. Idempotent. */
  async function handle(delivered: Delivered): Promise<void> {
    const { message, command, cause } = receive(inventoryDefinition, delivered);
    if (!command) return;
    const { orderId } = message.data;
    await queue.decide(decideCheckout(orderId, command, cause));
    // A reminder may mean that our earlier answer was lost: publish it again.
    if (message.type === 'OrderReminder') await publishAgain(outbox, `reservation-${orderId}`);
  }

  const attention = holdsWithoutVerdict(ports, {
    projection: stockHold,
    name: 'reservation',
    async find(orderId) {
      const { state } = await transactor.load(reservation, `reservation-${orderId}`);
      if (state.status !== 'made') return { status: state.status };
      return { status: state.status, held: { lines: state.lines.map((line) => ({ ...line, state: 'reserved' })) } };
    },
    publishAgain: (orderId) => publishAgain(outbox, `reservation-${orderId}`),
    giveUp: (orderId, cause) => queue.decide(decideCheckout(orderId, { type: 'GiveUp' }, cause)),
    effects: {
      retry: 'The order is notified again that its stock is reserved.',
      callOff: 'The stock is available again. Should the order be confirmed after all, nothing is shipped for it.',
    },
  });

  /** Runs everything that happens without a request, until `signal` aborts. */
  function run(signal: AbortSignal): Promise<void> {
    return runService(inventoryDefinition, { ...ports, store }, { handle, signal });
  }

  return { bookStock, ...attention, handle, run };
}
