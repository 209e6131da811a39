/**
 * A simulated world: the three services as they are, on servers in memory, in a virtual time in which everything that the
 * plan says goes wrong. When the plan is over, nothing goes wrong from then on; people decide what is left to them,
 * time passes, and then nothing may be lost.
 *
 *   plan ──▶ customers, operators, faults ──▶ calm: operators decide, time leaps ──▶ all is final ──▶ invariants
 *
 * Here are time and the instances of the services; plan-runner.ts begins what is planned, people.ts makes the requests,
 * webhooks.ts delivers for the provider, and unfinished.ts knows what is not final yet.
 */
import { perService, type Service, services, shop } from '../../apps/shop.js';
import type { Story } from '../../apps/gateway/src/api.js';
import type { OrderEvent } from '../../apps/order/src/domain/order.js';
import type { PaymentProvider } from '../../apps/payment/src/provider.js';
import { MemoryLedger } from '../../apps/payment/src/simulator/ledger.js';
import { SimulatedProvider } from '../../apps/payment/src/simulator/simulated-provider.js';
import type { Deliver } from '../../apps/payment/src/simulator/webhooks.js';
import { DomainError } from '#decider';
import { MemoryLog } from '#message-bus';
import { SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import { developmentKeys } from '../token-keys.js';
import { diceFor } from './chance.js';
import { count, type Coverage, emptyCoverage, endingOf } from './coverage.js';
import { delaysMs, hindersMs, lastsMs } from './delays.js';
import { Faults } from './faults.js';
import { nameOf } from './fault-points.js';
import { checkOutAlone } from './lone-checkout.js';
import { People } from './people.js';
import { duration, type Item, type Plan, planOf, skus } from './plan.js';
import { PlanRunner } from './plan-runner.js';
import { type Composed, type PortsInWorld, Process, Servers, type ServiceOf, type Surroundings } from './process.js';
import { Unreliable } from './provider.js';
import { Scheduler, VirtualClock } from './scheduler.js';
import { storiesOf } from './stories.js';
import { orderIdOf, type Told } from './story.js';
import { Trace } from './trace.js';
import { heldUp, missedDeadlines, unfinished } from './unfinished.js';
import { type Durable, findViolations, streamsOf, type Violation } from './violations.js';
import { deliver } from './webhooks.js';

type CompositionOptions = { readonly deadlineMs: number; readonly openOrders: number } & typeof developmentKeys;

/** How the services are put together; a test puts a broken one in its place. */
export type Compositions = {
  readonly [S in Service]: (ports: PortsInWorld, options: CompositionOptions) => ServiceOf[S];
};

export interface WorldOptions {
  /** How many orders are placed; default: 24. */
  readonly orders?: number;
  /** The numbers of the items of the plan that happen; default: all. */
  readonly only?: readonly number[];
  /** Whether to record a story for a person to read, which costs time. */
  readonly story?: boolean;
  readonly compositions?: Partial<Compositions>;
}

export interface World {
  readonly seed: number;
  /** What was planned, with what was left out. */
  readonly plan: Plan;
  /** Empty when every rule holds. */
  readonly violations: readonly Violation[];
  /** A hash over every step, with its time, and every event: the same for the same seed and options. */
  readonly trace: string;
  /** Entries of the scheduler that were carried out. */
  readonly steps: number;
  /** When it began, in virtual milliseconds since 1970. */
  readonly beganMs: number;
  /** How long it took, in virtual milliseconds. */
  readonly virtualMs: number;
  /** How many orders were accepted. */
  readonly orders: number;
  readonly coverage: Coverage;
  readonly story: readonly Told[];
  /** When items of the plan had an effect for the first time, by their numbers, in virtual milliseconds since 1970. */
  readonly struckMs: ReadonlyMap<number, number>;
  /** The orders as the console shows them. */
  stories(): Promise<Story[]>;
  /** What was left on the servers. */
  readonly durable: Durable;
}

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
/** In the calm, all must be final after so much virtual time, and in any world after so many steps. */
const CALM_LIMIT_MS = 5 * 24 * HOUR;
const STEP_LIMIT = 600_000;
/** How long nothing has to change until the world is believed to have come to rest. */
const REST_MS = 3 * SECOND;
/** Twice as long as a server may take to miss a process that was killed. */
const UNHINDERED_MS = 20 * SECOND;
/** In a world whose troubles delay an order by less than this, none needs a reminder. */
const MILD_MS = 25 * SECOND;
/** While things go wrong, no time is passed over that is longer than this. */
const MOST_HURRY_MS = 60 * SECOND;

/** Runs the world of a seed to its end. */
export async function runWorld(seed: number, options: WorldOptions = {}): Promise<World> {
  return new Simulation(seed, options).run();
}

class Simulation implements Surroundings {
  readonly scheduler = new Scheduler();
  readonly log = new MemoryLog(6);
  readonly provider: PaymentProvider;
  readonly faults: Faults;

  readonly plan: Plan;
  private readonly items: readonly Item[];
  readonly ledger = new MemoryLedger();
  readonly servers = perService(() => new Servers(new VirtualClock(this.scheduler)));
  private readonly clocks = perService(() => ({ wrongByMs: 0 }));
  /** The process of each instance, and how many it has had. */
  private readonly instances = perService((): { process: Process; lives: number }[] => []);
  /** All that there have been. */
  private readonly processes: Process[] = [];
  private readonly compositions: Compositions;
  /** It lives in the processes of the payment service, and dies with each. */
  private simulated: SimulatedProvider;
  private readonly openProvider: () => SimulatedProvider;
  private readonly beganMs = this.scheduler.nowMs;
  private changedMs = this.beganMs;
  webhooksUnderWay = 0;
  /** The loop that alone may still say that something went wrong. */
  private excused: string | undefined;
  private calmMs = Infinity;
  private readonly setBacks: { readonly byMs: number; readonly toMs: number }[] = [];
  readonly handled = perService(() => new Set<string>());
  readonly found: Violation[] = [];
  readonly coverage = emptyCoverage();
  private readonly story: Told[] = [];
  readonly struckMs = new Map<number, number>();
  private readonly trace = new Trace();
  readonly people = new People(this);
  private readonly runner = new PlanRunner(this);

  constructor(
    readonly seed: number,
    private readonly options: WorldOptions,
  ) {
    this.plan = planOf(seed, options.orders ?? 24);
    const only = options.only && new Set(options.only);
    this.items = this.plan.items.filter(({ n }) => !only || only.has(n));
    this.faults = new Faults((item) => this.runner.recordStrike(item));
    this.compositions = { ...perService((service) => shop[service].compose), ...options.compositions } as Compositions;
    const runtime = {
      clock: new VirtualClock(this.scheduler),
      ids: new SequentialIds(),
      random: diceFor(seed, 'provider'),
      log: silentLog,
    };
    const strays = (call: 'authorize' | 'capture' | 'refund') => this.faults.stray(call);
    const send: Deliver = async (webhook, signal) => {
      this.webhooksUnderWay++;
      await deliver(webhook, signal, this).finally(() => this.webhooksUnderWay--);
    };
    this.openProvider = () => new SimulatedProvider(this.ledger, send, runtime, undefined, strays);
    this.simulated = this.openProvider();
    this.provider = new Unreliable(() => this.simulated, this);
  }

  /** The share of steps that take long. */
  get slowShare(): number {
    return this.excused === undefined ? this.plan.slowShare : 0;
  }

  expectQuiet(but: string): void {
    this.excused = but;
  }

  /** Whether nothing has gone wrong for so long that the services have done what was due: leases have passed on, too. */
  get unhindered(): boolean {
    return this.scheduler.nowMs - this.calmMs >= UNHINDERED_MS;
  }

  async run(): Promise<World> {
    for (const service of services) this.start(service, 1);
    this.people.openTheShop();
    this.runner.schedule(this.items);
    await this.troubledTimes();
    await this.calmTimes();
    if (this.found.length === 0) await this.nothingMoves();
    if (this.found.length === 0) await this.turnedAwayOrder();
    if (this.found.length === 0) this.found.push(...(await checkOutAlone(this, this.plan.items.length + 1)));

    const durable: Durable = {
      events: perService((service) => this.servers[service].events.all),
      tables: perService((service) => this.servers[service].tables),
      parked: perService((service) => this.servers[service].parked),
      customerKeys: this.servers.order.customerKeys,
      log: this.log,
      ledger: await this.ledger.entries({ limit: Infinity }),
      promises: {
        ...this.people.promises,
        openOrders: this.plan.openOrders,
        calmMs: this.calmMs,
        lateMs: this.items.reduce((sum, item) => sum + hindersMs(item), 2 * MOST_HURRY_MS),
        setBacks: this.setBacks,
        oneTime: !this.items.some(({ kind }) => kind === 'clock'),
        mild: this.items.reduce((sum, item) => sum + delaysMs(item), 0) < MILD_MS,
        handled: this.handled,
      },
    };
    // What is wrong says more than that there was no end to it.
    this.found.unshift(...(await findViolations(durable)));
    for (const service of services) {
      for (const { id, type, recordedAt } of durable.events[service])
        this.trace.mix(`${id} ${type} ${recordedAt}`, this.scheduler.nowMs);
    }
    for (const events of streamsOf<OrderEvent>(durable.events.order, 'order').values()) {
      count(this.coverage.endings, endingOf(events));
    }
    for (const process of this.processes) process.discard();
    void this.simulated.close();
    return {
      seed: this.seed,
      plan: { ...this.plan, items: this.items },
      violations: this.found,
      trace: this.trace.hex,
      steps: this.scheduler.steps,
      beganMs: this.beganMs,
      virtualMs: this.scheduler.nowMs - this.beganMs,
      orders: this.people.promises.accepted.size,
      coverage: this.coverage,
      story: this.story,
      struckMs: this.struckMs,
      stories: () => storiesOf(this, this.items),
      durable,
    };
  }

  // What a process finds in the world.

  wrongByMs(service: Service): number {
    return this.clocks[service].wrongByMs;
  }

  compose(service: Service, ports: PortsInWorld): Composed {
    const { deadlineMs, openOrders } = this.plan;
    return this.compositions[service](ports, { deadlineMs, openOrders, ...developmentKeys });
  }

  stepped(process: Process, step: { point: string; about: readonly string[] }, moment: string): void {
    this.trace.mix(`${process.name} ${moment} ${step.point} ${step.about.join()}`, this.scheduler.nowMs);
  }

  changed(): void {
    this.changedMs = this.scheduler.nowMs;
  }

  tell(who: string, text: () => string, orders?: () => readonly string[]): void {
    if (!this.options.story) return;
    this.story.push({ atMs: this.scheduler.nowMs - this.beganMs, who, text: text(), orders: orders?.() ?? [] });
  }

  crashed(process: Process, item: Extract<Item, { kind: 'crash' }>): void {
    count(this.coverage.crashPoints, nameOf(item.at));
    this.tell(process.name, () => `is killed ${item.at.moment} ${item.at.step} ${item.at.about ?? ''} (${item.n})`);
    process.kill(item.freeMs);
    if (process.of === 'payment') {
      void this.simulated.close();
      this.simulated = this.openProvider();
    }
    this.startAgain(process, item.downMs);
  }

  logged(process: Process, level: 'warn' | 'error', fields: Record<string, unknown>, message: string): void {
    const error = fields['err'];
    const orders = [fields['orderId'], fields['key']].filter((id) => typeof id === 'string');
    this.tell(
      process.name,
      () =>
        `says: ${message}${error instanceof Error ? ` (${error.name}: ${error.message})` : ''}${orders.map((id) => ` ${id}`).join('')}`,
      () => orders,
    );
    if (this.excused !== undefined && fields['loop'] !== this.excused) {
      const text = `${process.name} says, when nothing goes wrong: ${message} ${String(error ?? '')}`;
      this.found.push({ rule: 'trouble-alone', text, orders });
    }
    if (level === 'error') count(this.coverage.faults, `dead letter: ${process.of}`);
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
      this.found.push({ rule: 'error-in-code', text: `${process.name}: ${error.stack ?? error.message}`, orders });
    }
    // No key store is restored from a backup here.
    if (message.startsWith('Keys that were erased were there again')) {
      const text = `${process.name} finds keys of ${String(fields['customerId'])} that events say are erased.`;
      this.found.push({ rule: 'erased-key-stays', text, orders: [] });
    }
    if (error instanceof DomainError && 'messageId' in fields) {
      const text = `${process.name} refuses ${String(fields['type'])} of ${String(fields['key'])}: ${error.code}.`;
      this.found.push({ rule: 'message-refused', text, orders });
    }
  }

  ended(process: Process, error: unknown): void {
    this.found.push({ rule: 'loops-ended', text: `${process.name} has ended by itself: ${String(error)}`, orders: [] });
  }

  // Time.

  /** Until everything planned has happened and been answered, and no longer strikes. */
  private async troubledTimes(): Promise<void> {
    const ends = this.items.map((item) => item.atMs + lastsMs(item));
    const endMs = this.beganMs + Math.max(SECOND, ...ends) + SECOND;
    const turns = this.items.flatMap((item) => [item.atMs, item.atMs + lastsMs(item)]);
    const moments = turns.map((ms) => this.beganMs + ms).sort((a, b) => a - b);
    while (this.scheduler.nowMs < endMs || this.people.waiting || this.runner.waiting) {
      if (!(await this.move())) return;
      const nextMs = moments.find((ms) => ms > this.scheduler.nowMs) ?? endMs;
      this.hurry(Math.min(MOST_HURRY_MS, nextMs - this.scheduler.nowMs - 1));
    }
  }

  /** Until all is final: nothing goes wrong from here on, and operators decide what waits for them. */
  private async calmTimes(): Promise<void> {
    this.tell('world', () => 'from here on nothing goes wrong any more');
    this.faults.endAll();
    for (const service of services) this.servers[service].leases.setReachable(true);
    this.calmMs = this.scheduler.nowMs;
    for (let round = 0; ; round++) {
      if (!(await this.rest())) return;
      if (this.unhindered) {
        const beforeMs = this.scheduler.nowMs - REST_MS;
        this.found.push(...missedDeadlines(this, beforeMs + this.wrongByMs('order')), ...(await heldUp(this)));
      }
      const left = await unfinished(this);
      if (left.length === 0) return;
      if (this.scheduler.nowMs - this.calmMs > CALM_LIMIT_MS) {
        const text = `After ${duration(CALM_LIMIT_MS)} in which nothing went wrong, there still is: ${left.join(', ')}.`;
        this.found.push({ rule: 'no-end', text, orders: [] });
        return;
      }
      this.people.request(() => this.people.decideAll());
      if (!(await this.rest())) return;
      this.scheduler.leap(Math.min(HOUR, SECOND * 2 ** round));
    }
  }

  /** When all is final, a day changes nothing more. */
  private async nothingMoves(): Promise<void> {
    const before = this.heads();
    for (const ms of [60 * SECOND, 30 * 60 * SECOND, 3 * HOUR, 24 * HOUR]) {
      this.scheduler.leap(ms);
      if (!(await this.rest())) return;
    }
    const after = this.heads();
    if (after.join() !== before.join()) {
      const text = `All was final, and a day later there were new events: ${before.join()} became ${after.join()}.`;
      this.found.push({ rule: 'no-rest', text, orders: [] });
    }
  }

  /** Continues until nothing has changed for a while and nobody waits for an answer. */
  async rest(): Promise<boolean> {
    this.changed();
    while (this.scheduler.nowMs - this.changedMs < REST_MS || this.people.waiting || !this.scheduler.quiet) {
      if (!(await this.move())) return false;
    }
    return true;
  }

  async move(): Promise<boolean> {
    if (this.scheduler.steps < STEP_LIMIT) return this.scheduler.step();
    this.found.push({ rule: 'no-end', text: `It did not come to rest within ${STEP_LIMIT} steps.`, orders: [] });
    return false;
  }

  /** Where only time passes, it passes faster and faster: up to `mostMs` at once. */
  private hurry(mostMs: number): void {
    const quietMs = this.scheduler.nowMs - this.changedMs;
    if (quietMs < REST_MS || this.people.waiting || !this.scheduler.quiet) return;
    if (mostMs > SECOND) this.scheduler.leap(Math.min(mostMs, quietMs / 2));
  }

  /** When all is final, every place is free: whoever was turned away for their open orders may order again. */
  private async turnedAwayOrder(): Promise<void> {
    const lines = [{ sku: skus[0]!, quantity: 1 }];
    const order = { atMs: 0, kind: 'order', lines, token: 'tok_approved', waits: true } as const;
    const orders = [...this.people.turnedAway].map((customer, nth) => ({
      customer,
      n: this.plan.items.length + 2 + nth,
    }));
    for (const { customer, n } of orders) {
      this.people.request(() => this.people.placeOrder({ n, ...order }, customer));
    }
    if (!(await this.rest())) return;
    for (const { customer, n } of orders) {
      const orderId = orderIdOf(n);
      if (this.people.promises.accepted.has(orderId)) continue;
      const text = `${orderId} was refused, although all other orders of ${customer} are settled.`;
      this.found.push({ rule: 'place-lost', text, orders: [orderId] });
    }
  }

  private heads(): number[] {
    return services.map((service) => this.servers[service].events.all.length);
  }

  setClock(service: Service, byMs: number): void {
    this.clocks[service].wrongByMs += byMs;
    if (service === 'order' && byMs < 0)
      this.setBacks.push({ byMs: -byMs, toMs: this.scheduler.nowMs + this.wrongByMs(service) });
  }

  // Instances.

  start(service: Service, instance: number): void {
    const lives = (this.instances[service][instance - 1]?.lives ?? 0) + 1;
    const process = new Process(service, instance, lives, this, this.servers[service]);
    this.processes.push(process);
    this.instances[service][instance - 1] = { process, lives };
    this.changed();
    if (service === 'payment') void this.simulated.resume(new AbortController().signal);
    if (lives > 1) this.tell(process.name, () => 'starts again');
  }

  startAgain(before: Process, downMs: number): void {
    this.scheduler.after(downMs, () => this.start(before.of, before.instance));
  }

  /** An instance that takes requests; any of them. */
  running(service: Service): Process | undefined {
    const running = this.instances[service].map(({ process }) => process).filter((process) => process.running);
    return running[this.scheduler.steps % Math.max(1, running.length)];
  }

  disconnect(service: Service, server: 'store' | 'bus'): void {
    for (const { process } of this.instances[service]) process.disconnect(server);
  }
}
