import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { z } from 'zod';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import {
  AttentionController,
  attentionOf,
  Background,
  baseConfig,
  CONFIG,
  DATABASE,
  duration,
  port,
  PORTS,
  type ServiceOptions,
  type ServicePorts,
} from '#service';
import { OrderController } from './order.controller.js';
import { handlers } from './order.handlers.js';
import { ORDER_SERVICE, orderService, projections } from '../service.js';

export const orderConfig = baseConfig.extend({
  PORT: port(3001),
  ORDER_DEADLINE: duration()
    .prefault('15min')
    .describe('How long after it was placed an order that is not confirmed is called off'),
});

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [OrderController, AttentionController],
  providers: [
    ...handlers,
    attentionOf(ORDER_SERVICE),
    {
      provide: ORDER_SERVICE,
      inject: [PORTS, CONFIG, Background],
      useFactory: (ports: ServicePorts, config: z.infer<typeof orderConfig>, background: Background) => {
        const service = orderService(ports, { deadlineMs: config.ORDER_DEADLINE });
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
export class OrderModule {}

/** What main.ts boots. */
export const orderOptions: ServiceOptions = {
  name: 'order',
  module: OrderModule,
  config: orderConfig,
  projections,
  statuses: {
    'order-not-found': 404,
    'order-confirmed': 409,
    'order-completed': 409,
    'order-off': 409,
    'nothing-to-retry': 409,
  },
};
