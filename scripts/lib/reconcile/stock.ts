/**
 * The stock of every SKU, as its own stream tells it and as the reservations, receipts and recounts do.
 *
 * A reservation and the stock of its SKUs are written in one append, and no batch of a subscription splits an append. So
 * within each batch the two have to say the same, unit for unit, whatever else goes on in the shop; and what that comes
 * to per SKU is kept, which is all that grows: with the SKUs, not with the orders.
 */
import type { EntryEvent } from '../../../apps/inventory/src/domain/entry.js';
import type { ReservationEvent } from '../../../apps/inventory/src/domain/reservation.js';
import { type Stock, stock, type StockEvent } from '../../../apps/inventory/src/domain/stock.js';
import { formatGoods } from '#contracts';
import { idOf, type RecordedEvent } from '#event-store';
import type { Finding } from './finding.js';

export const stockCategories = ['reservation', 'stock', 'entry'] as const;

type InventoryEvent = RecordedEvent<ReservationEvent | StockEvent | EntryEvent>;

/** What a reservation's event means for the stock of each of its lines. */
const MOVES = {
  ReservationMade: 'StockReserved',
  ReservationReleased: 'StockReleased',
  ReservationShipped: 'StockShipped',
  ReservationReturned: 'StockReturned',
} as const;

interface Sku {
  /** As its own stream has it. */
  level: Stock;
  /** As the reservations have it; of its own it has nothing available. */
  claimed: Stock;
  /** Received, and found by recounts. */
  received: number;
  events: number;
  negative: boolean;
}

/** One kind of movement of one SKU for one order, or for none, within a batch. */
interface Movement {
  readonly type: StockEvent['type'];
  readonly sku: string;
  readonly orderId: string | undefined;
  inStock: number;
  elsewhere: number;
}

export class StockAudit {
  private readonly skus = new Map<string, Sku>();

  /** Takes the next batch of inventory's events. Returns what disagrees within it. */
  see(events: readonly InventoryEvent[]): Finding[] {
    const findings: Finding[] = [];
    const movements = new Map<string, Movement>();
    const movement = (type: StockEvent['type'], sku: string, orderId?: string): Movement => {
      const key = JSON.stringify([type, sku, orderId]);
      let it = movements.get(key);
      if (it === undefined) movements.set(key, (it = { type, sku, orderId, inStock: 0, elsewhere: 0 }));
      return it;
    };

    for (const event of events) {
      switch (event.type) {
        case 'ReservationMade':
        case 'ReservationReleased':
        case 'ReservationShipped':
        case 'ReservationReturned': {
          const orderId = idOf(event.stream);
          for (const { sku, quantity } of event.data.lines) {
            movement(MOVES[event.type], sku, orderId).elsewhere += quantity;
            const known = this.sku(sku);
            known.claimed = stock.evolve(known.claimed, { type: MOVES[event.type], data: { orderId, quantity } });
          }
          break;
        }
        case 'EntryMade':
          if (event.data.kind === 'receipt') movement('StockReceived', event.data.sku).elsewhere += event.data.quantity;
          break;
        case 'ReservationRejected':
        case 'ReservationBlocked':
          break;
        default: {
          const sku = idOf(event.stream);
          if ('quantity' in event.data) {
            const orderId = 'orderId' in event.data ? event.data.orderId : undefined;
            movement(event.type, sku, orderId).inStock += event.data.quantity;
          }
          findings.push(...this.follow(sku, event));
        }
      }
    }
    for (const it of movements.values()) if (it.inStock !== it.elsewhere) findings.push(differs(it));
    return findings;
  }

  /** What has to add up when all events have been seen. */
  *end(): Iterable<Finding> {
    for (const [sku, { level, claimed, received }] of this.skus) {
      const stream = `stock-${sku}`;
      const { available, reserved, shipped } = level;
      if (available + reserved + shipped !== received) {
        const message =
          `${sku}: ${received} units were received or found by recounts, but ${stream} has ` +
          `${available} available, ${reserved} reserved and ${shipped} shipped.`;
        yield { kind: 'stock-does-not-add-up', sku, books: [stream], message };
      }
      if (reserved !== claimed.reserved || shipped !== claimed.shipped) {
        const message =
          `${sku}: ${stream} has ${reserved} reserved and ${shipped} shipped, but the reservations together ` +
          `have ${claimed.reserved} reserved and ${claimed.shipped} shipped.`;
        yield { kind: 'stock-and-reservations-differ', sku, books: [stream, 'reservation-*'], message };
      }
    }
  }

  /** Folds an event of the SKU's own stream. */
  private follow(sku: string, event: RecordedEvent<StockEvent>): Finding[] {
    const known = this.sku(sku);
    const findings: Finding[] = [];
    if (event.revision !== known.events) {
      const message = `${sku}: ${event.stream} lacks event ${known.events}, before its ${event.type}.`;
      findings.push({ kind: 'broken-stream', sku, books: [event.stream], message });
    }
    known.events = event.revision + 1;
    known.level = stock.evolve(known.level, event);
    if (event.type === 'StockReceived') known.received += event.data.quantity;
    if (event.type === 'StockRecounted') known.received += event.data.difference;
    const { available, reserved, shipped } = known.level;
    if (!known.negative && Math.min(available, reserved, shipped) < 0) {
      known.negative = true;
      const message =
        `${sku}: after event ${event.revision}, ${event.stream} has ${available} available, ${reserved} reserved ` +
        `and ${shipped} shipped.`;
      findings.push({ kind: 'stock-negative', sku, books: [event.stream], message });
    }
    return findings;
  }

  private sku(sku: string): Sku {
    let known = this.skus.get(sku);
    if (known === undefined) {
      known = { level: stock.initialState, claimed: stock.initialState, received: 0, events: 0, negative: false };
      this.skus.set(sku, known);
    }
    return known;
  }
}

const SAID = {
  StockReceived: 'received',
  StockReserved: 'reserved',
  StockReleased: 'released',
  StockShipped: 'shipped',
  StockReturned: 'took back',
  StockRecounted: 'counted',
} as const satisfies Record<StockEvent['type'], string>;

function differs({ type, sku, orderId, inStock, elsewhere }: Movement): Finding {
  const stream = `stock-${sku}`;
  const said = (quantity: number) => `${SAID[type]} ${formatGoods(quantity ? [{ sku, quantity }] : [])}`;
  if (orderId === undefined) {
    const message = `${sku}: its entries ${said(elsewhere)}, but ${stream} ${said(inStock)} together with them.`;
    return { kind: 'stock-and-entry-differ', sku, books: [stream, 'entry-*'], message };
  }
  const reservation = `reservation-${orderId}`;
  const message = `Order ${orderId}: ${reservation} ${said(elsewhere)}, but ${stream} ${said(inStock)} for it.`;
  return { kind: 'stock-and-reservation-differ', orderId, sku, books: [stream, reservation], message };
}
