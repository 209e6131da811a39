/** What the payment service is: what it stores, publishes, subscribes to and shows. */
import { z } from 'zod';
import { orderEvents, paymentEvents } from '#contracts';
import { defineService, duration } from '#service';
import { payment } from './domain/payment.js';
import { paymentMessageOf } from './messaging/messages.js';
import { paymentReaction } from './messaging/reactions.js';
import { moneyHold } from './read-models/money-hold.js';
import { paymentSummary } from './read-models/payment-summary.js';
import { paymentTodo } from './read-models/payment-todo.js';
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
    WEBHOOK_SECRET: z
      .string()
      .min(8, 'is shorter than 8 characters')
      .default('larder-development-secret')
      .describe('What the provider signs its webhooks with; set your own wherever anyone else can reach the service'),
    WEBHOOK_URL: z
      .url({ protocol: /^https?$/, error: 'is not an http:// URL' })
      .optional()
      .describe('Where the simulated provider posts its webhooks; default: this service itself'),
  },
  aggregates: { payment },
  upcasters,
  publishes: paymentEvents,
  relays: ['payment'],
  messageOf: paymentMessageOf,
  subscribes: [orderEvents],
  ignores: ['OrderPlaced', 'OrderRejected', 'OrderCompleted', 'OrderSettled'],
  reactionTo: paymentReaction,
  projections: [paymentSummary, paymentTodo, moneyHold],
  leases: ['cashier'],
  rawBody: true,
});
