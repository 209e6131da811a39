import { bootService } from '#service';
import { inventoryConfig, InventoryModule } from './inventory.module.js';
import { projections } from './service.js';

await bootService({
  name: 'inventory',
  module: InventoryModule,
  config: inventoryConfig,
  projections,
  statuses: { 'reserved-stock-missing': 409 },
});
