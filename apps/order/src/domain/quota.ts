/**
 * What one customer may have under way: so many open orders, so that nobody holds all stock by paying slowly.
 *
 *   (under way: a b) ── Take c ──▶ (under way: a b c) ── Take d, a is settled ──▶ (under way: b c d)
 *
 * A place is taken in the append that places its order, so neither is ever without the other. It is not given back when the
 * order is settled: that stands in the order's own stream, and nobody has to know until all places are taken. Then
 * service.ts finds out which of those orders are settled, and the next one to be placed takes the place of these.
 */
import { Conflict, type Decider } from '#decider';

export type QuotaCommand = {
  type: 'Take';
  orderId: string;
  /** How many there may be. */
  limit: number;
  /** Orders that are known to be settled. */
  settled: readonly string[];
};

/** Stored as they stand: a change needs an upcaster (upcasters.ts) and a golden file. */
export type QuotaEvent =
  /** `settled` are the orders whose places are free from here on; absent: none was looked at. */
  { type: 'QuotaTaken'; data: { orderId: string; settled?: readonly string[] } };

export interface Quota {
  /** The orders that were not settled when all places were taken the last time, and those placed since, the oldest first. */
  readonly underWay: readonly string[];
}

export class QuotaExceeded extends Conflict {
  constructor(readonly underWay: readonly string[]) {
    super(
      'too-many-open-orders',
      'The customer has as many open orders as they may: wait until one is settled, or cancel one.',
      { openOrders: underWay },
    );
  }
}

export const quota: Decider<QuotaCommand, QuotaEvent, Quota> = {
  initialState: { underWay: [] },

  decide({ orderId, limit, settled }, { underWay }) {
    const freed = underWay.filter((each) => settled.includes(each));
    if (underWay.length - freed.length >= limit) throw new QuotaExceeded(underWay);
    return [{ type: 'QuotaTaken', data: { orderId, ...(freed.length > 0 && { settled: freed }) } }];
  },

  evolve({ underWay }, { data: { orderId, settled = [] } }) {
    return { underWay: [...underWay.filter((each) => !settled.includes(each)), orderId] };
  },
};
