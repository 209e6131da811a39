/**
 * The rows of the crash matrix, and how one of them is run:
 *
 *   fill shelves of its own ─▶ customers come ─▶ the victim dies at its step ─▶ it is started again ─▶ customers leave
 *     ─▶ every order is final within 30 s of the crash ─▶ orders, stock and the provider's books agree soon after
 *
 * The shop stays open from row to row, and all services are victims that wait for their turn (victim.ts).
 */
import type { StoryTrouble } from '../../apps/gateway/src/api.js';
import type { Random } from '#runtime';
import { call } from '../../scripts/lib/api.js';
import { inspect } from '../shop/inspect.js';
import { type OrderView, type Shop, TooLong } from '../shop/open-shop.js';
import { Customers, type Wish } from './customers.js';
import { type Doom, type DurableStep, type Moment, moments, steps } from './durable-steps.js';

/** The program of services that can be told where to die. */
export const VICTIM = 'dist/proof/crash/victim.js';

const FINAL_WITHIN_MS = 30_000;
const LATE_WITHIN_MS = 120_000;
/** How many orders are placed before a victim is told where to die. */
const LOAD_FIRST = 8;
/** A victim that has not reached its step after this many orders will not. */
const ENOUGH_ORDERS = 300;
/** A victim dies when it reaches its step for the n-th time; n is random, up to this. */
const MAX_NTH = 3;
/** Where appends are to fail, one in this many does. */
const FAIL_EVERY = 6;
/** How long after that the books may differ: what the provider did by itself is told apart from what orders wait for. */
const AGREED_WITHIN_MS = 10_000;
/** How often a server is killed under one load. */
const SERVER_CRASHES = 3;

/** A shop whose servers can be killed too. */
export interface Crashable {
  readonly shop: Shop;
  crashPostgres?(): Promise<void>;
  crashKafka?(): Promise<void>;
}

export interface Row {
  /** A service, or a server. */
  readonly victim: string;
  readonly step: string;
  /** What the load wants more often than anything else. */
  readonly often?: Wish | undefined;
  /** One is run after the other. */
  readonly crashes: readonly Crash[];
}

export interface Crash {
  readonly when: string;
  /** The event, or the read model, that its step is about. */
  readonly about?: string | undefined;
  /** Kills the victim amid the load and starts it again. Resolves with each kill, none when the victim never reached its step. */
  readonly happen: (target: Crashable, load: Customers, random: Random) => Promise<readonly Kill[]>;
}

/** As a story tells it: until the victim was ready again. */
export interface Kill extends Required<Pick<StoryTrouble, 'at' | 'what' | 'until'>>, Pick<StoryTrouble, 'service'> {
  /** As `performance.now()` has it. */
  readonly killedMs: number;
}

export interface Outcome {
  readonly when: string;
  readonly orderIds: readonly string[];
  readonly kills: readonly Kill[];
  /** From the crash until the last order was final; undefined when one was not. */
  readonly finalMs?: number;
  /** What is wrong, in words; empty when all is well. */
  readonly wrong: readonly string[];
}

/** All rows there are for a shop whose bus is Postgres, or Kafka. */
export function rowsFor(bus: 'postgres' | 'kafka'): readonly Row[] {
  return [
    ...steps.map((step) => ({
      victim: step.service,
      step: step.name,
      often: step.takes,
      crashes: moments.map((moment) => ({ when: moment, about: step.about, happen: dieAt(step, moment) })),
    })),
    server('postgres', (target) => target.crashPostgres!()),
    ...(bus === 'kafka' ? [server('kafka', (target) => target.crashKafka!())] : []),
  ];
}

function server(victim: string, crash: (target: Crashable) => Promise<void>): Row {
  const happen: Crash['happen'] = async (target, load) => {
    const kills: Kill[] = [];
    for (let i = 1; i <= SERVER_CRASHES; i++) {
      await load.placed(load.orderIds.length + 10);
      const killed = { killedMs: performance.now(), at: now(), what: `${victim} killed with SIGKILL` };
      await crash(target);
      kills.push({ ...killed, until: now() });
    }
    return kills;
  };
  return { victim, step: `kill -9, ${SERVER_CRASHES} times`, crashes: [{ when: 'amid the load', happen }] };
}

function dieAt({ service, name, point, about, takesFailures }: DurableStep, moment: Moment): Crash['happen'] {
  return async ({ shop }, load, random) => {
    const doom: Doom = {
      point,
      moment,
      nth: 1 + Math.floor(random.next() * MAX_NTH),
      ...(about && { about }),
      ...(takesFailures && { failEvery: FAIL_EVERY }),
    };
    await load.placed(LOAD_FIRST);
    const what = `killed with SIGKILL ${moment} its step “${name}”`;
    const deaths: Omit<Kill, 'until'>[] = [];
    void shop.doom(service, doom).then(() => deaths.push({ killedMs: performance.now(), at: now(), service, what }));
    await shop.until(`${service} has reached its step`, async () => {
      const found = load.orderIds.length;
      return { done: deaths.length > 0 || found >= ENOUGH_ORDERS, found };
    });
    const reached = [...deaths]; // One that has not reached it dies now.
    await shop.restart(service);
    return reached.map((death) => ({ ...death, until: now() }));
  };
}

const now = () => new Date().toISOString();

/** What becomes of orders that are not final in time: late is not lost, and tells of another fault. */
async function endOf(orderIds: readonly string[], shop: Shop): Promise<string> {
  const ends = await Promise.all(
    orderIds.map(async (orderId) => {
      const isFinal = await shop.settled(orderId, LATE_WITHIN_MS).then(
        () => true,
        () => false,
      );
      const { status } = await call<OrderView>('GET', `${shop.order[0]}/orders/${orderId}`, undefined, shop.anybody);
      return { isFinal, told: `${orderId}, which is ${status}` };
    }),
  );
  const lost = ends.filter(({ isFinal }) => !isFinal);
  if (lost.length === 0) return `all of them were within 2 min more, such as ${ends[0]!.told}`;
  return `${lost.length} of them not within 2 min more, such as ${lost[0]!.told}`;
}

/**
 * Runs one crash of a row, and leaves a shop that is open to the next. `shelf` is a name for the SKUs of its load.
 * @throws when the shop is closed meanwhile
 */
export async function run(
  target: Crashable,
  { often, crash }: { readonly often: Wish | undefined; readonly crash: Crash },
  random: Random,
  shelf: string,
): Promise<Outcome> {
  const { shop } = target;
  const load = new Customers(shop, random, shelf, often);
  try {
    return { when: crash.when, ...(await runWith(load, target, crash, random)), orderIds: load.orderIds };
  } catch (error) {
    const wrong = [(error as Error).message];
    await shop.revive();
    await load.leave().catch((left: Error) => wrong.push(left.message));
    return { when: crash.when, orderIds: load.orderIds, kills: [], wrong };
  } finally {
    await load.close().catch(() => {}); // Reported already.
  }
}

async function runWith(
  load: Customers,
  target: Crashable,
  crash: Crash,
  random: Random,
): Promise<Omit<Outcome, 'when' | 'orderIds'>> {
  const { shop } = target;
  await load.enter();
  const kills = await crash.happen(target, load, random);
  await load.leave();
  const { orderIds, received } = load;
  const killedMs = kills.at(-1)?.killedMs;
  if (killedMs === undefined) return { kills, wrong: [`the step was not reached within ${orderIds.length} orders`] };
  const open: string[] = [];
  for (const orderId of orderIds) {
    // For as long as there is time; where there is none left, each is looked at once.
    await shop.settled(orderId, killedMs + FINAL_WITHIN_MS - performance.now()).catch((error: unknown) => {
      if (!(error instanceof TooLong)) throw error;
      open.push(orderId);
    });
  }
  if (open.length > 0) {
    return { kills, wrong: [`${open.length} orders are not final after 30 s; ${await endOf(open, shop)}`] };
  }
  const finalMs = performance.now() - killedMs;
  let wrong: readonly string[] = [];
  const look = async () => {
    ({ wrong } = await inspect(shop, { orderIds, received }));
    return { done: wrong.length === 0, found: wrong };
  };
  await shop.until('the books agree', look, AGREED_WITHIN_MS).catch((error: unknown) => {
    if (!(error instanceof TooLong)) throw error;
    if (wrong.length === 0) wrong = [error.message];
  });
  return { kills, finalMs, wrong };
}
