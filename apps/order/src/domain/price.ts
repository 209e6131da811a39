/**
 * The price of one SKU, in order's own price list.
 *
 *            Set               Withdraw
 *   (none) ───────▶ (set) ──┬───────────▶ (withdrawn)      What has no price is not sold.
 *                     ▲ Set │                  │
 *                     └─────┘                  │
 *                     ▲          Set           │
 *                     └────────────────────────┘
 *
 * An order keeps the prices that it was placed at, so a new price changes nothing that was already sold.
 */
import { type Decider, DomainError, NotFound } from '#decider';

export type PriceCommand = { type: 'Set'; amountMinor: number; currency: string } | { type: 'Withdraw' };

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type PriceEvent =
  | { type: 'PriceSet'; data: { amountMinor: number; currency: string } }
  | { type: 'PriceWithdrawn'; data: Record<string, never> };

export type Price =
  | { readonly status: 'none' | 'withdrawn' }
  | { readonly status: 'set'; readonly amountMinor: number; readonly currency: string };

export const price: Decider<PriceCommand, PriceEvent, Price> = {
  initialState: { status: 'none' },

  decide(command, state) {
    switch (command.type) {
      case 'Set': {
        const { amountMinor, currency } = command;
        if (!Number.isSafeInteger(amountMinor) || amountMinor < 0) {
          throw new DomainError('invalid-amount', `An amount is a whole number of minor units, not ${amountMinor}.`);
        }
        if (state.status === 'set' && state.amountMinor === amountMinor && state.currency === currency) return [];
        return [{ type: 'PriceSet', data: { amountMinor, currency } }];
      }
      case 'Withdraw':
        if (state.status === 'none') throw new NotFound('price-not-found', 'This SKU has never had a price.');
        return state.status === 'set' ? [{ type: 'PriceWithdrawn', data: {} }] : [];
    }
  },

  evolve(_state, event) {
    switch (event.type) {
      case 'PriceSet':
        return { status: 'set', amountMinor: event.data.amountMinor, currency: event.data.currency };
      case 'PriceWithdrawn':
        return { status: 'withdrawn' };
    }
  },
};
