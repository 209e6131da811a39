import { bootService } from '#service';
import { orderOptions } from './order.module.js';

await bootService(orderOptions);
