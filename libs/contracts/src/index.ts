import { inventoryEvents } from './inventory.js';
import { orderEvents } from './order.js';
import { paymentEvents } from './payment.js';

export * from './inventory.js';
export * from './order.js';
export * from './payment.js';
export * from './topic.js';
export * from './values.js';

/** Everything that services tell each other. */
export const topics = [orderEvents, inventoryEvents, paymentEvents] as const;
