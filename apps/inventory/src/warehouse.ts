/**
 * Decisions that touch several streams at once: a reservation and the stock of each of its SKUs, or a booking and the
 * stock of its SKU, written together or not at all. Each is pure; those that wait for the same SKUs are decided together
 * and share one append.
 */
import type { Cause, Decision, Desk } from '#event-store';
import type { CheckoutCommand } from './messaging/reactions.js';
import { entry } from './domain/entry.js';
import { reservation, type ReservationEvent, type ReservationLine } from './domain/reservation.js';
import { type Stock, stock } from './domain/stock.js';

/** What a reservation's event means for the stock of each of its lines. */
const MOVES = {
  ReservationMade: 'Reserve',
  ReservationReleased: 'Release',
  ReservationShipped: 'Ship',
  ReservationReturned: 'Return',
} as const;

/** Reserves every line of an order or none, ships them, or gives them back; GiveUp is a person's decision. */
export function decideCheckout(
  orderId: string,
  command: CheckoutCommand | { type: 'GiveUp' },
  cause: Cause,
): Decision<readonly ReservationEvent[]> {
  const stream = `reservation-${orderId}`;
  return (desk) => {
    if (command.type === 'Reserve') desk.expectNew(stream);
    const full = command.type === 'Reserve' ? { ...command, short: shortOf(command.lines, desk) } : command;
    const events = desk.decide(reservation, stream, full, cause);
    for (const event of events) {
      if (event.type === 'ReservationRejected' || event.type === 'ReservationBlocked') continue;
      for (const { sku, quantity } of event.data.lines) {
        desk.decide(stock, `stock-${sku}`, { type: MOVES[event.type], orderId, quantity }, cause);
      }
    }
    return events;
  };
}

/** The SKUs of which there is too little. */
function shortOf(lines: readonly ReservationLine[], desk: Desk): string[] {
  const short = lines.filter(({ sku, quantity }) => desk.state(stock, `stock-${sku}`).available < quantity);
  return short.map(({ sku }) => sku);
}

/** Books a receipt or a recount, once for each entry id. Returns the stock afterwards. */
export function decideBooking(
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
