import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { PrismaClient } from '../../../../prisma/inventory/client/client.js';
import {
  AttentionController,
  attentionOf,
  Background,
  baseConfig,
  DATABASE,
  port,
  PORTS,
  type ServiceOptions,
  type ServicePorts,
} from '#service';
import { InventoryController } from './inventory.controller.js';
import { handlers } from './inventory.handlers.js';
import { INVENTORY_SERVICE, inventoryService, projections } from '../service.js';

export const inventoryConfig = baseConfig.extend({ PORT: port(3002) });

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [InventoryController, AttentionController],
  providers: [
    ...handlers,
    attentionOf(INVENTORY_SERVICE),
    {
      provide: INVENTORY_SERVICE,
      inject: [PORTS, Background],
      useFactory: (ports: ServicePorts, background: Background) => {
        const service = inventoryService(ports);
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
export class InventoryModule {}

/** What main.ts boots. */
export const inventoryOptions: ServiceOptions = {
  name: 'inventory',
  module: InventoryModule,
  config: inventoryConfig,
  projections,
  statuses: { 'reserved-stock-missing': 409, 'reservation-not-found': 404, 'nothing-held': 409, 'hold-too-young': 409 },
};
