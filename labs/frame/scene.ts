/** A small scene that is told and drawn: two customers, anna and ben, want the last jar of honey at the same moment. */
import { setTimeout as sleep } from 'node:timers/promises';
import { connected, openBooks, receive } from './books.js';
import { whereabouts } from './judge.js';
import { orderIdOf } from './load.js';
import { type Hold, type Span, Watch } from './watch.js';
import type { Databases, Way } from './way.js';

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
  readonly ends: Readonly<Record<Customer, string>>;
}

const orderIds = customers.map((customer) => orderIdOf(0, customer));
export const customerOf = (orderId: string): Customer => customers[orderIds.indexOf(orderId)]!;

/** Plays the scene; `say` gets a line for each step, before which it lasts `pauseMs`. */
export async function play(way: Way, databases: Databases, say: (line: string) => void, pauseMs = 0): Promise<Scene> {
  await openBooks(databases);
  await receive(databases, { honey: 1 });
  const watch: Watch = new Watch(async (moment, { name, at, orderId }) => {
    if (moment === 'before') {
      await sleep(pauseMs);
      return;
    }
    const [who, ms] = [customerOf(orderId).padEnd(5), `${Math.round(watch.nowMs())}`.padStart(6)];
    say(`${ms} ms  ${who} ${at.padEnd(9)}  ${name}`);
  });
  const checkout = way.open(databases, watch, PROVIDER_MS);
  const ended = new AbortController();
  const { order, inventory, payment } = databases;
  const servers = [...new Set([order, inventory, payment])];
  const waiting = servers.map((url) => watchLocks(url, watch, ended.signal, say));
  try {
    const lines = [{ sku: 'honey', quantity: 1 }];
    await Promise.all(
      customers.map((customer, i) => checkout.place({ orderId: orderIds[i]!, customer, lines, token: 'approved' })),
    );
  } finally {
    ended.abort();
    await checkout.close();
  }
  const [anna, ben] = await Promise.all(orderIds.map((orderId) => whereabouts(databases, orderId)));
  return {
    spans: watch.spans,
    holds: watch.holds,
    waits: (await Promise.all(waiting)).flat(),
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
  say: (line: string) => void,
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
        if (!open) say(`${`${Math.round(nowMs)}`.padStart(6)} ms  ${who.padEnd(5)} waits for ${forWhom}`);
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
