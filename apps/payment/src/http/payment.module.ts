import { Module } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import { CqrsModule } from '@nestjs/cqrs';
import type pg from 'pg';
import type { z } from 'zod';
import { PrismaClient } from '../../../../prisma/payment/client/client.js';
import {
  AttentionController,
  Background,
  CONFIG,
  DATABASE,
  Flow,
  Health,
  Metrics,
  ownUrl,
  PORTS,
  providePrisma,
  provideService,
} from '#nest';
import { type ServicePorts, Troubles } from '#service';
import type { paymentDefinition } from '../definition.js';
import { type GuardedProvider, guardProvider } from '../provider-guard.js';
import type { PaymentProvider } from '../provider.js';
import { PAYMENT_SERVICE, paymentService } from '../service.js';
import { Ledger } from '../simulator/ledger.js';
import { PostgresLedger } from '../simulator/postgres-ledger.js';
import { SimulatedProvider } from '../simulator/simulated-provider.js';
import { straysOf, troubledDelivery, troubledProvider } from '../simulator/troubles.js';
import { postWebhook } from '../simulator/webhooks.js';
import { PaymentController } from './payment.controller.js';
import { handlers } from './payment.handlers.js';

type Config = z.infer<typeof paymentDefinition.config>;

const GUARDED_PROVIDER = Symbol('GuardedProvider');

/** They are there where TROUBLE is true. */
const MAYBE_TROUBLES = { token: Troubles, optional: true };

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [PaymentController, AttentionController],
  providers: [
    ...handlers,
    { provide: Ledger, inject: [DATABASE], useFactory: (pool: pg.Pool) => new PostgresLedger(pool) },
    {
      provide: SimulatedProvider,
      inject: [Ledger, PORTS, CONFIG, Background, HttpAdapterHost, MAYBE_TROUBLES],
      useFactory: (
        ledger: Ledger,
        ports: ServicePorts,
        config: Config,
        background: Background,
        { httpAdapter }: HttpAdapterHost,
        troubles?: Troubles,
      ) => {
        const receiver = () => config.WEBHOOK_URL ?? `${ownUrl(httpAdapter.getHttpServer())}/webhooks/payments`;
        const post = postWebhook(receiver, config.WEBHOOK_SECRET[0]!, ports.clock);
        const deliver = troubles ? troubledDelivery(post, troubles) : post;
        const provider = new SimulatedProvider(ledger, deliver, ports, undefined, troubles && straysOf(troubles));
        background.run((signal) => provider.resume(signal));
        background.onClose(() => provider.close());
        return provider;
      },
    },
    {
      provide: GUARDED_PROVIDER,
      inject: [SimulatedProvider, PORTS, CONFIG, Health, Metrics, Flow, MAYBE_TROUBLES],
      useFactory: (
        simulated: PaymentProvider,
        ports: ServicePorts,
        config: Config,
        health: Health,
        metrics: Metrics,
        flow: Flow,
        troubles?: Troubles,
      ) => {
        const adapter = troubles ? troubledProvider(simulated, troubles) : simulated;
        const labels = ['operation', 'outcome'];
        const count = metrics.counter('larder_provider_calls_total', 'Requests to the payment provider.', labels);
        const provider = guardProvider(adapter, { ...ports, timeoutMs: config.PROVIDER_TIMEOUT, count });
        // For operators alone: a service whose payments wait is ready for everything else.
        health.add('provider', async () => ({ circuit: provider.circuit }));
        flow.addCircuit('provider', () => provider.circuit);
        metrics.gauge('larder_provider_circuit', '0 is closed, 1 half-open, 2 open: payments wait.', [], async () => [
          { labels: {}, value: ['closed', 'half-open', 'open'].indexOf(provider.circuit) },
        ]);
        return provider;
      },
    },
    ...provideService(
      PAYMENT_SERVICE,
      (ports: ServicePorts, { PAYMENT_TOKEN_KEYS: openingKeys }: Config, provider: GuardedProvider) =>
        paymentService({ ...ports, providerFor: (customer) => provider.for(customer) }, { openingKeys }),
      [GUARDED_PROVIDER],
    ),
    providePrisma(PrismaClient),
  ],
})
export default class PaymentModule {}
