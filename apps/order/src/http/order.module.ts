import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { z } from 'zod';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import { AttentionController, Background, CONFIG, Flow, Health, PORTS, providePrisma, provideService } from '#nest';
import { type ServicePorts, StartError } from '#service';
import { reach } from '#service/adapters';
import { CustomerKeys } from '../customer-keys/port.js';
import { PostgresCustomerKeys } from '../customer-keys/postgres-customer-keys.js';
import type { orderDefinition } from '../definition.js';
import { ORDER_SERVICE, type OrderService, orderService } from '../service.js';
import { OrderController } from './order.controller.js';
import { handlers } from './order.handlers.js';
import { PersonalDataController } from './personal-data.controller.js';

type Config = z.infer<typeof orderDefinition.config>;

const ORDER_FLOW = Symbol('OrderFlow');

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [OrderController, PersonalDataController, AttentionController],
  providers: [
    ...handlers,
    {
      provide: CustomerKeys,
      inject: [PORTS, CONFIG, Background, Health],
      useFactory: async (ports: ServicePorts, config: Config, background: Background, health: Health) => {
        const keys = new PostgresCustomerKeys(config.CUSTOMER_KEYS_URL);
        background.onClose(() => keys.end());
        // Orders that name no recipient need none of it.
        health.add('customer-keys', () => keys.ping(), { needed: false });
        await reach('CUSTOMER_KEYS_URL', () => keys.ping(), ports, 0).catch((error: unknown) => {
          if (!(error instanceof StartError && error.exitCode === 69)) throw error;
          ports.log.warn(
            { err: error.cause },
            'The key store is away: until it is back, no recipient is taken or shown.',
          );
        });
        return keys;
      },
    },
    ...provideService(
      ORDER_SERVICE,
      (ports: ServicePorts, config: Config, customerKeys: CustomerKeys) =>
        orderService(
          { ...ports, customerKeys },
          {
            deadlineMs: config.ORDER_DEADLINE,
            openOrders: config.OPEN_ORDERS_PER_CUSTOMER,
            tokenKeys: { sealingKey: config.PAYMENT_TOKEN_KEY, digestSecrets: config.TOKEN_DIGEST_SECRET },
            retentionMs: config.RETENTION,
          },
        ),
      [CustomerKeys],
    ),
    {
      provide: ORDER_FLOW,
      inject: [ORDER_SERVICE, Flow],
      useFactory: (service: OrderService, flow: Flow) => flow.showOrders(service.flow),
    },
    providePrisma(PrismaClient),
  ],
})
export default class OrderModule {}
