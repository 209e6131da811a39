/** What the order service is: what it stores, publishes, subscribes to and shows. */
import { z } from 'zod';
import { inventoryEvents, orderEvents, paymentEvents } from '#contracts';
import { defineService, DEVELOPMENT_KEYS, duration, postgresUrl, sealingKey, secrets } from '#service';
import { orderAhead } from './ahead.js';
import { customer } from './domain/customer.js';
import { order } from './domain/order.js';
import { price } from './domain/price.js';
import { quota } from './domain/quota.js';
import { orderMessageOf } from './messaging/messages.js';
import { orderReaction } from './messaging/reactions.js';
import { customerErasure } from './read-models/customer-erasure.js';
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
    'GET /customers/:customerId/personal-data': { customer: 'own', operator: 'any' },
    'DELETE /customers/:customerId/personal-data': { customer: 'own', operator: 'any' },
  },
  variables: {
    ORDER_DEADLINE: duration()
      .prefault('15min')
      .describe('How long an order may take to be confirmed; then it is cancelled'),
    OPEN_ORDERS_PER_CUSTOMER: z.coerce
      .number()
      .pipe(z.int('is not a whole number above 0').min(1, 'is not a whole number above 0'))
      .prefault(20)
      .describe('How many orders that are not settled a customer may have; further ones are refused with 409'),
    PAYMENT_TOKEN_KEY: sealingKey()
      .prefault(DEVELOPMENT_KEYS.sealing)
      .describe(
        "The payment service's public key, as a JWK with a kid: payment tokens are sealed to it. The default is for HOST on loopback",
      ),
    TOKEN_DIGEST_SECRET: secrets()
      .prefault('larder-development-digests')
      .describe(
        'What payment tokens are compared under, at least 16 characters; two, separated by a comma, while one replaces the other. The default is for HOST on loopback',
      ),
    CUSTOMER_KEYS_URL: postgresUrl().describe(
      "The Postgres database of the customers' keys, which is for them alone: postgresql://user:password@localhost:5432/customer_keys",
    ),
    RETENTION: duration({ longestDays: 36_500 })
      .prefault('0s')
      .describe(
        'How long after the last order of a customer their personal data is kept although they want it erased; by default until their orders are settled',
      ),
  },
  publicDefaults: ['PAYMENT_TOKEN_KEY', 'TOKEN_DIGEST_SECRET'],
  aggregates: { order, price, customer, quota },
  upcasters,
  publishes: orderEvents,
  relays: ['order'],
  messageOf: orderMessageOf,
  subscribes: [inventoryEvents, paymentEvents],
  reactionTo: orderReaction,
  projections: [orderSummary, priceList, orderTodo, customerErasure],
  ahead: orderAhead,
  leases: ['watchdog', 'erasures'],
});
