/**
 * The inventory service without a framework: its operations, and what runs in the background. A plain function of its
 * ports, so that Nest, a test and a simulation compose the same service.
 */
import { type Cause, DecisionQueue, Transactor, withUpcasters } from '#event-store';
import { type Delivered, publishAgain } from '#message-bus';
import { holdsWithoutVerdict, outboxOf, receive, runService, type ServicePorts } from '#service';
import { inventoryDefinition } from './definition.js';
import { reservation } from './domain/reservation.js';
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

  /** Books a receipt, or a recount, of one SKU; the same `entryId` again changes nothing. */
  function bookStock(
    request: { entryId: string; kind: 'receipt' | 'recount'; sku: string; quantity: number },
    cause: Cause,
  ) {
    return queue.decide(decideBooking(request.entryId, request, cause));
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
