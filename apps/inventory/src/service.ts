/**
 * The inventory service without a framework: what it can be asked to do, and what moves in it. A plain function of its
 * ports, so that Nest, a test and a simulation put together the same service.
 */
import { causeOf, inventoryEvents, orderEvents, received, telling } from '#contracts';
import { type Cause, DecisionQueue, Transactor, upcasting } from '#event-store';
import { consumer, type Delivered, relay, tellAgain } from '#message-bus';
import { projector } from '#projections';
import type { ServicePorts } from '#service';
import { holdsWithoutVerdict } from '#service/holds';
import { react } from './messaging/reactions.js';
import { tell } from './messaging/messages.js';
import { reservationSummary } from './read-models/reservation-summary.js';
import { stockHold } from './read-models/stock-hold.js';
import { stockLevel } from './read-models/stock-level.js';
import { reservation } from './domain/reservation.js';
import { shapes } from './upcasters.js';
import { book, checkout } from './warehouse.js';

export const projections = [stockLevel, reservationSummary, stockHold] as const;

export type InventoryService = ReturnType<typeof inventoryService>;

/** What Nest knows it by. */
export const INVENTORY_SERVICE = Symbol('InventoryService');

export function inventoryService(ports: ServicePorts) {
  const store = upcasting(ports.store, shapes);
  const transactor = new Transactor({ ...ports, store }, { shapes, snapshots: ['stock'] });
  // Everything here writes stock streams, and many want the same ones: they queue up and are decided together.
  const queue = new DecisionQueue(transactor, { maxBatch: 256 });
  const speech = {
    store,
    bus: ports.bus,
    topic: inventoryEvents.name,
    categories: ['reservation'],
    toMessage: telling(inventoryEvents, tell),
  };

  /** Books a receipt, or a recount, of one SKU; the same `entryId` again changes nothing. */
  function enter(
    request: { entryId: string; kind: 'receipt' | 'recount'; sku: string; quantity: number },
    cause: Cause,
  ) {
    return queue.decide(book(request.entryId, request, cause));
  }

  /** What inventory does when an order speaks. */
  async function hear(message: Delivered): Promise<void> {
    const said = received(orderEvents, message);
    const command = react(said);
    if (!command) return;
    await queue.decide(checkout(said.data.orderId, command, causeOf(message)));
    // Who reminds us may not have heard what we said.
    if (said.type === 'OrderReminder') await tellAgain(speech, `reservation-${said.data.orderId}`);
  }

  const attention = holdsWithoutVerdict(ports, {
    projection: stockHold,
    name: 'reservation',
    async look(orderId) {
      const { state } = await transactor.load(reservation, `reservation-${orderId}`);
      if (state.status !== 'made') return { status: state.status };
      return { status: state.status, held: { lines: state.lines.map((line) => ({ ...line, state: 'reserved' })) } };
    },
    tellAgain: (orderId) => tellAgain(speech, `reservation-${orderId}`),
    giveUp: (orderId, cause) => queue.decide(checkout(orderId, { type: 'GiveUp' }, cause)),
    effects: {
      retry: 'The order is told again that its stock is reserved.',
      callOff: 'The stock is available again. Should the order be confirmed after all, nothing is shipped for it.',
    },
  });

  /** Everything that moves by itself, until `signal` aborts. */
  async function run(signal: AbortSignal): Promise<void> {
    const moving = { ...ports, store, runtime: ports, signal };
    await Promise.all([
      relay({ ...moving, ...speech, name: 'inventory' }),
      consumer({ ...moving, name: 'inventory', topics: [orderEvents.name], handle: hear }),
      ...projections.map((projection) => projector({ ...moving, projection })),
    ]);
  }

  return { enter, ...attention, hear, run };
}
