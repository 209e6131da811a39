import { bootService } from '#nest';
import { inventoryDefinition } from './definition.js';
import InventoryModule from './http/inventory.module.js';

await bootService(inventoryDefinition, InventoryModule);
