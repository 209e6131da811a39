/**
 * Every event that the inventory service stores, with the steps that lift older shapes of its data to the current one,
 * oldest first. All are at version 1 so far. A changed shape gets a step here, and a golden file next to the old one:
 * `StockReceived: [(data) => ({ ...data, supplier: 'unknown' })]`.
 */
import type { Upcasters } from '#event-store';
import type { EntryEvent } from './domain/entry.js';
import type { ReservationEvent } from './domain/reservation.js';
import type { StockEvent } from './domain/stock.js';

export const upcasters: Upcasters<ReservationEvent | StockEvent | EntryEvent> = {
  ReservationMade: [],
  ReservationRejected: [],
  ReservationReleased: [],
  ReservationShipped: [],
  ReservationReturned: [],
  ReservationBlocked: [],
  StockReceived: [],
  StockRecounted: [],
  StockReserved: [],
  StockReleased: [],
  StockShipped: [],
  StockReturned: [],
  EntryMade: [],
};
