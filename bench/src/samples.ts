/** The events that the rows write, as the shop itself writes them. */
import { randomUUID } from 'node:crypto';

/** The first event of an order of one line, and its stream. */
export function placedOrder() {
  const orderId = randomUUID();
  return {
    stream: `order-${orderId}`,
    event: {
      id: randomUUID(),
      type: 'OrderPlaced',
      data: {
        orderId,
        customerId: orderId,
        lines: [{ sku: 'olive-oil', quantity: 2, unitPrice: { amountMinor: 1299, currency: 'EUR' } }],
      },
      metadata: { ...cause(), schema: 1 },
    },
  };
}

/** What a command or an event was caused by. */
export function cause(): { correlationId: string; causationId: string } {
  const id = randomUUID();
  return { correlationId: id, causationId: id };
}
