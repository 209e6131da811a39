/**
 * The price of one SKU, in order's own price list.
 *
 *            Set
 *   (none) ───────▶ (set) ──┐
 *                     ▲ Set │
 *                     └─────┘
 *
 * An order keeps the prices that it was placed at, so a new price changes nothing that was already sold.
 */
import { type Decider, DomainError } from '#decider';

export type PriceCommand = { type: 'Set'; amountMinor: number; currency: string };

/** Stored as it stands: a change needs an upcaster (upcasters.ts) and a golden file. */
export type PriceEvent = { type: 'PriceSet'; data: { amountMinor: number; currency: string } };

export type Price =
  { readonly status: 'none' } | { readonly status: 'set'; readonly amountMinor: number; readonly currency: string };

export const price: Decider<PriceCommand, PriceEvent, Price> = {
  initialState: { status: 'none' },

  decide({ amountMinor, currency }, state) {
    if (!Number.isSafeInteger(amountMinor) || amountMinor < 0) {
      throw new DomainError('invalid-amount', `An amount is a whole number of minor units, not ${amountMinor}.`);
    }
    if (state.status === 'set' && state.amountMinor === amountMinor && state.currency === currency) return [];
    return [{ type: 'PriceSet', data: { amountMinor, currency } }];
  },

  evolve(_state, { data: { amountMinor, currency } }) {
    return { status: 'set', amountMinor, currency };
  },
};
