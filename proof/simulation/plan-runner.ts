/** Carries out a plan: each of its items begins at its time, and what lasts for a while ends again. */
import type { Service } from '../../apps/shop.js';
import { count, type Coverage, faultOf } from './coverage.js';
import { lastsMs } from './delays.js';
import type { Faults } from './faults.js';
import type { People } from './people.js';
import { describe, type Item, type Server } from './plan.js';
import type { Process, Servers, Surroundings } from './process.js';
import { orderIdOf } from './story.js';

/** What an item can touch. */
interface PlansWorld extends Pick<Surroundings, 'scheduler' | 'faults' | 'tell'> {
  readonly servers: Readonly<Record<Service, Servers>>;
  readonly people: People;
  readonly coverage: Coverage;
  /** When each item had an effect for the first time, by its number. */
  readonly struckMs: Map<number, number>;
  start(service: Service, instance: number): void;
  startAgain(before: Process, downMs: number): void;
  setClock(service: Service, byMs: number): void;
  /** An instance that takes requests. */
  running(service: Service): Process | undefined;
  /** Breaks the connections of all instances to a server. */
  disconnect(service: Service, server: 'store' | 'bus'): void;
}

export class PlanRunner {
  /** What is planned and has not begun yet: a leap of time may have made it late. */
  private planned = 0;

  constructor(private readonly world: PlansWorld) {}

  /** Whether anything has not begun yet. */
  get waiting(): boolean {
    return this.planned > 0;
  }

  schedule(items: readonly Item[]): void {
    for (const item of items) this.beginIn(item.atMs, () => this.begin(item));
  }

  private beginIn(ms: number, run: () => void): void {
    this.planned++;
    this.world.scheduler.idleUntil(ms, () => {
      this.planned--;
      run();
    });
  }

  recordStrike(item: Item): void {
    const fault = faultOf(item);
    if (fault) count(this.world.coverage.faults, fault);
    const { struckMs, scheduler } = this.world;
    if (!struckMs.has(item.n)) struckMs.set(item.n, scheduler.nowMs);
    this.world.tell(
      'world',
      () => `${describe(item)} (${item.n})`,
      () => ('order' in item ? [orderIdOf(item.order)] : []),
    );
  }

  private begin(item: Item): void {
    switch (item.kind) {
      case 'second-instance':
        this.world.start(item.service, 2);
        return this.recordStrike(item);
      case 'crash':
      case 'error':
      case 'stall':
      case 'delivered-twice':
      case 'provider':
      case 'stray':
        return this.world.faults.arm(item);
      case 'outage':
      case 'broken-table':
      case 'held-up':
      case 'poison':
      case 'provider-down':
      case 'webhooks':
        return this.beginLasting(item);
      case 'stop': {
        const process = this.world.running(item.service);
        if (!process) return;
        this.recordStrike(item);
        void process.stop().then(() => this.world.startAgain(process, item.downMs));
        return;
      }
      case 'disconnect':
        this.recordStrike(item);
        return this.world.disconnect(item.service, item.server);
      case 'lost-lease': {
        const notice = this.world.servers[item.service].leases.take(item.lease);
        if (!notice) return;
        this.recordStrike(item);
        this.world.scheduler.idleUntil(item.noticeMs, notice);
        return;
      }
      case 'leap':
        this.recordStrike(item);
        return this.world.scheduler.leap(item.ms);
      case 'clock':
        this.recordStrike(item);
        return this.world.setClock(item.service, item.byMs);
      case 'order':
        this.recordStrike(item);
        this.world.people.request(() => this.world.people.placeOrder(item));
        if (item.againMs !== undefined)
          this.beginIn(item.againMs, () => this.world.people.request(() => this.world.people.placeOrder(item)));
        return;
      case 'cancel':
      case 'receipt':
      case 'recount':
      case 'price':
      case 'operator':
      case 'erasure':
        this.recordStrike(item);
        return this.world.people.request(() => this.world.people.act(item));
      case 'inboxes':
        this.recordStrike(item);
        return this.world.people.request(() => this.world.people.decideAll(item.skips));
    }
  }

  private beginLasting(item: Parameters<Faults['begin']>[0]): void {
    this.world.faults.begin(item);
    if (item.kind === 'outage') this.cutOff(item.service, item.server);
    this.world.scheduler.idleUntil(lastsMs(item), () => {
      this.world.faults.end(item);
      if (item.kind !== 'outage' || this.world.faults.isDown(item.service, 'tables')) return;
      this.world.servers[item.service].leases.setReachable(true);
    });
  }

  /** Leases live where the tables do. */
  private cutOff(service: Service, server: Server): void {
    if (server === 'tables') this.world.servers[service].leases.setReachable(false);
    else if (server !== 'keys') this.world.disconnect(service, server);
  }
}
