/** What other services may know of a reservation: its events → messages on `inventory.events.v1`. */
import type { InventoryMessage } from '#contracts';
import type { ReservationEvent } from '../domain/reservation.js';

export function inventoryMessageOf(orderId: string, event: ReservationEvent): InventoryMessage {
  switch (event.type) {
    case 'ReservationMade':
      return { type: 'StockReserved', data: { orderId } };
    case 'ReservationRejected':
      return { type: 'StockRejected', data: { orderId, short: [...event.data.short] } };
    case 'ReservationReleased':
      return { type: 'StockReleased', data: { orderId, outcome: 'released' } };
    case 'ReservationReturned':
      return { type: 'StockReleased', data: { orderId, outcome: 'returned' } };
    case 'ReservationBlocked':
      return { type: 'StockReleased', data: { orderId, outcome: 'nothing-held' } };
    case 'ReservationShipped':
      return { type: 'StockShipped', data: { orderId } };
  }
}
