/** What became of a race: what is wrong, as every proof finds it (shop/inspect.ts), and the figures of its report. */
import type { ReservationEvent } from '../../apps/inventory/src/domain/reservation.js';
import { type Stock, stock, type StockEvent } from '../../apps/inventory/src/domain/stock.js';
import type { RecordedEvent } from '#event-store';
import type { Books } from '../../scripts/lib/reconcile/books.js';
import { readEvents, readLedger } from '../../scripts/lib/reconcile/reconcile.js';
import { type Inspection, inspect, withBooks } from '../shop/inspect.js';
import type { Shop } from '../shop/open-shop.js';
import type { Driven } from './drive.js';

export interface Verdict {
  readonly reservations: { made: number; refused: number; released: number; shipped: number };
  readonly orders: Inspection['ends'];
  readonly captures: number;
  /** The least that was ever available of any SKU, in units. */
  readonly leastAvailable: number;
  /** What is wrong, in words, with the ids; empty when all is well. */
  readonly wrong: readonly string[];
}

/** Checks a shop that has come to rest, and in which nothing but the race took place. */
export async function judge(shop: Shop, driven: Driven): Promise<Verdict> {
  const { ends, wrong } = await inspect(shop, driven, { alone: true });
  return withBooks(shop, async (books) => ({
    ...(await countReservations(books)),
    orders: ends,
    captures: await countCaptures(books),
    wrong,
  }));
}

async function countReservations({ inventory }: Books): Promise<Pick<Verdict, 'reservations' | 'leastAvailable'>> {
  const reservations = { made: 0, refused: 0, released: 0, shipped: 0 };
  const levels = new Map<string, Stock>();
  let leastAvailable = Infinity;
  for await (const events of readEvents(inventory, ['stock', 'reservation'], 0n)) {
    for (const event of events as RecordedEvent<StockEvent | ReservationEvent>[]) {
      switch (event.type) {
        case 'ReservationMade':
          reservations.made++;
          break;
        case 'ReservationRejected':
          reservations.refused++;
          break;
        case 'ReservationReleased':
          reservations.released++;
          break;
        case 'ReservationShipped':
          reservations.shipped++;
          break;
        case 'ReservationReturned':
        case 'ReservationBlocked':
          break;
        default: {
          const level = stock.evolve(levels.get(event.stream) ?? stock.initialState, event);
          levels.set(event.stream, level);
          if (event.type !== 'StockReceived') leastAvailable = Math.min(leastAvailable, level.available);
        }
      }
    }
  }
  return { reservations, leastAvailable };
}

async function countCaptures({ ledger }: Books): Promise<number> {
  let captures = 0;
  for await (const entries of readLedger(ledger)) captures += entries.filter(({ type }) => type === 'captured').length;
  return captures;
}
