/**
 * A simulated world: the three services as they are, on servers in memory, in a virtual time in which everything that the
 * plan says goes wrong. When the plan is over, nothing goes wrong any more; people decide what is left to them, time
 * passes, and then nothing may be lost.
 *
 *   plan ──▶ customers, operators, faults ──▶ calm: operators decide, time leaps ──▶ all is final ──▶ invariants
 */
import { perService, type Service, services, shop } from '../../apps/shop.js';
import { isSettled, type OrderEvent } from '../../apps/order/src/domain/order.js';
import type { PaymentProvider } from '../../apps/payment/src/provider.js';
import type { PaymentService } from '../../apps/payment/src/service.js';
import { MemoryLedger } from '../../apps/payment/src/simulator/ledger.js';
import { SimulatedProvider } from '../../apps/payment/src/simulator/simulated-provider.js';
import { commandOf, type Webhook } from '../../apps/payment/src/webhook.js';
import { DomainError } from '#decider';
import type { Cause } from '#event-store';
import { MemoryLog } from '#message-bus';
import { SequentialIds } from '#runtime/testing';
import { silentLog } from '#runtime';
import type { Attention } from '#service';
import { diceFor, hash } from './chance.js';
import { count, type Coverage, emptyCoverage, endingOf, faultOf } from './coverage.js';
import { delaysMs, hindersMs, lastsMs } from './delays.js';
import { Faults } from './faults.js';
import { type Durable, orderAfter, streamsOf, type Violation, violations } from './violations.js';
import { describe, duration, type Item, type Plan, planOf, type Server } from './plan.js';
import { nameOf } from './fault-points.js';
import { type Composed, type PortsInWorld, Process, Servers, type Surroundings } from './process.js';
import { Unreliable } from './provider.js';
import { Scheduler, VirtualClock } from './scheduler.js';
import { orderIdOf, type Told } from './story.js';

type ServiceOf = { readonly [S in Service]: ReturnType<(typeof shop)[S]['compose']> };

/** How the services are put together; a test puts a broken one in its place. */
export type Compositions = {
  readonly [S in Service]: (ports: PortsInWorld, options: { readonly deadlineMs: number }) => ServiceOf[S];
};

export interface WorldOptions {
  /** How many orders are placed; 24 unless told. */
  readonly orders?: number;
  /** The numbers of the items of the plan that happen; all unless told. */
  readonly only?: readonly number[];
  /** Whether what happens is written down for a person, which takes its time. */
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
  /** How long it took, in virtual milliseconds. */
  readonly virtualMs: number;
  /** How many orders were accepted. */
  readonly orders: number;
  readonly coverage: Coverage;
  readonly story: readonly Told[];
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
/** How long a customer waits for an answer before sending the request again. */
const PATIENCE_MS = 10 * SECOND;
/** And how often, before giving up. */
const PERSISTENCE = 15;

/** Runs the world of a seed to its end. */
export async function runWorld(seed: number, options: WorldOptions = {}): Promise<World> {
  return new Simulation(seed, options).run();
}

/** The answer to a request: what came back, or what the service said no with. No answer at all is undefined. */
type Answer<T> = { readonly ok: T } | { readonly refused: DomainError };

class Simulation implements Surroundings {
  readonly scheduler = new Scheduler();
  readonly log = new MemoryLog(6);
  readonly provider: PaymentProvider;
  readonly slowShare: number;
  readonly faults: Faults;

  private readonly plan: Plan;
  private readonly items: readonly Item[];
  private readonly ledger = new MemoryLedger();
  private readonly servers = perService(() => new Servers());
  /** The process of each instance, and how many it has had. */
  private readonly instances = perService((): { process: Process; lives: number }[] => []);
  /** All that there have been. */
  private readonly processes: Process[] = [];
  private readonly compositions: Compositions;
  private readonly simulated: SimulatedProvider;
  private readonly beganMs = this.scheduler.nowMs;
  private changedMs = this.beganMs;
  private calmMs = Infinity;
  /** Resolves when the shop has prices and stock: nobody orders before. */
  private opened: Promise<void> = Promise.resolve();
  /** What is planned and has not begun yet: a leap of time may have made it late. */
  private planned = 0;
  /** Requests and decisions that are not answered yet. */
  private open = 0;
  private lane1 = 0x811c9dc5;
  private lane2 = 0x9747b28c;

  private readonly accepted = new Set<string>();
  private readonly cancelled = new Set<string>();
  private readonly toldEnds = new Map<string, string>();
  private readonly entries = new Map<string, { sku: string; quantity: number }>();
  readonly handled = perService(() => new Set<string>());
  private readonly decided = new Map<string, number>();
  private readonly found: Violation[] = [];
  private readonly coverage = emptyCoverage();
  private readonly story: Told[] = [];

  constructor(
    readonly seed: number,
    private readonly options: WorldOptions,
  ) {
    this.plan = planOf(seed, options.orders ?? 24);
    this.slowShare = this.plan.slowShare;
    const only = options.only && new Set(options.only);
    this.items = this.plan.items.filter(({ n }) => !only || only.has(n));
    this.faults = new Faults((item) => this.struck(item));
    this.compositions = { ...perService((service) => shop[service].compose), ...options.compositions } as Compositions;
    const runtime = {
      clock: new VirtualClock(this.scheduler),
      ids: new SequentialIds(),
      random: diceFor(seed, 'provider'),
      log: silentLog,
    };
    this.simulated = new SimulatedProvider(this.ledger, (webhook) => this.deliver(webhook), runtime);
    this.provider = new Unreliable(this.simulated, this);
  }

  async run(): Promise<World> {
    for (const service of services) this.start(service, 1);
    this.request(() => (this.opened = this.openShop()));
    for (const item of this.items) this.plannedIn(item.atMs, () => this.begin(item));
    await this.troubledTimes();
    await this.calmTimes();
    if (this.found.length === 0) await this.nothingMoves();

    const durable: Durable = {
      events: perService((service) => this.servers[service].events.all),
      tables: perService((service) => this.servers[service].tables),
      parked: perService((service) => this.servers[service].parked),
      log: this.log,
      ledger: await this.ledger.entries({ limit: Infinity }),
      promises: {
        accepted: this.accepted,
        cancelled: this.cancelled,
        told: this.toldEnds,
        entries: this.entries,
        calmMs: this.calmMs,
        lateMs: this.items.reduce((sum, item) => sum + hindersMs(item), 2 * MOST_HURRY_MS),
        mild: this.items.reduce((sum, item) => sum + delaysMs(item), 0) < MILD_MS,
        handled: this.handled,
      },
    };
    // What is wrong says more than that there was no end to it.
    this.found.unshift(...(await violations(durable)));
    for (const service of services) {
      for (const { id, type, recordedAt } of durable.events[service]) this.mix(hash(`${id} ${type} ${recordedAt}`));
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
      trace: [this.lane1, this.lane2].map((lane) => (lane >>> 0).toString(16).padStart(8, '0')).join(''),
      steps: this.scheduler.steps,
      virtualMs: this.scheduler.nowMs - this.beganMs,
      orders: this.accepted.size,
      coverage: this.coverage,
      story: this.story,
      durable,
    };
  }

  // What a process finds in the world.

  compose(service: Service, ports: PortsInWorld): Composed {
    return this.compositions[service](ports, { deadlineMs: this.plan.deadlineMs });
  }

  stepped(process: Process, step: { point: string; about: readonly string[] }, moment: string): void {
    this.mix(hash(`${process.name} ${moment} ${step.point} ${step.about.join()}`));
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
    if (level === 'error') count(this.coverage.faults, `dead letter: ${process.of}`);
    if (error instanceof TypeError || error instanceof RangeError || error instanceof ReferenceError) {
      this.found.push({ rule: 'error-in-code', text: `${process.name}: ${error.stack ?? error.message}`, orders });
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
    while (this.scheduler.nowMs < endMs || this.open > 0 || this.planned > 0) {
      if (!(await this.move())) return;
      const nextMs = moments.find((ms) => ms > this.scheduler.nowMs) ?? endMs;
      this.hurry(Math.min(MOST_HURRY_MS, nextMs - this.scheduler.nowMs - 1));
    }
  }

  /** Until all is final: nothing goes wrong any more, and operators decide what waits for them. */
  private async calmTimes(): Promise<void> {
    this.tell('world', () => 'from here on nothing goes wrong any more');
    this.faults.endAll();
    for (const service of services) this.servers[service].leases.setReachable(true);
    this.calmMs = this.scheduler.nowMs;
    for (let round = 0; ; round++) {
      if (!(await this.rest())) return;
      this.missedDeadlines();
      const unfinished = await this.unfinished();
      if (unfinished.length === 0) return;
      if (this.scheduler.nowMs - this.calmMs > CALM_LIMIT_MS) {
        const text = `After ${duration(CALM_LIMIT_MS)} in which nothing went wrong, there still is: ${unfinished.join(', ')}.`;
        this.found.push({ rule: 'no-end', text, orders: [] });
        return;
      }
      this.request(() => this.decideWhatWaits());
      if (!(await this.rest())) return;
      this.scheduler.leap(Math.min(HOUR, SECOND * 2 ** round));
    }
  }

  /** Where nothing hinders the watchdog any more, not even the lease of one that was killed, no order waits past its deadline. */
  private missedDeadlines(): void {
    if (this.scheduler.nowMs - this.calmMs < UNHINDERED_MS) return;
    for (const [id, events] of streamsOf<OrderEvent>(this.servers.order.events.all, 'order')) {
      const state = orderAfter(events);
      if (state.status !== 'placed' && state.status !== 'stock-reserved') continue;
      if (Date.parse(state.terms.deadlineAt) > this.scheduler.nowMs - REST_MS) continue;
      this.found.push({ rule: 'deadline-missed', text: `The ${id} waits past its deadline.`, orders: [id] });
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

  /** Goes on until nothing has changed for a while and nobody waits for an answer. */
  private async rest(): Promise<boolean> {
    this.changed();
    while (this.scheduler.nowMs - this.changedMs < REST_MS || this.open > 0 || !this.scheduler.quiet) {
      if (!(await this.move())) return false;
    }
    return true;
  }

  private async move(): Promise<boolean> {
    if (this.scheduler.steps < STEP_LIMIT) return this.scheduler.step();
    this.found.push({ rule: 'no-end', text: `It did not come to rest within ${STEP_LIMIT} steps.`, orders: [] });
    return false;
  }

  /** Where only time passes, it passes faster and faster: up to `mostMs` at once. */
  private hurry(mostMs: number): void {
    const quietMs = this.scheduler.nowMs - this.changedMs;
    if (quietMs < REST_MS || this.open > 0 || !this.scheduler.quiet) return;
    if (mostMs > SECOND) this.scheduler.leap(Math.min(mostMs, quietMs / 2));
  }

  /** What is not final yet, in words. */
  private async unfinished(): Promise<string[]> {
    const found: string[] = [];
    for (const [id, events] of streamsOf<OrderEvent>(this.servers.order.events.all, 'order')) {
      const state = orderAfter(events);
      if (!isSettled(state)) found.push(`${id}, ${state.status}`);
    }
    for (const service of services) {
      const { tables, checkpoints, events, parked } = this.servers[service];
      const head = BigInt(events.all.length);
      if ((await checkpoints.load(service)) < head) found.push(`the relay of ${service} is behind`);
      for (const projection of shop[service].projections) {
        if ((await tables.checkpoint(projection)) < head) found.push(`${projection.name} is behind`);
      }
      const keys: string[] = [];
      for (const { name } of shop[service].subscribes) {
        const { messages, done } = this.log.subscription(service, name);
        if (messages.some((partition, i) => done[i]! < partition.length)) found.push(`${service} has not read ${name}`);
        keys.push(...messages.flat().map(({ key }) => key));
      }
      if ((await parked.parkedKeys(service, keys))?.size) found.push(`${service} has parked messages`);
    }
    const held = (await this.ledger.totals()).reduce((sum, { heldMinor }) => sum + heldMinor, 0);
    if (held !== 0) found.push(`the provider holds ${held}`);
    return found;
  }

  private heads(): number[] {
    return services.map((service) => this.servers[service].events.all.length);
  }

  // Instances.

  private start(service: Service, instance: number): void {
    const lives = (this.instances[service][instance - 1]?.lives ?? 0) + 1;
    const process = new Process(service, instance, lives, this, this.servers[service]);
    this.processes.push(process);
    this.instances[service][instance - 1] = { process, lives };
    this.changed();
    if (lives > 1) this.tell(process.name, () => 'starts again');
  }

  private startAgain(before: Process, downMs: number): void {
    this.scheduler.after(downMs, () => this.start(before.of, before.instance));
  }

  /** An instance that takes requests; any of them. */
  private running(service: Service): Process | undefined {
    const running = this.instances[service].map(({ process }) => process).filter((process) => process.running);
    return running[this.scheduler.steps % Math.max(1, running.length)];
  }

  // What happens.

  private plannedIn(ms: number, run: () => void): void {
    this.planned++;
    this.scheduler.idleUntil(ms, () => {
      this.planned--;
      run();
    });
  }

  private struck(item: Item): void {
    const fault = faultOf(item);
    if (fault) count(this.coverage.faults, fault);
    this.tell(
      'world',
      () => `${describe(item)} (${item.n})`,
      () => ('order' in item ? [orderIdOf(item.order)] : []),
    );
  }

  private begin(item: Item): void {
    switch (item.kind) {
      case 'second-instance':
        this.start(item.service, 2);
        return this.struck(item);
      case 'crash':
      case 'error':
      case 'stall':
      case 'delivered-twice':
      case 'provider':
        return this.faults.arm(item);
      case 'outage':
      case 'held-up':
      case 'poison':
      case 'provider-down':
      case 'webhooks':
        return this.beginLasting(item);
      case 'stop': {
        const process = this.running(item.service);
        if (!process) return;
        this.struck(item);
        void process.stop().then(() => this.startAgain(process, item.downMs));
        return;
      }
      case 'disconnect':
        this.struck(item);
        return this.instances[item.service].forEach(({ process }) => process.disconnect(item.server));
      case 'lost-lease': {
        const notice = this.servers[item.service].leases.take(item.lease);
        if (!notice) return;
        this.struck(item);
        this.scheduler.idleUntil(item.noticeMs, notice);
        return;
      }
      case 'leap':
        this.struck(item);
        return this.scheduler.leap(item.ms);
      case 'order':
        this.struck(item);
        this.request(() => this.placeOrder(item));
        if (item.againMs !== undefined) this.plannedIn(item.againMs, () => this.request(() => this.placeOrder(item)));
        return;
      case 'cancel':
      case 'receipt':
      case 'recount':
      case 'price':
      case 'operator':
        this.struck(item);
        return this.request(() => this.act(item));
      case 'inboxes':
        this.struck(item);
        return this.request(() => this.decideWhatWaits(item.skips));
    }
  }

  private beginLasting(item: Parameters<Faults['begin']>[0]): void {
    this.faults.begin(item);
    if (item.kind === 'outage') this.cutOff(item.service, item.server);
    this.scheduler.idleUntil(lastsMs(item), () => {
      this.faults.end(item);
      if (item.kind !== 'outage' || this.faults.isDown(item.service, 'tables')) return;
      this.servers[item.service].leases.setReachable(true);
    });
  }

  /** Leases live where the tables do. */
  private cutOff(service: Service, server: Server): void {
    if (server === 'tables') this.servers[service].leases.setReachable(false);
    else for (const { process } of this.instances[service]) process.disconnect(server);
  }

  // People.

  private request(work: () => Promise<void>): void {
    this.open++;
    work()
      .catch((error: unknown) => {
        const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.found.push({ rule: 'error-in-code', text, orders: [] });
      })
      .finally(() => this.open--);
  }

  /**
   * Asks a service as a client does that wants an answer: again, of any instance, when there was none in time or the
   * service could not. Undefined when it has given up. A request without a name is not told.
   */
  private async ask<S extends Service, T>(
    service: S,
    what: string | undefined,
    request: (service: ServiceOf[S]) => Promise<T>,
    orderId?: string,
  ): Promise<Answer<T> | undefined> {
    const about = () => (orderId === undefined ? [] : [orderId]);
    for (let attempt = 1; attempt <= PERSISTENCE; attempt++) {
      const process = this.running(service);
      if (process) {
        const answer = await this.oneRequest(process, (it) => request(it as ServiceOf[S]));
        if (answer) {
          const said = 'refused' in answer ? answer.refused.code : 'accepted';
          if (what !== undefined) this.tell(process.name, () => `${what}: ${said}`, about);
          return answer;
        }
        if (what !== undefined) this.tell(process.name, () => `${what}: no answer`, about);
      }
      await this.scheduler.sleep(attempt * 200);
    }
    return undefined;
  }

  private oneRequest<T>(process: Process, request: (service: Composed) => Promise<T>): Promise<Answer<T> | undefined> {
    return new Promise((resolve) => {
      const patience = this.scheduler.idleUntil(PATIENCE_MS, () => resolve(undefined));
      const answer = (answer: Answer<T> | undefined) => {
        patience.cancel();
        resolve(answer);
      };
      request(process.service).then(
        (ok) => process.alive && answer({ ok }),
        (error: unknown) => {
          if (process.alive) answer(error instanceof DomainError ? { refused: error } : undefined);
        },
      );
    });
  }

  private async openShop(): Promise<void> {
    await Promise.all([
      ...Object.entries(this.plan.prices).map(([sku, amountMinor]) => this.setPrice(sku, amountMinor, `price-${sku}`)),
      ...Object.entries(this.plan.stock).map(([sku, quantity]) =>
        this.enter(`opening-${sku}`, 'receipt', sku, quantity),
      ),
    ]);
  }

  private async setPrice(sku: string, amountMinor: number, causationId: string): Promise<void> {
    const amount = { amountMinor, currency: 'EUR' };
    await this.ask('order', `the price of ${sku} is ${amountMinor}`, (it) =>
      it.setPrice(sku, amount, causeOf(causationId)),
    );
  }

  private async enter(entryId: string, kind: 'receipt' | 'recount', sku: string, quantity: number): Promise<void> {
    const request = { entryId, kind, sku, quantity };
    const answer = await this.ask('inventory', `${kind} of ${quantity} ${sku}`, (it) =>
      it.bookStock(request, causeOf(entryId)),
    );
    if (answer && 'ok' in answer) this.entries.set(entryId, { sku, quantity });
  }

  private async placeOrder({ n, lines, token, waits }: Extract<Item, { kind: 'order' }>): Promise<void> {
    const orderId = orderIdOf(n);
    const request = { orderId, customerId: orderIdOf(n), lines, paymentToken: token };
    await this.opened;
    const answer = await this.ask(
      'order',
      `order ${n} is placed`,
      (it) => it.place(request, causeOf(`order-${n}`)),
      orderId,
    );
    if (!answer || 'refused' in answer) return;
    this.accepted.add(orderId);
    if (!waits) return;
    const waited = await this.ask(
      'order',
      `order ${n} is waited for`,
      (it) => it.awaitSettled(orderId, 5 * SECOND, new AbortController().signal),
      orderId,
    );
    if (waited && 'ok' in waited && isSettled(waited.ok.order)) this.toldEnds.set(orderId, waited.ok.order.status);
  }

  private async act(
    item: Extract<Item, { kind: 'cancel' | 'receipt' | 'recount' | 'price' | 'operator' }>,
  ): Promise<void> {
    switch (item.kind) {
      case 'cancel': {
        const orderId = orderIdOf(item.order);
        const cause = causeOf(`cancel-${item.n}`);
        const answer = await this.ask(
          'order',
          `cancel order ${item.order}`,
          (it) => it.cancel(orderId, cause),
          orderId,
        );
        if (answer && 'ok' in answer) this.cancelled.add(orderId);
        return;
      }
      case 'receipt': {
        const entry = () => this.enter(`receipt-${item.n}`, 'receipt', item.sku, item.quantity);
        await Promise.all(item.twice ? [entry(), entry()] : [entry()]);
        return;
      }
      case 'recount':
        return this.enter(`recount-${item.n}`, 'recount', item.sku, item.counted);
      case 'price':
        return this.setPrice(item.sku, item.amountMinor, `price-${item.n}`);
      case 'operator':
        return this.decide('order', orderIdOf(item.order), item.decision);
    }
  }

  // Operators.

  private async decide(service: Service, orderId: string, decision: 'retry' | 'call-off'): Promise<void> {
    const what = `an operator decides about ${orderId}: ${decision}`;
    const decided = { decision, actor: 'operator', reason: 'It waits.' };
    const cause = causeOf(`decision-${orderId}`);
    const answer = await this.ask(service, what, (it: Attention) => it.resolve(orderId, decided, cause), orderId);
    if (!answer || 'refused' in answer) return;
    count(this.coverage.faults, `operator: ${decision} in ${service}`);
    if (service === 'order' && decision === 'call-off') this.cancelled.add(orderId);
  }

  /** Decides what waits for a person: everything is tried again, and given up when that did not help, or at once. */
  private async decideWhatWaits(skips = false): Promise<void> {
    for (const service of services) {
      const { parked } = this.servers[service];
      for (const { id, message } of await parked.listDead(0n, 100)) {
        const action = !skips && this.again(`${service} ${message.id}`) < 2 ? 'retry' : 'skip';
        const at = new Date(Math.floor(this.scheduler.nowMs));
        this.tell(
          'operator',
          () => `dead letter ${message.type} (${message.key}) of ${service}: ${action}`,
          () => [message.key],
        );
        count(this.coverage.faults, `dead letter: ${action}`);
        await parked.resolve(id, { id: String(id), action, actor: 'operator', reason: 'It waits.', at });
      }
      const inbox = await this.ask(service, undefined, (it: Attention) => it.inbox(100));
      for (const { orderId, choices, tried } of inbox && 'ok' in inbox ? inbox.ok : []) {
        if (service === 'order' && this.calmMs < Infinity && tried.length === 0) {
          const text = `A person is asked about ${orderId}, and nobody was reminded of it.`;
          this.found.push({ rule: 'not-reminded', text, orders: [orderId] });
        }
        const patience = diceFor(this.seed, 'operator', service, orderId).between(0, 1);
        const wanted = this.again(`${service} ${orderId}`) < patience ? 'retry' : 'call-off';
        const [first] = choices;
        const choice = choices.find(({ decision }) => decision === wanted) ?? first;
        if (choice) await this.decide(service, orderId, choice.decision);
      }
    }
  }

  /** How often it was asked about something before. */
  private again(name: string): number {
    const times = this.decided.get(name) ?? 0;
    this.decided.set(name, times + 1);
    return times;
  }

  // The provider.

  /** Hands a webhook to an instance of the payment service, as the controller does. */
  private async deliver(webhook: Webhook): Promise<void> {
    const { orderId } = webhook.data;
    const item = this.faults.webhooks();
    const dice = diceFor(this.seed, 'webhook', webhook.id);
    await this.scheduler.sleep(dice.chance(0.9) ? dice.between(0, 40) : dice.between(0, 2_000));
    if (item?.how === 'lost') return;
    if (item?.how === 'late') await this.scheduler.sleep(dice.between(0, item.forMs));
    for (let times = item?.how === 'twice' ? 2 : 1; times > 0; times--) {
      const process = this.running('payment');
      if (!process) throw new Error('Nobody takes the webhook.');
      const command = commandOf(webhook.data);
      if (!command) return;
      this.tell(
        process.name,
        () => `is sent the webhook ${webhook.type} (${orderId})`,
        () => [orderId],
      );
      const answer = await this.oneRequest(process, (it) =>
        (it as PaymentService).record(orderId, command, { ...causeOf(orderId), causationId: webhook.id }),
      );
      if (!answer || 'refused' in answer) throw new Error('The webhook was not taken.');
    }
  }

  private mix(value: number): void {
    const now = Math.floor(this.scheduler.nowMs * 1_000) | 0;
    this.lane1 = Math.imul(this.lane1 ^ value ^ now, 0x01000193);
    this.lane2 = Math.imul((this.lane2 ^ now) + value, 0x85ebca6b) ^ (this.lane2 >>> 13);
  }
}

function causeOf(id: string): Cause {
  return { correlationId: id, causationId: id };
}
