import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { orderId, sku } from './values.js';

export const inventoryEvents = topic('inventory.events.v1', '/inventory', {
  StockReserved: z.object({ orderId }).describe('Every line of the order is held.'),
  StockRejected: z
    .object({ orderId, short: z.array(sku) })
    .describe('Nothing is held; `short` is what there was too little of.'),
  StockReleased: z
    .object({ orderId, outcome: z.enum(['released', 'returned', 'nothing-held']) })
    .describe('The order holds no stock, and will not be given any.'),
  StockShipped: z.object({ orderId }).describe('What was held has left the house.'),
});

export type InventoryMessage = MessageOf<typeof inventoryEvents>;
