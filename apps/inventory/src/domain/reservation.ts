/**
 * What one order holds of the stock: every line of it, or nothing.
 *
 *                  Reserve                Ship                Release
 *   (none) ───────────────────▶ (made) ─────────▶ (shipped) ─────────▶ (returned)   A person called the order off
 *     │ │        enough           │                                                 after it was shipped.
 *     │ │ Reserve                 │ Release
 *     │ └────────▶ (rejected)     └─────────────▶ (released)
 *     │ too little
 *     │ Release
 *     └──────────▶ (blocked)      The order was called off before its request came: the tombstone refuses it.
 *
 * It is written together with the stock of every SKU it touches, in one append (warehouse.ts).
 */
import { Conflict, type Decider, DomainError } from '#decider';

export interface ReservationLine {
  readonly sku: string;
  readonly quantity: number;
}

export type ReservationCommand =
  /** `short` names the SKUs of which there is too little. */
  | { type: 'Reserve'; lines: readonly ReservationLine[]; short: readonly string[] }
  | { type: 'Release' }
  /** From a person: releases a hold that the order has not decided about. */
  | { type: 'GiveUp' }
  | { type: 'Ship' };

type Held = { lines: readonly ReservationLine[] };

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type ReservationEvent =
  | { type: 'ReservationMade'; data: Held }
  | { type: 'ReservationRejected'; data: { short: readonly string[] } }
  | { type: 'ReservationReleased'; data: Held }
  | { type: 'ReservationShipped'; data: Held }
  | { type: 'ReservationReturned'; data: Held }
  | { type: 'ReservationBlocked'; data: Record<string, never> };

export type Reservation =
  | { readonly status: 'none' | 'rejected' | 'released' | 'returned' | 'blocked' }
  | { readonly status: 'made' | 'shipped'; readonly lines: readonly ReservationLine[] };

export const reservation: Decider<ReservationCommand, ReservationEvent, Reservation> = {
  initialState: { status: 'none' },

  decide(command, state) {
    switch (command.type) {
      case 'Reserve': {
        const { lines, short } = command;
        if (state.status !== 'none') return [];
        return short.length > 0
          ? [{ type: 'ReservationRejected', data: { short } }]
          : [{ type: 'ReservationMade', data: { lines } }];
      }
      case 'Release':
        return release(state);
      case 'GiveUp':
        if (state.status === 'made') return release(state);
        throw new Conflict('nothing-held', `Nothing is held without a verdict: the reservation is ${state.status}.`);
      case 'Ship':
        return ship(state);
    }
  },

  evolve(_state, event) {
    switch (event.type) {
      case 'ReservationMade':
        return { status: 'made', lines: event.data.lines };
      case 'ReservationRejected':
        return { status: 'rejected' };
      case 'ReservationReleased':
        return { status: 'released' };
      case 'ReservationShipped':
        return { status: 'shipped', lines: event.data.lines };
      case 'ReservationReturned':
        return { status: 'returned' };
      case 'ReservationBlocked':
        return { status: 'blocked' };
    }
  },
};

function release(state: Reservation): readonly ReservationEvent[] {
  switch (state.status) {
    case 'none':
      return [{ type: 'ReservationBlocked', data: {} }];
    case 'made':
      return [{ type: 'ReservationReleased', data: { lines: state.lines } }];
    case 'shipped':
      return [{ type: 'ReservationReturned', data: { lines: state.lines } }];
    case 'rejected':
    case 'released':
    case 'returned':
    case 'blocked':
      return [];
  }
}

function ship(state: Reservation): readonly ReservationEvent[] {
  switch (state.status) {
    case 'made':
      return [{ type: 'ReservationShipped', data: { lines: state.lines } }];
    case 'shipped':
      return [];
    // A duplicate request, after the order was called off.
    case 'released':
    case 'returned':
      return [];
    case 'none':
    case 'rejected':
    case 'blocked':
      throw new DomainError('nothing-reserved', `There is nothing to ship: the reservation is ${state.status}.`);
  }
}
