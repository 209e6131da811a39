import { bootService } from '#service';
import { inventoryOptions } from './http/inventory.module.js';

await bootService(inventoryOptions);
