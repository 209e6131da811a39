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
import { findingsOf, whereabouts } from './judge.js';
import { orderIdOf } from './load.js';
import { type Moment, Watch } from './watch.js';
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
  /** From the kill until recovery was through. */
  readonly decidedMs: number;
  readonly end: string;
  /** What the judge says of it. */
  readonly wrong: readonly Finding[];
}

/** How long another customer waits before it counts as waiting for the one that died. */
const PATIENCE_MS = 1_000;

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
  const othersWait = await Promise.race([other.then(() => false), sleep(PATIENCE_MS, true)]);
  await next.recover();
  const decidedMs = performance.now() - killedMs;
  await other;
  await next.close();
  const wrong = await findingsOf(databases, orderId);
  const end = await whereabouts(databases, orderId);
  const inDoubt = undone.length + prepared.length > 0;
  return { ...kill, left, inDoubt, othersWait, decidedMs, end, wrong };
}

export const wantedBy = (customer: string, nth: number, sku: string): Wanted => ({
  orderId: orderIdOf(nth, customer),
  customer,
  lines: [{ sku, quantity: 1 }],
  token: 'approved',
});

/** A process places an order, and is killed at that step. */
export async function strike(lab: Lab, way: Way, databases: Databases, kill: Kill, wanted: Wanted): Promise<void> {
  const victim = fork(VICTIM, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  victim.send({ ...kill, lab: lab.name, way: way.name, databases, wanted } satisfies Doom);
  const [, signal] = (await once(victim, 'exit')) as [number | null, NodeJS.Signals | null];
  if (signal !== 'SIGKILL') throw new Error(`${way.name}: it was not killed ${kill.moment} “${kill.step}”.`);
}
