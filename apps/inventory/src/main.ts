import { bootService } from '#service';
import { inventoryOptions } from './inventory.module.js';

await bootService(inventoryOptions);
