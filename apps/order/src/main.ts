import { bootService } from '#nest';
import { orderDefinition } from './definition.js';
import OrderModule from './http/order.module.js';

await bootService(orderDefinition, OrderModule);
