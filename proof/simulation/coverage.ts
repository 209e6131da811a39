/** What happened in the worlds: crash points, faults and endings, each with how often, and what was never reached. */
import { STRAYS } from '../../apps/payment/src/simulator/payment.js';
import { services, shop } from '../../apps/shop.js';
import type { Item } from './plan.js';
import { nameOf, points } from './fault-points.js';
import { order, type OrderEvent } from '../../apps/order/src/domain/order.js';
import { stateAfter } from '#decider';

export type Counts = Record<string, number>;

export interface Coverage {
  readonly crashPoints: Counts;
  readonly faults: Counts;
  readonly endings: Counts;
}

export function emptyCoverage(): Coverage {
  return { crashPoints: {}, faults: {}, endings: {} };
}

export function count(counts: Counts, name: string): void {
  counts[name] = (counts[name] ?? 0) + 1;
}

/** Adds the counts of another world. */
export function add(sum: Coverage, one: Coverage): void {
  for (const part of ['crashPoints', 'faults', 'endings'] as const) {
    for (const [name, times] of Object.entries(one[part])) sum[part][name] = (sum[part][name] ?? 0) + times;
  }
}

/** What an item of the plan is counted as when it strikes; undefined for what is no trouble. */
export function faultOf(item: Item): string | undefined {
  switch (item.kind) {
    case 'outage':
      return `outage: ${item.server} of ${item.service}`;
    case 'broken-table':
      return `table takes no rows: ${item.projection}`;
    case 'disconnect':
      return `broken connections: ${item.server} of ${item.service}`;
    case 'lost-lease':
      return `lost lease: ${item.lease}`;
    case 'delivered-twice':
      return `delivered twice: ${item.type} to ${item.service}`;
    case 'held-up':
      return `held up: ${item.topic} to ${item.service}`;
    case 'poison':
      return `cannot be written: ${item.service}`;
    case 'provider':
      return `provider: ${item.call}, ${item.how}`;
    case 'stray':
      return `provider, not asked for: ${item.how}`;
    case 'provider-down':
      return 'provider: down';
    case 'webhooks':
      return `webhooks: ${item.how}`;
    case 'error':
      return `step fails ${item.at.moment} its effect: ${item.at.service}`;
    case 'stall':
      return `step hangs ${item.at.moment} its effect: ${item.at.service}`;
    case 'crash':
      return `crash: ${item.at.service}`;
    case 'stop':
      return `stop: ${item.service}`;
    case 'operator':
      return `operator, at any time: ${item.decision}`;
    case 'cancel':
    case 'erasure':
    case 'second-instance':
    case 'order':
    case 'receipt':
    case 'recount':
    case 'price':
      return item.kind.replace('-', ' ');
    case 'inboxes':
      return 'operator, at any time: looks at the inboxes';
    case 'leap':
      return 'leap of time';
    case 'clock':
      return `clock set ${item.byMs < 0 ? 'back' : 'forward'}: ${item.service}`;
  }
}

/** How an order ended: its status and reason, and what became of what it held. */
export function endingOf(events: readonly OrderEvent[]): string {
  const state = stateAfter(order, events);
  if (state.status !== 'rejected' && state.status !== 'cancelled') return state.status;
  const stock = events.flatMap((event) => (event.type === 'OrderStockReleased' ? [event.data.outcome] : []));
  const money = events.flatMap((event) => (event.type === 'OrderPaymentReturned' ? [event.data.outcome] : []));
  const gone = [...stock.map((outcome) => `stock ${outcome}`), ...money.map((outcome) => `money ${outcome}`)];
  return [`${state.status} (${state.reason})`, ...gone].join(', ');
}

const each = <T extends string>(names: readonly T[], text: (name: T) => string) => names.map(text);

/** What there is to reach, declared: what a run did not reach is named, whatever it reached. */
export const expected: Readonly<Record<keyof Coverage, readonly string[]>> = {
  crashPoints: points.map(nameOf),
  faults: [
    ...services.flatMap((service) => [
      `crash: ${service}`,
      `stop: ${service}`,
      ...each(['store', 'bus', 'tables'], (server) => `outage: ${server} of ${service}`),
      ...shop[service].projections.map(({ name }) => `table takes no rows: ${name}`),
      ...each(['store', 'bus'], (server) => `broken connections: ${server} of ${service}`),
      ...each(shop[service].allLeases, (lease) => `lost lease: ${lease}`),
      ...each(['before', 'after'], (moment) => `step fails ${moment} its effect: ${service}`),
      ...each(['before', 'after'], (moment) => `step hangs ${moment} its effect: ${service}`),
      `cannot be written: ${service}`,
      `dead letter: ${service}`,
      ...each(['back', 'forward'], (how) => `clock set ${how}: ${service}`),
      ...shop[service].subscribes.flatMap(({ name, schemas }) => [
        `held up: ${name} to ${service}`,
        ...each(Object.keys(schemas), (type) => `delivered twice: ${type} to ${service}`),
      ]),
      ...each(['retry', 'call-off'], (decision) => `operator: ${decision} in ${service}`),
    ]),
    ...each(['authorize', 'capture', 'void', 'refund', 'find'], (call) => call).flatMap((call) =>
      each(['unavailable', 'request-lost', 'answer-lost'], (how) => `provider: ${call}, ${how}`),
    ),
    'provider: down',
    ...each(Object.values(STRAYS).flat(), (how) => `provider, not asked for: ${how}`),
    'operator: accept in order',
    ...each(['late', 'twice', 'lost'], (how) => `webhooks: ${how}`),
    ...each(['retry', 'skip'], (action) => `dead letter: ${action}`),
    ...each(['retry', 'call-off', 'looks at the inboxes'], (what) => `operator, at any time: ${what}`),
    'leap of time',
    'second instance',
    'order',
    'cancel',
    'erasure',
    'outage: keys of order',
    ...each(['at once', 'later'], (when) => `erasure: ${when}`),
    ...each(['cancels', 'waits for', 'reads the history of'], (what) => `stranger: ${what} an order`),
    'quota: an order is refused',
    'receipt',
    'recount',
    'price',
  ],
  endings: [
    'completed',
    'rejected (out-of-stock)',
    'rejected (payment-declined), stock released',
    'rejected (payment-declined), stock released, money voided',
    ...each(['customer', 'deadline', 'operator'], (reason) => `cancelled (${reason})`).flatMap((off) => [
      `${off}, stock nothing-held`,
      `${off}, stock released`,
      `${off}, stock released, money nothing-held`,
      `${off}, stock released, money voided`,
    ]),
    'cancelled (operator), stock released, money refunded',
    'cancelled (operator), stock returned, money voided',
    'cancelled (operator), stock returned, money refunded',
  ],
};

/** What was reached how often, and what was not. */
export function report(coverage: Coverage): string {
  const titles = { crashPoints: 'crash points', faults: 'faults', endings: 'endings' } as const;
  const lines: string[] = [];
  for (const part of ['crashPoints', 'faults', 'endings'] as const) {
    const counts = coverage[part];
    const never = expected[part].filter((name) => !counts[name]);
    const reached = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
    const total = reached.reduce((sum, [, times]) => sum + times, 0);
    lines.push(
      `${expected[part].length - never.length} of ${expected[part].length} ${titles[part]} reached, ${total} times in all:`,
    );
    for (const [name, times] of reached) lines.push(`${String(times).padStart(8)}  ${name}`);
    for (const name of never) lines.push(`   never  ${name}`);
    lines.push('');
  }
  return lines.map((line) => `${line}\n`).join('');
}
