import { Module } from '@nestjs/common';
import { CqrsModule } from '@nestjs/cqrs';
import { PrismaClient } from '../../../../prisma/inventory/client/client.js';
import { AttentionController, providePrisma, provideService } from '#nest';
import { INVENTORY_SERVICE, inventoryService } from '../service.js';
import { InventoryController } from './inventory.controller.js';
import { handlers } from './inventory.handlers.js';

@Module({
  imports: [CqrsModule.forRoot()],
  controllers: [InventoryController, AttentionController],
  providers: [...handlers, ...provideService(INVENTORY_SERVICE, inventoryService), providePrisma(PrismaClient)],
})
export default class InventoryModule {}
