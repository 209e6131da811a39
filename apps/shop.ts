/**
 * The services of the shop, an entry for each: its definition, the function that composes it, and its Nest module, which is
 * loaded on demand. Everything that needs to know all services reads this.
 */
import { inventoryDefinition } from './inventory/src/definition.js';
import { inventoryService } from './inventory/src/service.js';
import { orderDefinition } from './order/src/definition.js';
import { orderService } from './order/src/service.js';
import { paymentDefinition } from './payment/src/definition.js';
import { paymentService } from './payment/src/service.js';

export const shop = {
  order: { ...orderDefinition, compose: orderService, module: () => import('./order/src/http/order.module.js') },
  inventory: {
    ...inventoryDefinition,
    compose: inventoryService,
    module: () => import('./inventory/src/http/inventory.module.js'),
  },
  payment: {
    ...paymentDefinition,
    compose: paymentService,
    module: () => import('./payment/src/http/payment.module.js'),
  },
} as const;

export type Service = keyof typeof shop;

export const services = Object.keys(shop) as readonly Service[];

/** A value for each service. */
export function perService<T>(valueOf: (service: Service) => T): Record<Service, T> {
  return Object.fromEntries(services.map((service) => [service, valueOf(service)])) as Record<Service, T>;
}
