/**
 * Decisions that touch several streams at once: a reservation and the stock of each of its SKUs, or a booking and the
 * stock of its SKU, written together or not at all. Each is pure; those that wait for the same SKUs are decided together
 * and share one append.
 */
import type { Cause, Decision, Desk } from '#event-store';
import type { CheckoutCommand } from './messaging/reactions.js';
import { type Booking, type BookingAnswer, entry } from './domain/entry.js';
import { reservation, type ReservationEvent, type ReservationLine } from './domain/reservation.js';
import { stock } from './domain/stock.js';

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

/**
 * Books a receipt or a recount, once for each entry id; again, it returns the first answer. `expected`: of a recount as of a
 * position, how many units the books had on the shelf there.
 */
export function decideBooking(
  entryId: string,
  booking: Booking,
  cause: Cause,
  expected?: number,
): Decision<BookingAnswer> {
  const entryStream = `entry-${entryId}`;
  const stockStream = `stock-${booking.sku}`;
  return (desk) => {
    desk.expectNew(entryStream);
    const made = desk.state(entry, entryStream);
    const answer = made.status === 'none' ? correctStock() : (made.answer ?? desk.state(stock, stockStream));
    desk.decide(entry, entryStream, { type: 'Make', booking, answer }, cause);
    return answer;

    function correctStock(): BookingAnswer {
      const { kind, quantity } = booking;
      if (kind === 'receipt') {
        desk.decide(stock, stockStream, { type: 'Receive', quantity }, cause);
        return desk.state(stock, stockStream);
      }
      const recount = { type: 'Recount', counted: quantity, ...(expected !== undefined && { expected }) } as const;
      const [recounted] = desk.decide(stock, stockStream, recount, cause);
      const difference = recounted?.type === 'StockRecounted' ? recounted.data.difference : 0;
      return { ...desk.state(stock, stockStream), difference };
    }
  };
}
