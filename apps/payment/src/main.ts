import { bootService } from '#service';
import { paymentOptions } from './http/payment.module.js';

await bootService(paymentOptions);
