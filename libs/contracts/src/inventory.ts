import { z } from 'zod';
import { type MessageOf, topic } from './topic.js';
import { orderId, sku } from './values.js';

export const inventoryEvents = topic('inventory.events.v1', '/inventory', {
  StockReserved: z.object({ orderId }).describe('Every line of the order is reserved.'),
  StockRejected: z
    .object({ orderId, short: z.array(sku) })
    .describe('Nothing is reserved; `short` lists the SKUs that were insufficient.'),
  StockReleased: z
    .object({ orderId, outcome: z.enum(['released', 'returned', 'nothing-held']) })
    .describe('The order holds no stock, and never will.'),
  StockShipped: z.object({ orderId }).describe('The reserved stock has been shipped.'),
});

export type InventoryMessage = MessageOf<typeof inventoryEvents>;
