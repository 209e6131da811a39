/** How long the items of a plan matter, for those who wait for their end or judge what they excuse. */
import { POISON_MS } from './faults.js';
import type { Item } from './plan.js';

const SECOND = 1_000;

/** How long an item lasts, or lies in wait at most. */
export function lastsMs(item: Item): number {
  if (item.kind === 'poison') return POISON_MS;
  if ('forMs' in item && item.kind !== 'stall') return item.forMs;
  return 10 * SECOND + ('downMs' in item ? item.downMs : 0);
}

/** How much later an item may make the end of an order, roughly and rather too much. */
export function delaysMs(item: Item): number {
  switch (item.kind) {
    case 'crash':
      return item.downMs + item.freeMs + 3 * SECOND;
    case 'stop':
      return item.downMs + 3 * SECOND;
    case 'error':
    case 'provider':
      return 4 * SECOND * item.times;
    case 'disconnect':
      return 2 * SECOND;
    case 'lost-lease':
      return item.noticeMs + 2 * SECOND;
    case 'stall':
    case 'held-up':
    case 'outage':
    case 'broken-table':
    case 'provider-down':
      return item.forMs + 3 * SECOND;
    case 'poison':
    case 'leap':
    case 'clock':
      return Infinity;
    case 'order':
    case 'cancel':
    case 'erasure':
    case 'receipt':
    case 'recount':
    case 'price':
    case 'operator':
    case 'inboxes':
    case 'second-instance':
    case 'delivered-twice':
    case 'webhooks':
    case 'stray':
      return 0;
  }
}

/** How long an item may keep the order service from minding its deadlines, at most. */
export function hindersMs(item: Item): number {
  if (item.kind === 'leap') return item.ms;
  // Deadlines are kept by the clock of the machine.
  if (item.kind === 'clock') return item.service === 'order' ? Math.abs(item.byMs) : 0;
  const service = 'at' in item ? item.at.service : 'service' in item ? item.service : undefined;
  return service === 'order' ? lastsMs(item) + ('forMs' in item ? item.forMs : 0) : 0;
}
