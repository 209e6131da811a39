import { bootService } from '#service';
import { orderOptions } from './http/order.module.js';

await bootService(orderOptions);
