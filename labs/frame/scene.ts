/** A small scene that is told and drawn: two customers, anna and ben, want the last jar of honey at the same moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connected, openBooks, receive } from './books.js';
import { whereabouts } from './judge.js';
import { type Kill, RESTART_MS, strike } from './kills.js';
import { orderIdOf } from './load.js';
import { type Hold, type Span, type Step, Watch } from './watch.js';
import type { Databases, Lab, Wanted, Way } from './way.js';

export const customers = ['anna', 'ben'] as const;
export type Customer = (typeof customers)[number];

/** A session that waited for a lock of another one. */
export interface Wait {
  readonly who: Customer;
  readonly forWhom: Customer;
  readonly fromMs: number;
  readonly toMs: number;
}

export interface Scene {
  readonly spans: readonly Span[];
  readonly holds: readonly Hold[];
  readonly waits: readonly Wait[];
  /** When anna's process was killed, and when another one was there. */
  readonly killed?: { readonly atMs: number; readonly untilMs: number };
  readonly ends: Readonly<Record<Customer, string>>;
}

const orderIds = customers.map((customer) => orderIdOf(0, customer));
export const customerOf = (orderId: string): Customer => customers[orderIds.indexOf(orderId)]!;

/** A scene of a lab: one of its ways, and where anna's process is killed, if it is. */
export interface Script {
  readonly title: string;
  readonly way: Way;
  readonly kill?: Kill;
}

/** The scenes of a lab: of each of these ways, and of the kill that says more than the tables. */
export function scriptsOf({ ways, picturedKill: kill }: Lab, shown: readonly Way[]): Script[] {
  const scripts: Script[] = shown.map((way) => ({
    title: way.wrong ? `${way.name} (wrong: ${way.wrong})` : way.name,
    way,
  }));
  const struck = ways.find(({ name }) => name === kill?.way);
  if (!kill || !struck) return scripts;
  return [...scripts, { title: `${kill.way}, killed ${kill.moment} “${kill.step}”`, way: struck, kill }];
}

/** Plays a scene; `say` gets a line for each step, before which it lasts `pauseMs`. */
export async function play(
  lab: Lab,
  { way, kill }: Script,
  databases: Databases,
  say: (line: string) => void,
  pauseMs = 0,
): Promise<Scene> {
  await openBooks(databases);
  await receive(databases, { honey: 1 });
  const tell = (ms: number, words: string) => say(`${`${Math.round(ms)}`.padStart(6)} ms  ${words}`);
  const tellStep = (ms: number, { name, at, orderId }: Step) =>
    tell(ms, `${customerOf(orderId).padEnd(5)} ${at.padEnd(9)}  ${name}`);
  const watch: Watch = new Watch(async (moment, step) => {
    if (moment === 'before') await sleep(pauseMs);
    else tellStep(watch.nowMs(), step);
  });
  const checkout = way.open(databases, watch, PROVIDER_MS);
  const ended = new AbortController();
  const { order, inventory, payment } = databases;
  const servers = [...new Set([order, inventory, payment])];
  const lines = [{ sku: 'honey', quantity: 1 }];
  const wanted = customers.map((customer, i): Wanted => ({
    orderId: orderIds[i]!,
    customer,
    lines,
    token: 'approved',
  }));
  let waits: Promise<Wait[][]> = Promise.resolve([]);
  let killed: Scene['killed'];
  const watchAll = () => {
    waits = Promise.all(servers.map((url) => watchLocks(url, watch, ended.signal, tell)));
  };
  try {
    if (kill) {
      const [anna, ben] = wanted;
      const told = await strike(lab, way, databases, kill, anna!);
      watch.add(told);
      const died = watch.spans.reduce((latest, { toMs }) => Math.max(latest, toMs), 0);
      watch.spans.forEach((span) => tellStep(span.toMs, span));
      tell(died, `anna’s process is killed ${kill.moment} “${kill.step}”`);
      watchAll();
      const other = checkout.place(ben!);
      await sleep(RESTART_MS + pauseMs);
      killed = { atMs: died, untilMs: watch.nowMs() };
      tell(killed.untilMs, 'another process is there, and recovers');
      await checkout.recover();
      await other;
    } else {
      watchAll();
      await Promise.all(wanted.map((each) => checkout.place(each)));
    }
  } finally {
    ended.abort();
    await checkout.close();
  }
  const [anna, ben] = await Promise.all(orderIds.map((orderId) => whereabouts(databases, orderId)));
  return {
    spans: watch.spans,
    holds: watch.holds,
    waits: (await waits).flat(),
    ...(killed && { killed }),
    ends: { anna: anna!, ben: ben! },
  };
}

/** Long enough to be seen in the picture. */
const PROVIDER_MS = 60;
const LOOK_EVERY_MS = 3;

/** Who waits for the other, as Postgres has it: each session that checks out has the order's id for its name. */
async function watchLocks(
  url: string,
  watch: Watch,
  signal: AbortSignal,
  tell: (ms: number, words: string) => void,
): Promise<Wait[]> {
  const waits: Wait[] = [];
  await connected(url, async (client) => {
    let open: Wait | undefined;
    while (!signal.aborted) {
      const { rows } = await client.query<{ who: string }>(
        `SELECT application_name AS who FROM pg_stat_activity
         WHERE application_name = ANY ($1) AND cardinality(pg_blocking_pids(pid)) > 0 LIMIT 1`,
        [orderIds],
      );
      const [row, nowMs] = [rows[0], watch.nowMs()];
      if (row) {
        const who = customerOf(row.who);
        const forWhom = customers.find((each) => each !== who)!;
        if (!open) tell(nowMs, `${who.padEnd(5)} waits for ${forWhom}`);
        open = { who, forWhom, fromMs: open?.fromMs ?? nowMs, toMs: nowMs };
      } else if (open) {
        waits.push({ ...open, toMs: nowMs });
        open = undefined;
      }
      await sleep(LOOK_EVERY_MS);
    }
    if (open) waits.push(open);
  });
  return waits;
}
