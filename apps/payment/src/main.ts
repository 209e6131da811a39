import { bootService } from '#nest';
import { paymentDefinition } from './definition.js';
import PaymentModule from './http/payment.module.js';

await bootService(paymentDefinition, PaymentModule);
