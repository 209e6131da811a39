/**
 * Decisions that touch several streams at once: a reservation and the stock of each of its SKUs, written together or
 * not at all. Each is pure; whoever waits for the same SKUs is decided together with the others and shares one append.
 */
import type { Cause, Decision } from '#event-store';
import type { CheckoutCommand } from './checkout.js';
import { entry } from './entry.js';
import { reservation, type ReservationEvent } from './reservation.js';
import { type Stock, stock } from './stock.js';

/** Reserves every line of an order or none, releases them, or ships them. */
export function checkout(
  orderId: string,
  command: CheckoutCommand,
  cause: Cause,
): Decision<readonly ReservationEvent[]> {
  const stream = `reservation-${orderId}`;
  return (desk) => {
    if (command.type !== 'Reserve') {
      const events = desk.decide(reservation, stream, command, cause);
      for (const event of events) {
        if (event.type !== 'ReservationReleased' && event.type !== 'ReservationShipped') continue;
        for (const { sku, quantity } of event.data.lines) {
          desk.decide(stock, `stock-${sku}`, { type: command.type, orderId, quantity }, cause);
        }
      }
      return events;
    }
    desk.expectNew(stream);
    const short = command.lines.filter(({ sku, quantity }) => desk.state(stock, `stock-${sku}`).available < quantity);
    const events = desk.decide(reservation, stream, { ...command, short: short.map(({ sku }) => sku) }, cause);
    if (events.some(({ type }) => type === 'ReservationMade')) {
      for (const { sku, quantity } of command.lines) {
        desk.decide(stock, `stock-${sku}`, { type: 'Reserve', orderId, quantity }, cause);
      }
    }
    return events;
  };
}

/** Books a receipt or a recount, once for each entry id. Returns the stock after it. */
export function book(
  entryId: string,
  { kind, sku, quantity }: { kind: 'receipt' | 'recount'; sku: string; quantity: number },
  cause: Cause,
): Decision<Stock> {
  return (desk) => {
    desk.expectNew(`entry-${entryId}`);
    const made = desk.decide(entry, `entry-${entryId}`, { type: 'Make', kind, sku, quantity }, cause);
    if (made.length > 0) {
      const command =
        kind === 'receipt'
          ? ({ type: 'Receive', quantity } as const)
          : ({ type: 'Recount', counted: quantity } as const);
      desk.decide(stock, `stock-${sku}`, command, cause);
    }
    return desk.state(stock, `stock-${sku}`);
  };
}
