/**
 * What is to be erased, and what has been: one row per customer who has asked for it. The loop of personal-data.ts finds
 * here whose keys are due, and which keys may not be there any more, even after the key store was restored from a backup.
 */
import { idOf } from '#event-store';
import { projection } from '#projections';
import type { CustomerEvent } from '../domain/customer.js';

export interface CustomerErasureRow {
  customer_id: string;
  /** The keys that are still to be erased, each with the moment from which it may be. */
  pending: readonly { readonly kid: string; readonly from: string }[];
  /** The keys that are gone. */
  erased: readonly string[];
  requested_at: string;
  /** When the first of the pending keys may be erased. Null when there is none. */
  due_at: string | null;
  /** When a key was erased last. Null before the first is. */
  erased_at: string | null;
}

export const customerErasure = projection<CustomerErasureRow, CustomerEvent>({
  name: 'customer-erasure',
  table: 'customer_erasure',
  categories: ['customer'],
  keyColumns: ['customer_id'],
  rowPerStream: true,
  key: (event) => ({ customer_id: idOf(event.stream) }),

  apply(row, event) {
    const at = event.recordedAt;
    switch (event.type) {
      case 'CustomerRecipientKept':
        return row;
      case 'CustomerErasureRequested': {
        const { kids, notBefore = at } = event.data;
        const pending = [...(row?.pending ?? []), ...kids.map((kid) => ({ kid, from: notBefore }))];
        const { erased = [], erased_at = null } = row ?? {};
        return {
          customer_id: idOf(event.stream),
          pending,
          erased,
          requested_at: at,
          due_at: firstOf(pending),
          erased_at,
        };
      }
      case 'CustomerErased': {
        if (!row) return undefined;
        const { kids } = event.data;
        const pending = row.pending.filter(({ kid }) => !kids.includes(kid));
        return { ...row, pending, erased: [...row.erased, ...kids], due_at: firstOf(pending), erased_at: at };
      }
    }
  },
});

function firstOf(pending: CustomerErasureRow['pending']): string | null {
  return pending.map(({ from }) => from).sort()[0] ?? null;
}
