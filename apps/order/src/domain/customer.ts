/**
 * What is kept of a customer's person: not the person, but under which keys their orders' recipients are sealed, and which
 * of the keys are to be erased. Who erases a key erases all that was ever sealed with it, wherever it is.
 *
 *             Keep                      RequestErasure                RecordErased
 *   (none) ──────────▶ (a key is open) ────────────────▶ (it is closed) ──────────▶ (it is erased)
 *                        ▲ Keep │
 *                        └──────┘                A closed key seals nothing any more: who orders again gets another one.
 *
 * An order and the note of its key are one append. So no order can use a key that was closed before, on whatever instance,
 * and the stream names every order that has to be settled before a key can go.
 */
import { Conflict, type Decider } from '#decider';

export type CustomerCommand =
  /** An order's recipient is sealed with the key `kid`. */
  | { type: 'Keep'; orderId: string; kid: string; placedAt: string }
  /** `retentionMs`: how long after the last order that it was used for a key is kept. */
  | { type: 'RequestErasure'; retentionMs: number }
  /** The keys are gone. */
  | { type: 'RecordErased'; kids: readonly string[] };

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type CustomerEvent =
  | { type: 'CustomerRecipientKept'; data: { orderId: string; kid: string; placedAt: string } }
  /** Who asked for it, and why, is in the metadata. `notBefore` (ISO 8601): until when the keys have to be kept. */
  | { type: 'CustomerErasureRequested'; data: { kids: readonly string[]; notBefore?: string } }
  | { type: 'CustomerErased'; data: { kids: readonly string[] } };

export interface CustomerKeyState {
  readonly kid: string;
  readonly status: 'open' | 'closed' | 'erased';
  /** The orders whose recipients are sealed with it; none once it is erased. */
  readonly orders: readonly string[];
  /** When the last of them was placed. */
  readonly lastPlacedAt: string;
  /** Of a closed key: until when it has to be kept. */
  readonly notBefore?: string;
}

export interface Customer {
  readonly keys: readonly CustomerKeyState[];
}

export const customer: Decider<CustomerCommand, CustomerEvent, Customer> = {
  initialState: { keys: [] },

  decide(command, { keys }) {
    switch (command.type) {
      case 'Keep': {
        const { orderId, kid, placedAt } = command;
        const key = keys.find((each) => each.kid === kid);
        if (key && key.status !== 'open') throw new Conflict(KEY_CLOSED, 'The key of this customer has been closed.');
        if (key?.orders.includes(orderId)) return [];
        return [{ type: 'CustomerRecipientKept', data: { orderId, kid, placedAt } }];
      }

      case 'RequestErasure': {
        const open = keys.filter(({ status }) => status === 'open');
        if (open.length === 0) return [];
        const { retentionMs } = command;
        const lastMs = Math.max(...open.map(({ lastPlacedAt }) => Date.parse(lastPlacedAt)));
        const notBefore = retentionMs > 0 && { notBefore: new Date(lastMs + retentionMs).toISOString() };
        return [{ type: 'CustomerErasureRequested', data: { kids: open.map(({ kid }) => kid), ...notBefore } }];
      }

      case 'RecordErased': {
        const kids = command.kids.filter((kid) => keys.some((key) => key.kid === kid && key.status === 'closed'));
        return kids.length > 0 ? [{ type: 'CustomerErased', data: { kids } }] : [];
      }
    }
  },

  evolve({ keys }, event) {
    switch (event.type) {
      case 'CustomerRecipientKept': {
        const { orderId, kid, placedAt } = event.data;
        const key = keys.find((each) => each.kid === kid) ?? { kid, orders: [], lastPlacedAt: placedAt };
        const lastPlacedAt = placedAt > key.lastPlacedAt ? placedAt : key.lastPlacedAt;
        const used: CustomerKeyState = { ...key, status: 'open', orders: [...key.orders, orderId], lastPlacedAt };
        return { keys: [...keys.filter((each) => each.kid !== kid), used] };
      }
      case 'CustomerErasureRequested': {
        const { kids, notBefore } = event.data;
        const close = (key: CustomerKeyState): CustomerKeyState => ({
          ...key,
          status: 'closed',
          ...(notBefore && { notBefore }),
        });
        return { keys: keys.map((key) => (kids.includes(key.kid) ? close(key) : key)) };
      }
      case 'CustomerErased': {
        const { kids } = event.data;
        return { keys: keys.map((key) => (kids.includes(key.kid) ? { ...key, status: 'erased', orders: [] } : key)) };
      }
    }
  },
};

/** The code with which a key is refused that seals nothing any more. */
export const KEY_CLOSED = 'key-closed';

/** The keys that an erasure was requested of, and that are still there. */
export function keysToErase({ keys }: Customer): readonly CustomerKeyState[] {
  return keys.filter(({ status }) => status === 'closed');
}
