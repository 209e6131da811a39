/**
 * `npm run shown:proof`: whether read models show facts since when their services say so.
 *
 *   orders ─▶ polls of what shows them, from outside ─▶ the last answer without a fact, the first with it
 *                                                          └─▶ its instant lies between ◀─ GET /admin/stories/{orderId}
 *
 * Whatever was asked for after the instant shows the fact, and what shows it was answered after the instant. Meanwhile
 * the checkpoints are locked every now and then, so that statements of projectors wait: an instant from before that wait
 * is found out. All clocks are this machine's.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Service, services } from '../apps/shop.js';
import { PostgresConnection } from '#runtime/postgres';
import { call } from '../scripts/lib/api.js';
import { readCommandLine, wholeNumber } from '../scripts/lib/command-line.js';
import { number, type Output } from '../scripts/lib/progress-bar.js';
import { green, red } from '../scripts/lib/screen.js';
import type { Shop } from './shop/open-shop.js';
import { onTrial } from './shop/trial.js';

const AT_ONCE = 8;
const PAUSE_MS = 3;
/** For how long projectors' statements wait, and how long they do not. */
const LOCKED_MS = 400;
const UNLOCKED_MS = 600;
/** After the instant come the end of its statement and the commit, on a machine that does other things, too. */
const COMMIT_MS = 150;
/** Both ends are whole milliseconds. */
const ROUNDING_MS = 1;

interface View {
  readonly readModel: string;
  readonly path: string;
  /** The facts of a completed order, and by which status this read model shows each. */
  readonly facts: readonly (readonly [type: string, status: string])[];
}

const VIEWS: Readonly<Record<Service, View>> = {
  order: {
    readModel: 'order-summary',
    path: '/orders/',
    facts: [
      ['OrderPlaced', 'placed'],
      ['OrderStockReserved', 'stock-reserved'],
      ['OrderConfirmed', 'confirmed'],
      ['OrderCompleted', 'completed'],
    ],
  },
  inventory: {
    readModel: 'reservation-summary',
    path: '/reservations/',
    facts: [
      ['ReservationMade', 'made'],
      ['ReservationShipped', 'shipped'],
    ],
  },
  payment: {
    readModel: 'payment-summary',
    path: '/payments/',
    facts: [
      ['PaymentRequested', 'requested'],
      ['PaymentAuthorized', 'authorized'],
      ['PaymentCaptureRequested', 'capturing'],
      ['PaymentCaptured', 'captured'],
    ],
  },
};

/** When somebody outside saw a fact, in milliseconds since 1970. */
interface Seen {
  /** When the last read without it was sent. */
  without: number;
  /** When the first answer with it had arrived. */
  with: number;
}

export interface Verdict {
  /** How many instants were checked. */
  readonly facts: number;
  readonly polls: number;
  /** By how much a read that was sent after the instant still missed the fact, at most. */
  readonly latestMs: number;
  readonly wrong: readonly string[];
}

export async function main(argv: readonly string[]): Promise<void> {
  process.exitCode = await shown(argv, process);
}

/** Returns the exit code: 0, 1 when an instant is wrong, 2 for a wrong command line. */
async function shown(argv: readonly string[], out: Output): Promise<number> {
  const orders = readCommandLine(argv, SYNTAX, out, ({ values }) =>
    wholeNumber(values.orders, { what: 'a number of orders', min: 1 }),
  );
  if (orders === undefined) return 2;
  out.stderr.write('Opening a separate shop …\n');
  return onTrial({ bus: 'postgres' }, async ({ shop }) => {
    const { facts, polls, latestMs, wrong } = await checkInstants(shop, orders);
    for (const each of wrong.slice(0, 20)) out.stdout.write(`${red(each)}\n`);
    out.stdout.write(`${number(facts)} facts of ${number(orders)} orders, ${number(polls)} polls.\n`);
    out.stdout.write(
      `The latest read that missed its fact was sent ${latestMs} ms after the instant; ${COMMIT_MS} ms are allowed.\n`,
    );
    const good = 'Every instant lies between the last answer without its fact and the first with it.';
    out.stdout.write(`${wrong.length === 0 ? green(good) : red(`${number(wrong.length)} instants are WRONG.`)}\n`);
    return wrong.length === 0 ? 0 : 1;
  });
}

/** Places so many orders, polls what shows them, and compares. */
export async function checkInstants(shop: Shop, orders: number): Promise<Verdict> {
  await shop.setPrices({ tea: 499 });
  await shop.stockUp({ tea: orders });
  const over = new AbortController();
  const locked = Promise.all(services.map((service) => lockNowAndThen(shop.databases[service], over.signal)));
  const wrong: string[] = [];
  let [next, facts, polls, latestMs] = [0, 0, 0, -Infinity];
  const customer = async () => {
    while (next++ < orders) {
      const orderId = await shop.place({ lines: [{ sku: 'tea', quantity: 1 }] });
      await Promise.all(
        services.map(async (service) => {
          const watched = await watch(shop, service, orderId);
          polls += watched.polls;
          for (const [type, instant] of await instantsOf(shop, service, orderId)) {
            const seen = watched.seen.get(type)!;
            facts++;
            latestMs = Math.max(latestMs, seen.without - instant);
            const isTooLate = instant > seen.with + ROUNDING_MS;
            const isTooEarly = seen.without > instant + COMMIT_MS + ROUNDING_MS;
            if (isTooLate || isTooEarly)
              wrong.push(
                `${VIEWS[service].readModel} shows ${type} of ${orderId} since ${instant}, but the last read without it was sent at ${seen.without}, and the first answer with it was there at ${seen.with}.`,
              );
          }
        }),
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, customer));
  } finally {
    over.abort();
    await locked;
  }
  return { facts, polls, latestMs, wrong };
}

/** Polls until a read model shows the last fact. */
async function watch(shop: Shop, service: Service, orderId: string) {
  const { path, facts } = VIEWS[service];
  const seen = new Map(facts.map(([type]): [string, Seen] => [type, { without: -Infinity, with: Infinity }]));
  for (let polls = 1; ; polls++) {
    const startMs = Date.now();
    const response = await fetch(`${shop.urls[service][0]}${path}${orderId}`, { headers: shop.anybody });
    const { status } = (await response.json()) as { status?: unknown };
    const endMs = Date.now();
    if (!response.ok && response.status !== 404 && response.status !== 503)
      throw new Error(`A poll was answered with ${response.status}.`);
    if (response.status !== 503) {
      const rank = facts.findIndex(([, each]) => each === status);
      for (const [i, [type]] of facts.entries()) {
        const of = seen.get(type)!;
        if (i > rank) of.without = startMs;
        else of.with = Math.min(of.with, endMs);
      }
      if (rank === facts.length - 1) return { seen, polls };
    }
    await sleep(PAUSE_MS);
  }
}

/** Since when the read model shows each of these facts, as its service says. */
async function instantsOf(shop: Shop, service: Service, orderId: string): Promise<readonly [string, number][]> {
  const { readModel, facts } = VIEWS[service];
  const url = `${shop.urls[service][0]}/admin/stories/${orderId}`;
  const story = await call<{ facts: { type: string; shown: Record<string, string | null> }[] }>(
    'GET',
    url,
    undefined,
    shop.anybody,
  );
  return facts.map(([type]) => {
    const at = story.facts.find((fact) => fact.type === type)?.shown[readModel];
    if (!at) throw new Error(`${service} does not say since when ${readModel} shows ${type} of ${orderId}.`);
    return [type, Date.parse(at)];
  });
}

/** Has statements of projectors wait, again and again: they cannot move a checkpoint meanwhile. */
async function lockNowAndThen(database: string, signal: AbortSignal): Promise<void> {
  const client = new PostgresConnection({ connectionString: database });
  await client.connect();
  while (!signal.aborted) {
    await client.query('BEGIN');
    await client.query(`SELECT FROM checkpoints WHERE name LIKE 'projection:%' FOR UPDATE`);
    await sleep(LOCKED_MS);
    await client.query('ROLLBACK');
    await sleep(UNLOCKED_MS);
  }
  await client.end();
}

const SYNTAX = {
  usage: 'npm run shown:proof [-- --orders <number of orders; default: 200>].',
  options: { orders: { type: 'string', default: '200' } },
} as const;
export const { usage } = SYNTAX;
