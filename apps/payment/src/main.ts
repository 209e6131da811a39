import { bootService } from '#service';
import { paymentOptions } from './payment.module.js';

await bootService(paymentOptions);
