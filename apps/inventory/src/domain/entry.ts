/**
 * A booking of goods, a receipt or a recount, as an entry in the books of the stock: under the Idempotency-Key that it was
 * sent with.
 *
 *            Make
 *   (none) ───────▶ (made)      Booked again with the same contents, it is the same entry.
 *
 * It is written together with the stock, in one append: a request that is sent twice counts once, and the stock itself
 * need not remember every receipt there ever was.
 */
import { type Decider, DomainError } from '#decider';

export type EntryCommand = { type: 'Make'; kind: 'receipt' | 'recount'; sku: string; quantity: number };

/** Stored as it stands: a change needs an upcaster (upcasters.ts) and a golden file. */
export type EntryEvent = { type: 'EntryMade'; data: { kind: 'receipt' | 'recount'; sku: string; quantity: number } };

export type Entry = { readonly status: 'none' } | ({ readonly status: 'made' } & EntryEvent['data']);

export const entry: Decider<EntryCommand, EntryEvent, Entry> = {
  initialState: { status: 'none' },

  decide({ kind, sku, quantity }, state) {
    if (state.status === 'none') return [{ type: 'EntryMade', data: { kind, sku, quantity } }];
    if (state.kind === kind && state.sku === sku && state.quantity === quantity) return [];
    throw new DomainError('idempotency-key-reused', 'This Idempotency-Key was used for another entry.');
  },

  evolve(_state, { data }) {
    return { status: 'made', ...data };
  },
};
