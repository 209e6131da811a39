/** What the inventory service is: what it stores, publishes, subscribes to and shows. */
import { inventoryEvents, orderEvents } from '#contracts';
import { defineService } from '#service';
import { entry } from './domain/entry.js';
import { reservation } from './domain/reservation.js';
import { stock } from './domain/stock.js';
import { inventoryMessageOf } from './messaging/messages.js';
import { inventoryReaction } from './messaging/reactions.js';
import { reservationSummary } from './read-models/reservation-summary.js';
import { stockHold } from './read-models/stock-hold.js';
import { stockLevel } from './read-models/stock-level.js';
import { upcasters } from './upcasters.js';

export const inventoryDefinition = defineService({
  name: 'inventory',
  port: 3002,
  access: {
    'GET /stock': { clerk: 'any', operator: 'any' },
    'GET /stock/:sku': { clerk: 'any', operator: 'any' },
    'POST /stock/:sku/receipts': { clerk: 'any' },
    'POST /stock/:sku/recounts': { clerk: 'any' },
    'GET /reservations/:orderId': { clerk: 'any', operator: 'any' },
  },
  aggregates: { reservation, stock, entry },
  upcasters,
  publishes: inventoryEvents,
  relays: ['reservation'],
  messageOf: inventoryMessageOf,
  subscribes: [orderEvents],
  ignores: ['OrderStockReserved', 'OrderCompleted', 'OrderSettled'],
  reactionTo: inventoryReaction,
  projections: [stockLevel, reservationSummary, stockHold],
});
