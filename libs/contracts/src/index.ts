import { inventoryEvents } from './inventory.js';
import { orderEvents } from './order.js';
import { paymentEvents } from './payment.js';

export * from './currencies.js';
export * from './inventory.js';
export * from './order.js';
export * from './payment.js';
export * from './topic.js';
export * from './values.js';

/** Every topic through which the services communicate. */
export const topics = [orderEvents, inventoryEvents, paymentEvents] as const;
