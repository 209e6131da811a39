/** What the commands that look into a shop's databases know of it: its read models, and where they and the events are. */
import { join } from 'node:path';
import { projections as inventory } from '../../apps/inventory/src/service.js';
import { shapes as inventoryShapes } from '../../apps/inventory/src/upcasters.js';
import { projections as order } from '../../apps/order/src/service.js';
import { shapes as orderShapes } from '../../apps/order/src/upcasters.js';
import { projections as payment } from '../../apps/payment/src/service.js';
import { shapes as paymentShapes } from '../../apps/payment/src/upcasters.js';
import type { Shapes } from '#event-store';
import type { Projection } from '#projections';
import { Advice } from './advice.js';
import { databaseUrl, serverIn } from './embedded-postgres.js';
import { dataFolder, type Service, services } from './shop.js';

/** By service, its projections, and the shapes of the events that they fold. */
export const readModels: Readonly<
  Record<Service, { readonly projections: readonly Projection<any, any>[]; readonly shapes: Shapes }>
> = {
  order: { projections: order, shapes: orderShapes },
  inventory: { projections: inventory, shapes: inventoryShapes },
  payment: { projections: payment, shapes: paymentShapes },
};

export interface Database {
  readonly databaseUrl: string;
  readonly storeUrl: string;
}

/**
 * Of the servers that the environment names (`ORDER_DATABASE_URL`, …), else of the shop that is open here.
 * @throws Advice when there is neither
 */
export async function databasesOfTheShop(): Promise<Record<Service, Database>> {
  const server = await serverIn(join(dataFolder(), 'postgres'));
  const databases = services.map((service): [Service, Database] => {
    const [database, store] = [`${service.toUpperCase()}_DATABASE_URL`, `${service.toUpperCase()}_EVENT_STORE_URL`];
    const url = process.env[database] ?? (server && databaseUrl(server.port, service));
    const storeUrl = process.env[store] ?? url;
    if (!url || !storeUrl) {
      throw new Advice(
        `The shop is closed: \`npm start\` opens it. For servers of your own, set ${database} and ${store}.`,
      );
    }
    return [service, { databaseUrl: url, storeUrl }];
  });
  return Object.fromEntries(databases) as Record<Service, Database>;
}
