/** What an order does about the messages of inventory and payment: each message → its command. */
import type { InventoryMessage, PaymentMessage } from '#contracts';
import type { OrderCommand } from '../domain/order.js';

export function orderReaction(message: InventoryMessage | PaymentMessage): OrderCommand {
  switch (message.type) {
    case 'StockReserved':
      return { type: 'RecordStockReserved' };
    case 'StockRejected':
      return { type: 'RecordStockRejected', short: message.data.short };
    case 'StockReleased':
      return { type: 'RecordStockReleased', outcome: message.data.outcome };
    case 'StockShipped':
      return { type: 'RecordStockShipped' };
    case 'PaymentAuthorized':
      return { type: 'RecordPaymentAuthorized', amount: message.data.amount };
    case 'PaymentDeclined':
      return { type: 'RecordPaymentDeclined', reason: message.data.reason, held: message.data.held };
    case 'PaymentCaptured':
      return { type: 'RecordPaymentCaptured' };
    case 'PaymentReturned':
      return { type: 'RecordPaymentReturned', outcome: message.data.outcome };
    case 'PaymentRefused': {
      const { step, reason, moved, number = 1 } = message.data;
      return { type: 'RecordPaymentRefused', step, reason, moved, number };
    }
    case 'PaymentMovedByProvider':
      return { type: 'RecordPaymentMoved', how: message.data.how, amount: message.data.amount };
  }
}
