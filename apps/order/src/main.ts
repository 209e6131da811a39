import { bootService } from '#service';
import { orderConfig, OrderModule } from './order.module.js';
import { projections } from './service.js';

await bootService({
  name: 'order',
  module: OrderModule,
  config: orderConfig,
  projections,
  statuses: { 'order-not-found': 404, 'order-confirmed': 409 },
});
