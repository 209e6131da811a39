/** What keeps a world from being over: orders that are not final, and work that is not done. */
import { type Service, services, shop } from '../../apps/shop.js';
import { customer, type CustomerEvent, keysToErase } from '../../apps/order/src/domain/customer.js';
import { isSettled, order, type OrderEvent } from '../../apps/order/src/domain/order.js';
import type { MemoryLedger } from '../../apps/payment/src/simulator/ledger.js';
import { stateAfter } from '#decider';
import type { MemoryLog } from '#message-bus';
import type { Servers } from './process.js';
import { streamsOf, type Violation } from './violations.js';

interface Books {
  readonly servers: Readonly<Record<Service, Servers>>;
  readonly log: MemoryLog;
  readonly ledger: MemoryLedger;
  readonly webhooksUnderWay: number;
}

/** Relays and read models that are behind the last event. */
export async function behind({ servers }: Pick<Books, 'servers'>): Promise<string[]> {
  const found: string[] = [];
  for (const service of services) {
    const { tables, checkpoints, events } = servers[service];
    const head = BigInt(events.all.length);
    if ((await checkpoints.load(service)) < head) found.push(`the relay of ${service} is behind`);
    for (const projection of shop[service].projections) {
      if ((await tables.checkpoint(projection)) < head) found.push(`${projection.name} is behind`);
    }
  }
  return found;
}

/** Where nothing hinders them any longer and nothing happens, relays and read models are at the last event in a moment. */
export async function heldUp(books: Pick<Books, 'servers'>): Promise<Violation[]> {
  return (await behind(books)).map((text) => ({ rule: 'held-up', text: `At rest, ${text}.`, orders: [] }));
}

/** What is not final yet, in words. */
export async function unfinished({ servers, log, ledger, webhooksUnderWay }: Books): Promise<string[]> {
  const found = await behind({ servers });
  for (const [id, events] of streamsOf<OrderEvent>(servers.order.events.all, 'order')) {
    const state = stateAfter(order, events);
    if (!isSettled(state)) found.push(`${id}, ${state.status}`);
  }
  for (const [id, events] of streamsOf<CustomerEvent>(servers.order.events.all, 'customer')) {
    if (keysToErase(stateAfter(customer, events)).length > 0) found.push(`the data of ${id} is not erased`);
  }
  for (const service of services) {
    const { parked } = servers[service];
    const keys: string[] = [];
    for (const { name } of shop[service].subscribes) {
      const { messages, stored } = log.subscription(service, name);
      if (messages.some((partition, i) => stored[i]! < partition.length)) found.push(`${service} has not read ${name}`);
      keys.push(...messages.flat().map(({ key }) => key));
    }
    if ((await parked.parkedKeys(service, keys))?.size) found.push(`${service} has parked messages`);
  }
  const held = (await ledger.totals()).reduce((sum, { heldMinor }) => sum + heldMinor, 0n);
  if (held !== 0n) found.push(`the provider holds ${held}`);
  // What the provider did by itself long ago may still be news.
  if (webhooksUnderWay > 0) found.push(`${webhooksUnderWay} webhooks are under way`);
  return found;
}

/**
 * Orders whose deadline passed before `beforeMs` and that still wait: there are none where nothing hinders the watchdog
 * any longer, not even the lease of a process that was killed.
 */
export function missedDeadlines({ servers }: Pick<Books, 'servers'>, beforeMs: number): Violation[] {
  const found: Violation[] = [];
  for (const [id, events] of streamsOf<OrderEvent>(servers.order.events.all, 'order')) {
    const state = stateAfter(order, events);
    if (state.status !== 'placed' && state.status !== 'stock-reserved') continue;
    if (Date.parse(state.terms.deadlineAt) > beforeMs) continue;
    found.push({ rule: 'deadline-missed', text: `The ${id} waits past its deadline.`, orders: [id] });
  }
  return found;
}
