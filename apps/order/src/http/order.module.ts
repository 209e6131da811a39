import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import type { z } from 'zod';
import { PrismaClient } from '../../../../prisma/order/client/client.js';
import { AttentionController, providePrisma, provideService } from '#nest';
import type { ServicePorts } from '#service';
import type { orderDefinition } from '../definition.js';
import { ORDER_SERVICE, orderService } from '../service.js';
import { OrderController } from './order.controller.js';
import { handlers } from './order.handlers.js';

type Config = z.infer<typeof orderDefinition.config>;

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [OrderController, AttentionController],
  providers: [
    ...handlers,
    ...provideService(ORDER_SERVICE, (ports: ServicePorts, config: Config) =>
      orderService(ports, {
        deadlineMs: config.ORDER_DEADLINE,
        tokenKeys: { sealingKey: config.PAYMENT_TOKEN_KEY, digestSecrets: config.TOKEN_DIGEST_SECRET },
      }),
    ),
    providePrisma(PrismaClient),
  ],
})
export default class OrderModule {}
