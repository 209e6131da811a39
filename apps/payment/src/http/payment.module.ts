import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { z } from 'zod';
import { PrismaClient } from '../../../../prisma/payment/client/client.js';
import {
  AttentionController,
  attentionOf,
  Background,
  baseConfig,
  CONFIG,
  DATABASE,
  duration,
  Health,
  Metrics,
  port,
  PORTS,
  type ServiceOptions,
  type ServicePorts,
} from '#service';
import { PaymentController } from './payment.controller.js';
import { handlers } from './payment.handlers.js';
import { guarded } from '../provider-guard.js';
import { PaymentProvider } from '../provider.js';
import { PAYMENT_SERVICE, paymentService, projections } from '../service.js';
import { Ledger } from '../simulator/ledger.js';
import { PostgresLedger } from '../simulator/postgres-ledger.js';
import { SimulatedProvider } from '../simulator/simulated-provider.js';
import { postWebhook } from '../simulator/webhooks.js';

export const paymentConfig = baseConfig.extend({
  PORT: port(3003),
  PROVIDER_TIMEOUT: duration().prefault('2s').describe('How long an answer of the payment provider is waited for'),
  WEBHOOK_SECRET: z
    .string()
    .min(8, 'is shorter than 8 characters')
    .default('larder-development-secret')
    .describe('What the provider signs its webhooks with; set your own wherever others can reach the service'),
  WEBHOOK_URL: z
    .url({ protocol: /^https?$/, error: 'is not an http:// URL' })
    .optional()
    .describe('Where the simulated provider posts its webhooks; this service itself unless told'),
});

type Config = z.infer<typeof paymentConfig>;

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [PaymentController, AttentionController],
  providers: [
    ...handlers,
    attentionOf(PAYMENT_SERVICE),
    { provide: Ledger, inject: [DATABASE], useFactory: (pool: pg.Pool) => new PostgresLedger(pool) },
    {
      provide: SimulatedProvider,
      inject: [Ledger, PORTS, CONFIG, Background],
      useFactory: (ledger: Ledger, ports: ServicePorts, config: Config, background: Background) => {
        const url = config.WEBHOOK_URL ?? `http://${config.HOST}:${config.PORT}/webhooks/payments`;
        const provider = new SimulatedProvider(ledger, postWebhook(url, config.WEBHOOK_SECRET, ports.clock), ports);
        background.onClose(() => provider.close());
        return provider;
      },
    },
    {
      provide: PaymentProvider,
      inject: [SimulatedProvider, PORTS, CONFIG, Health, Metrics],
      useFactory: (adapter: PaymentProvider, ports: ServicePorts, config: Config, health: Health, metrics: Metrics) => {
        const labels = ['operation', 'outcome'];
        const count = metrics.counter('larder_provider_calls_total', 'Requests to the payment provider.', labels);
        const provider = guarded(adapter, { ...ports, timeoutMs: config.PROVIDER_TIMEOUT, count });
        // For operators alone: a service whose payments wait is ready for everything else.
        health.add('provider', async () => ({ circuit: provider.circuit }));
        metrics.gauge('larder_provider_circuit', '0 is closed, 1 half-open, 2 open: payments wait.', [], async () => [
          { labels: {}, value: ['closed', 'half-open', 'open'].indexOf(provider.circuit) },
        ]);
        return provider;
      },
    },
    {
      provide: PAYMENT_SERVICE,
      inject: [PORTS, PaymentProvider, Background],
      useFactory: (ports: ServicePorts, provider: PaymentProvider, background: Background) => {
        const service = paymentService({ ...ports, provider });
        background.run((signal) => service.run(signal));
        return service;
      },
    },
    {
      provide: PrismaClient,
      inject: [DATABASE],
      useFactory: (pool: pg.Pool) => new PrismaClient({ adapter: new PrismaPg(pool) }),
    },
  ],
})
export class PaymentModule {}

/** What main.ts boots. */
export const paymentOptions: ServiceOptions = {
  name: 'payment',
  module: PaymentModule,
  config: paymentConfig,
  projections,
  statuses: { 'payment-not-found': 404, 'nothing-held': 409, 'hold-too-young': 409 },
  rawBody: true,
};
