/**
 * A booking of goods, a receipt or a recount, as an entry in the books of the stock: under the Idempotency-Key that it was
 * sent with.
 *
 *            Make
 *   (none) ───────▶ (made)      Booked again with the same contents, it is the same entry, and gets its answer again.
 *
 * It is written together with the stock, in one append: a request that is sent twice counts once, and the stock itself
 * need not remember every receipt there ever was. The entry keeps what it was answered with, so that the answer is the same
 * after years, however the stock has moved since.
 */
import { type Decider, DomainError } from '#decider';

/** What was booked. */
export interface Booking {
  readonly kind: 'receipt' | 'recount';
  readonly sku: string;
  /** Units that came in, or that were counted. */
  readonly quantity: number;
  /** Of a recount: the position in the store as of which it was counted, in digits; the present one if it is left out. */
  readonly asOf?: string;
}

/** The stock afterwards, and of a recount by how many units it was corrected. */
export interface BookingAnswer {
  readonly available: number;
  readonly reserved: number;
  readonly shipped: number;
  readonly difference?: number;
}

export type EntryCommand = { type: 'Make'; booking: Booking; answer: BookingAnswer };

/**
 * Stored as it stands: a change needs an upcaster (upcasters.ts) and a golden file. Entries of the first releases have no
 * `answer`.
 */
export type EntryEvent = { type: 'EntryMade'; data: Booking & { readonly answer?: BookingAnswer } };

export type Entry = { readonly status: 'none' } | ({ readonly status: 'made' } & EntryEvent['data']);

export const entry: Decider<EntryCommand, EntryEvent, Entry> = {
  initialState: { status: 'none' },

  decide({ booking, answer }, state) {
    if (state.status === 'none') return [{ type: 'EntryMade', data: { ...booking, answer } }];
    if (contentsOf(state) === contentsOf(booking)) return [];
    throw new DomainError('idempotency-key-reused', 'This Idempotency-Key was used for another entry.');
  },

  evolve(_state, { data }) {
    return { status: 'made', ...data };
  },
};

function contentsOf({ kind, sku, quantity, asOf }: Booking): string {
  return JSON.stringify([kind, sku, quantity, asOf]);
}
