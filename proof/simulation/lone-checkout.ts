/**
 * The end of every world: when all is final and nothing is slow any more, one customer comes alone, while the table of one
 * projection takes no rows. Polls make up for a wake-up that is lost, so all that is lost with it is time: that shows only
 * where nothing else takes any. And what fails for one projection must not fail for those that write together with it.
 */
import type { Service } from '../../apps/shop.js';
import { diceFor } from './chance.js';
import type { Faults } from './faults.js';
import type { People } from './people.js';
import { skus, tables } from './plan.js';
import type { Servers, Surroundings } from './process.js';
import { orderIdOf } from './story.js';
import { behind, heldUp } from './unfinished.js';
import type { Violation } from './violations.js';

/**
 * The time from the order to the answer that it is completed, and until everything that follows it has seen that. A wake-up
 * that is lost takes up to a second, the time between two polls.
 */
const LONE_MS = 600;

export interface LonesWorld extends Pick<Surroundings, 'seed' | 'scheduler'> {
  readonly faults: Faults;
  readonly people: People;
  readonly servers: Readonly<Record<Service, Servers>>;
  /** From now on no step is slow, and whatever is logged is a violation, unless this loop says it. */
  expectQuiet(but: string): void;
  /** Carries out what is next. False when there is nothing, or was too much. */
  move(): Promise<boolean>;
  /** Continues until nothing has changed for a while. False when it cannot. */
  rest(): Promise<boolean>;
}

/** `n` is the number of the order. */
export async function checkOutAlone(world: LonesWorld, n: number): Promise<readonly Violation[]> {
  const { seed, scheduler, faults, people, servers } = world;
  const [sku] = skus as [string];
  const broken = diceFor(seed, 'lone checkout').pick(tables);
  const item = { n, atMs: 0, kind: 'broken-table', ...broken, forMs: Infinity } as const;
  world.expectQuiet(`projector:${broken.projection}`);
  faults.begin(item);
  people.request(() => people.offer(n, sku));
  if (!(await world.rest())) return [];

  const beganMs = scheduler.nowMs;
  const lines = [{ sku, quantity: 1 }];
  const order = { n, atMs: 0, kind: 'order', lines, token: 'tok_approved', waits: true } as const;
  people.request(() => people.placeOrder(order, 'customer who is new'));
  const waitFor = async () => {
    const others = (await behind({ servers })).filter((text) => text !== `${broken.projection} is behind`);
    return people.waiting ? ['the answer', ...others] : others;
  };
  let waitsFor = await waitFor();
  while (waitsFor.length > 0 && scheduler.nowMs - beganMs <= LONE_MS) {
    if (!(await world.move())) return [];
    waitsFor = await waitFor();
  }
  const found: Violation[] = [];
  const orderId = orderIdOf(n);
  if (waitsFor.length > 0) {
    const text = `${LONE_MS} ms after the only customer had placed order ${orderId}: ${waitsFor.join(', ')}.`;
    found.push({ rule: 'slow-alone', text, orders: [orderId] });
  }
  faults.end(item);
  if (!(await world.rest())) return found;
  const status = people.promises.told.get(orderId);
  if (found.length === 0 && status !== 'completed') {
    const text = `The ${orderId}, of what there is and can be paid, ended ${status}.`;
    found.push({ rule: 'not-sold', text, orders: [orderId] });
  }
  return [...found, ...(await heldUp({ servers }))];
}
