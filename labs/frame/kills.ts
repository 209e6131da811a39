/**
 * A process is killed at every durable step of a way, before and after it. What is looked at: where the order is then,
 * whether another customer gets the same goods meanwhile, and what recovery makes of it.
 *
 *   a process places an order ─▶ kill -9 at the step ─▶ another customer orders the same ─▶ recover ─▶ judge
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { preparedAt, receive } from './books.js';
import type { Finding } from '../../scripts/lib/reconcile/finding.js';
import { findingsOf, isHeldIn, whereabouts } from './judge.js';
import { orderIdOf } from './load.js';
import { type Moment, type Told, Watch } from './watch.js';
import type { Databases, Lab, Wanted, Way } from './way.js';

const VICTIM = resolve('dist/labs/frame/victim.js');

export const moments: readonly Moment[] = ['before', 'after'];

export interface Kill {
  readonly step: string;
  readonly moment: Moment;
}

/** The message to a victim: what to place, and where to die. */
export interface Doom extends Kill {
  readonly lab: string;
  readonly way: string;
  readonly databases: Databases;
  readonly wanted: Wanted;
}

export interface Killed extends Kill {
  /** Where the order was found. */
  readonly left: string;
  /** Whether somebody has done something for an order that is not final: it is not known yet how it ends. */
  readonly inDoubt: boolean;
  /** Whether another customer could buy the same goods before recovery. */
  readonly othersWait: boolean;
  /** From the kill until recovery was through, which begins `RESTART_MS` after it. */
  readonly decidedMs: number;
  /** Whether nobody else gets the order's units: until it is decided, or because it never is. */
  readonly held: 'no' | 'until decided' | 'for ever';
  readonly end: string;
  /** What the judge says of it. */
  readonly wrong: readonly Finding[];
}

/**
 * How long it takes until there is a process again in the place of the one that died. Another customer who has not got
 * the goods by then has waited for it.
 */
export const RESTART_MS = 500;

export const killsOf = (way: Way): Kill[] =>
  way.steps.flatMap((step) => moments.map((moment): Kill => ({ step, moment })));

/** `nth` makes the goods of this kill its own. */
export async function killAt(lab: Lab, way: Way, databases: Databases, kill: Kill, nth: number): Promise<Killed> {
  const sku = `killed-${nth}`;
  await receive(databases, { [sku]: 2 });
  const wanted = (customer: string) => wantedBy(customer, nth, sku);
  const { orderId } = wanted('anna');
  await strike(lab, way, databases, kill, wanted('anna'));

  const killedMs = performance.now();
  const left = await whereabouts(databases, orderId);
  const undone = await findingsOf(databases, orderId);
  const prepared = await preparedAt(databases);
  const next = way.open(databases, new Watch());
  const other = next.place(wanted('ben'));
  const restart = sleep(RESTART_MS, true);
  const othersWait = await Promise.race([other.then(() => false), restart]);
  await restart;
  await next.recover();
  const decidedMs = performance.now() - killedMs;
  await other;
  await next.close();
  const wrong = await findingsOf(databases, orderId);
  const end = await whereabouts(databases, orderId);
  const inDoubt = undone.length + prepared.length > 0;
  const held = isHeldIn(end) ? 'for ever' : othersWait || isHeldIn(left) ? 'until decided' : 'no';
  return { ...kill, left, inDoubt, othersWait, decidedMs, held, end, wrong };
}

export const wantedBy = (customer: string, nth: number, sku: string): Wanted => ({
  orderId: orderIdOf(nth, customer),
  customer,
  lines: [{ sku, quantity: 1 }],
  token: 'approved',
});

/** A process places an order, and is killed at that step. Resolves with what it did until then. */
export async function strike(lab: Lab, way: Way, databases: Databases, kill: Kill, wanted: Wanted): Promise<Told> {
  const victim = fork(VICTIM, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let told: Told | undefined;
  victim.on('message', (message) => (told = message as Told));
  victim.send({ ...kill, lab: lab.name, way: way.name, databases, wanted } satisfies Doom);
  const [, signal] = (await once(victim, 'exit')) as [number | null, NodeJS.Signals | null];
  if (signal !== 'SIGKILL' || !told) throw new Error(`${way.name}: it was not killed ${kill.moment} “${kill.step}”.`);
  return told;
}
