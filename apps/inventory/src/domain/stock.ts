/**
 * The stock of one SKU, in units.
 *
 *            Receive                Reserve                Ship
 *   (world) ────────▶ available ──────────────▶ reserved ────────▶ (customer)
 *                      ▲   ▲ ▲                     │                   │
 *              Recount │   │ └────── Release ──────┘                   │
 *   (world) ◀──────────┘   └──────────────── Return ──────────────────┘
 *
 * Which order holds what is up to the reservation (reservation.ts). Here a hot SKU stays three numbers after a million
 * orders, so it loads and caches at the same cost as a new one.
 */
import { Conflict, type Decider, DomainError } from '#decider';

export type StockCommand =
  | { type: 'Receive'; quantity: number }
  | { type: 'Reserve'; orderId: string; quantity: number }
  | { type: 'Release'; orderId: string; quantity: number }
  | { type: 'Ship'; orderId: string; quantity: number }
  | { type: 'Return'; orderId: string; quantity: number }
  /**
   * `counted` units were found on the shelf: available and reserved ones together. `expected`: how many the books had on it
   * when it was counted, if that was not just now; what has moved since then is not taken for a difference.
   */
  | { type: 'Recount'; counted: number; expected?: number };

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type StockEvent =
  | { type: 'StockReceived'; data: { quantity: number } }
  | { type: 'StockReserved'; data: { orderId: string; quantity: number } }
  | { type: 'StockReleased'; data: { orderId: string; quantity: number } }
  | { type: 'StockShipped'; data: { orderId: string; quantity: number } }
  | { type: 'StockReturned'; data: { orderId: string; quantity: number } }
  /** `difference`: how many units more than were on the books when they were counted; fewer when it is negative. */
  | { type: 'StockRecounted'; data: { counted: number; difference: number } };

export interface Stock {
  readonly available: number;
  readonly reserved: number;
  readonly shipped: number;
}

export const stock: Decider<StockCommand, StockEvent, Stock> = {
  initialState: { available: 0, reserved: 0, shipped: 0 },

  decide(command, state) {
    switch (command.type) {
      case 'Receive': {
        const quantity = aboveZero(command.quantity);
        assertCountable(state.available + state.reserved + state.shipped + quantity);
        return [{ type: 'StockReceived', data: { quantity } }];
      }
      case 'Reserve': {
        const quantity = aboveZero(command.quantity);
        if (quantity > state.available) {
          throw new DomainError('out-of-stock', `${quantity} units were asked for, ${state.available} are available.`);
        }
        return [{ type: 'StockReserved', data: { orderId: command.orderId, quantity } }];
      }
      case 'Release':
        return [{ type: 'StockReleased', data: { orderId: command.orderId, quantity: heldOf(command, state) } }];
      case 'Ship':
        return [{ type: 'StockShipped', data: { orderId: command.orderId, quantity: heldOf(command, state) } }];
      case 'Return': {
        const quantity = aboveZero(command.quantity);
        if (quantity > state.shipped) {
          throw new DomainError(
            'not-shipped',
            `${quantity} units cannot come back: only ${state.shipped} were shipped.`,
          );
        }
        return [{ type: 'StockReturned', data: { orderId: command.orderId, quantity } }];
      }
      case 'Recount': {
        const { counted, expected = unitsOnShelf(state) } = command;
        if (!Number.isSafeInteger(counted) || counted < 0) {
          throw new DomainError('invalid-quantity', `A count is a whole number, not ${counted}.`);
        }
        const difference = counted - expected;
        const left = unitsOnShelf(state) + difference;
        if (left < state.reserved) {
          throw new Conflict(
            'reserved-stock-missing',
            `${state.reserved} units are reserved, but with this count there would be only ${left}.`,
          );
        }
        assertCountable(left + state.shipped);
        return difference === 0 ? [] : [{ type: 'StockRecounted', data: { counted, difference } }];
      }
    }
  },

  evolve(state, event) {
    switch (event.type) {
      case 'StockReceived':
        return { ...state, available: state.available + event.data.quantity };
      case 'StockReserved':
        return {
          ...state,
          available: state.available - event.data.quantity,
          reserved: state.reserved + event.data.quantity,
        };
      case 'StockReleased':
        return {
          ...state,
          available: state.available + event.data.quantity,
          reserved: state.reserved - event.data.quantity,
        };
      case 'StockShipped':
        return {
          ...state,
          reserved: state.reserved - event.data.quantity,
          shipped: state.shipped + event.data.quantity,
        };
      case 'StockReturned':
        return {
          ...state,
          available: state.available + event.data.quantity,
          shipped: state.shipped - event.data.quantity,
        };
      case 'StockRecounted':
        return { ...state, available: state.available + event.data.difference };
    }
  },
};

/** What a person can count: reserved units are on the shelf until they are shipped. */
export function unitsOnShelf({ available, reserved }: Stock): number {
  return available + reserved;
}

function aboveZero(quantity: number): number {
  if (!Number.isSafeInteger(quantity) || quantity <= 0) {
    throw new DomainError('invalid-quantity', `A quantity is a whole number above zero, not ${quantity}.`);
  }
  return quantity;
}

function assertCountable(units: number): void {
  if (!Number.isSafeInteger(units)) {
    throw new DomainError('stock-out-of-range', 'That is more stock than can be counted.');
  }
}

/** Only what is reserved can be released or shipped. Asking for more is a bug of our own, and changes nothing. */
function heldOf({ quantity }: { quantity: number }, state: Stock): number {
  if (aboveZero(quantity) > state.reserved) {
    throw new DomainError('not-reserved', `${quantity} units are not reserved, only ${state.reserved} are.`);
  }
  return quantity;
}
