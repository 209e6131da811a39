/** What the payment service is: what it stores, publishes, subscribes to and shows. */
import { z } from 'zod';
import { orderEvents, paymentEvents } from '#contracts';
import { defineService, DEVELOPMENT_KEYS, duration, openingKeys, secrets } from '#service';
import { payment } from './domain/payment.js';
import { exchangesOf } from './exchanges.js';
import { paymentMessageOf } from './messaging/messages.js';
import { paymentReaction } from './messaging/reactions.js';
import { moneyHold } from './read-models/money-hold.js';
import { paymentSummary } from './read-models/payment-summary.js';
import { paymentTodo } from './read-models/payment-todo.js';
import { providerTroubles } from './simulator/troubles.js';
import { upcasters } from './upcasters.js';

export const paymentDefinition = defineService({
  name: 'payment',
  port: 3003,
  access: {
    'GET /payments/:orderId': { clerk: 'any', operator: 'any' },
    'POST /webhooks/payments': 'anyone', // The provider signs them: see webhook.guard.ts.
    'GET /simulator/ledger': { operator: 'any' },
  },
  variables: {
    PROVIDER_TIMEOUT: duration().prefault('2s').describe('How long to wait for an answer from the payment provider'),
    PAYMENT_TOKEN_KEYS: openingKeys()
      .prefault(DEVELOPMENT_KEYS.opening)
      .describe(
        'The private keys that open payment tokens, as a JWK set: the one that PAYMENT_TOKEN_KEY is the public half of, and older ones. The default is for HOST on loopback',
      ),
    WEBHOOK_SECRET: secrets()
      .prefault('larder-development-secret')
      .describe(
        'What the provider signs its webhooks with, at least 16 characters; two, separated by a comma, while one replaces the other. The default is for HOST on loopback',
      ),
    WEBHOOK_URL: z
      .url({ protocol: /^https?$/, error: 'is not an http:// URL' })
      .optional()
      .describe('Where the simulated provider posts its webhooks; default: this service itself'),
  },
  publicDefaults: ['PAYMENT_TOKEN_KEYS', 'WEBHOOK_SECRET'],
  aggregates: { payment },
  upcasters,
  publishes: paymentEvents,
  relays: ['payment'],
  messageOf: paymentMessageOf,
  subscribes: [orderEvents],
  ignores: ['OrderPlaced', 'OrderRejected', 'OrderCompleted', 'OrderSettled'],
  reactionTo: paymentReaction,
  projections: [paymentSummary, paymentTodo, moneyHold],
  exchanges: exchangesOf,
  leases: ['cashier'],
  troubles: providerTroubles,
  rawBody: true,
});
