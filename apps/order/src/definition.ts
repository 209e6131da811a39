/** What the order service is: what it stores, publishes, subscribes to and shows. */
import { inventoryEvents, orderEvents, paymentEvents } from '#contracts';
import { defineService, duration } from '#service';
import { order } from './domain/order.js';
import { price } from './domain/price.js';
import { orderMessageOf } from './messaging/messages.js';
import { orderReaction } from './messaging/reactions.js';
import { orderSummary } from './read-models/order-summary.js';
import { orderTodo } from './read-models/order-todo.js';
import { priceList } from './read-models/price-list.js';
import { upcasters } from './upcasters.js';

export const orderDefinition = defineService({
  name: 'order',
  port: 3001,
  access: {
    'POST /orders': { customer: 'own', clerk: 'any' },
    'GET /orders': { customer: 'own', clerk: 'any', operator: 'any' },
    'GET /orders/:orderId': { customer: 'own', clerk: 'any', operator: 'any' },
    'GET /orders/:orderId/history': { customer: 'own', clerk: 'any', operator: 'any' },
    'POST /orders/:orderId/cancel': { customer: 'own', clerk: 'any' },
    'GET /prices': { customer: 'any', clerk: 'any', operator: 'any' },
    'PUT /prices/:sku': { clerk: 'any' },
    'DELETE /prices/:sku': { clerk: 'any' },
  },
  variables: {
    ORDER_DEADLINE: duration()
      .prefault('15min')
      .describe('How long an order may take to be confirmed; then it is cancelled'),
  },
  aggregates: { order, price },
  upcasters,
  publishes: orderEvents,
  relays: ['order'],
  messageOf: orderMessageOf,
  subscribes: [inventoryEvents, paymentEvents],
  reactionTo: orderReaction,
  projections: [orderSummary, priceList, orderTodo],
  leases: ['watchdog'],
});
