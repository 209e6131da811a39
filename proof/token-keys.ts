/** The keys with which services in one process seal and open payment tokens: those of development. */
import { orderDefinition } from '../apps/order/src/definition.js';
import { paymentDefinition } from '../apps/payment/src/definition.js';

const { PAYMENT_TOKEN_KEY, TOKEN_DIGEST_SECRET } = orderDefinition.config.shape;
const { PAYMENT_TOKEN_KEYS } = paymentDefinition.config.shape;

/** Options of orderService and of paymentService. */
export const developmentKeys = {
  tokenKeys: { sealingKey: PAYMENT_TOKEN_KEY.parse(undefined), digestSecrets: TOKEN_DIGEST_SECRET.parse(undefined) },
  openingKeys: PAYMENT_TOKEN_KEYS.parse(undefined),
};
