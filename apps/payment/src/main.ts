import { bootService } from '#service';
import { paymentConfig, PaymentModule } from './payment.module.js';
import { projections } from './service.js';

await bootService({
  name: 'payment',
  module: PaymentModule,
  config: paymentConfig,
  projections,
  statuses: { 'payment-not-found': 404 },
  rawBody: true,
});
