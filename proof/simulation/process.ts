/**
 * One instance of a service, from its start to its end: the composition that Nest calls too, over ports whose every step
 * takes time, may fail, and may be the last. What it writes lives on the servers and outlives it.
 */
import { type Service, services, type shop } from '../../apps/shop.js';
import { setMaxListeners } from 'node:events';
import type { CustomerKeys } from '../../apps/order/src/customer-keys/port.js';
import { MemoryCustomerKeys } from '../../apps/order/src/customer-keys/memory.js';
import type { PaymentProvider } from '../../apps/payment/src/provider.js';
import type { PaymentPorts } from '../../apps/payment/src/service.js';
import {
  type Batch,
  EventStore,
  idOf,
  MemoryEvents,
  MemoryEventStore,
  MemorySnapshots,
  type RecordedEvent,
  type StreamWrite,
  type Turn,
} from '#event-store';
import {
  type ConsumeOptions,
  type Delivered,
  MemoryLog,
  MemoryMessageBus,
  MemoryParkedMessages,
  type Message,
  MessageBus,
} from '#message-bus';
import { CheckpointMoved, JointCommits, MemoryTables, type TableChange } from '#projections';
import { Ids, type Log, MemoryCheckpoints, ServerUnavailable } from '#runtime';
import { type OnStep, override, type Step, stepped, steppedPort } from '../interruptible.js';
import { withTimeout } from '../provider-timeout.js';
import type { ServicePorts } from '#service';
import { diceFor, hash } from './chance.js';
import type { Faults } from './faults.js';
import { LeaseServer } from './leases.js';
import type { Item, Server } from './plan.js';
import type { Moment } from './fault-points.js';
import { type Scheduler, VirtualClock } from './scheduler.js';
import { orderOf } from './story.js';

/** The servers of one service, and what is durable on them. */
export class Servers {
  readonly events = new MemoryEvents();
  /** Far more of them than in a real service, so that short worlds have some too. */
  readonly snapshots = new MemorySnapshots(3);
  readonly tables: MemoryTables;
  readonly checkpoints = new MemoryCheckpoints();
  readonly parked = new MemoryParkedMessages();
  readonly leases = new LeaseServer();
  /** The key store: order alone asks for it. */
  readonly customerKeys = new MemoryCustomerKeys();

  constructor(clock: VirtualClock) {
    this.tables = new MemoryTables(clock);
  }
}

/** What a composition gives back. */
export interface Composed {
  run(signal: AbortSignal): Promise<void>;
}

/** Each service, as its composition gives it back. */
export type ServiceOf = { readonly [S in Service]: ReturnType<(typeof shop)[S]['compose']> };

export type PortsInWorld = ServicePorts & Pick<PaymentPorts, 'providerFor'> & { readonly customerKeys: CustomerKeys };

/** What a process finds in the world. */
export interface Surroundings {
  readonly seed: number;
  readonly slowShare: number;
  readonly scheduler: Scheduler;
  readonly faults: Faults;
  readonly log: MemoryLog;
  readonly provider: PaymentProvider;
  /** How far the clock of a service's machine is from that of the world. */
  wrongByMs(service: Service): number;
  /** Puts a service together. */
  compose(service: Service, ports: PortsInWorld): Composed;
  /** Counts a step that was taken, and makes it part of the trace. */
  stepped(process: Process, step: Step, moment: Moment): void;
  /** The ids of the messages that each service was given in a batch that it was done with. */
  readonly handled: Readonly<Record<Service, Set<string>>>;
  /** Something durable has changed. */
  changed(): void;
  /** Something that a reader of the story wants to know; `orders` are the ids that it is about. */
  tell(who: string, text: () => string, orders?: () => readonly string[]): void;
  crashed(process: Process, item: Extract<Item, { kind: 'crash' }>): void;
  /** What a service logs, with its error. */
  logged(process: Process, level: 'warn' | 'error', fields: Record<string, unknown>, message: string): void;
  /** Its loops have ended although nobody stopped them. */
  ended(process: Process, error: unknown): void;
}

/** What is committed within this time is committed together: far more often than in a real service, so that short worlds have it. */
const JOINT_MS = 3;

/** How long a process waits for an answer of the provider. */
const PROVIDER_TIMEOUT_MS = 2_000;

const PROVIDER_STEPS = {
  authorize: () => [],
  capture: () => [],
  void: () => [],
  refund: () => [],
  find: () => [],
};

const KEY_STEPS = { current: () => [], find: () => [], close: () => [], erase: () => [] };

/** What a killed process awaits. A promise of its own each time: one for all would keep every world in memory. */
const never = () => new Promise<never>(() => {});

export class Process {
  readonly name: string;
  /** What others may call. */
  readonly service: Composed;
  private living = true;
  private readonly stopping = new AbortController();
  private readonly finished: Promise<void>;
  private readonly store: ProcessStore;
  private readonly bus: ProcessBus;
  /** How often each step was taken, with the hash of its name: what its luck is drawn from. */
  private readonly luck = new Map<string, { seed: number; times: number }>();

  /** `life` counts the processes of this instance. */
  constructor(
    readonly of: Service,
    readonly instance: number,
    life: number,
    private readonly world: Surroundings,
    private readonly servers: Servers,
  ) {
    this.name = `${of}#${instance}`;
    const { seed, scheduler, provider } = world;
    setMaxListeners(0, this.stopping.signal); // All of its loops listen to it.
    const clock = new VirtualClock(
      scheduler,
      () => this.living,
      () => world.wrongByMs(of),
    );
    this.store = new ProcessStore(this, world, servers, clock);
    this.bus = new ProcessBus(this, world, clock, diceFor(seed, this.name, life, 'deliveries'));
    const { snapshots, tables, checkpoints, parked, leases, customerKeys } = servers;
    const ports: ServicePorts = {
      clock,
      ids: new ProcessIds(of, instance, life),
      random: diceFor(seed, this.name, life, 'jitter'),
      log: this.logger(),
      store: this.store,
      bus: this.bus,
      snapshots: this.onServer('tables', snapshots, []),
      tables: this.jointly(this.onServer('tables', tables, ['commit']), clock),
      checkpoints: this.onServer('tables', checkpoints, ['save']),
      parked: this.onServer('tables', parked, ['park', 'recordRetries']),
      deadLetters: this.onServer('tables', parked, ['resolve', 'resolveMany']),
      leases: leases.client(this, () => this.living),
      counters: { skipped() {}, dead() {} },
    };
    const asked = steppedPort('provider', provider, PROVIDER_STEPS, this.onStep);
    const limited = withTimeout(asked, clock, PROVIDER_TIMEOUT_MS);
    const keys = this.onServer('keys', customerKeys, ['close', 'erase']);
    this.service = world.compose(of, {
      ...stepped(ports, this.onStep),
      customerKeys: steppedPort('keys', keys, KEY_STEPS, this.onStep),
      providerFor: () => limited,
    });
    this.finished = this.service.run(this.stopping.signal).then(
      () => this.stopping.signal.aborted || world.ended(this, undefined),
      (error: unknown) => world.ended(this, error),
    ) as Promise<void>;
  }

  /** Whether it runs, and takes requests. */
  get running(): boolean {
    return this.living && !this.stopping.signal.aborted;
  }

  get alive(): boolean {
    return this.living;
  }

  /** SIGKILL: nothing of it continues. The servers find out after `freeMs`, and then give what it held to others. */
  kill(freeMs: number): void {
    if (!this.living) return;
    this.living = false;
    this.world.scheduler.idleUntil(freeMs, () => this.free());
  }

  /** SIGTERM: it finishes what it has begun. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.finished;
    this.kill(0);
  }

  /** Its world has ended. Signals that nobody aborts are kept by Node forever, with everything that listens to them. */
  discard(): void {
    this.living = false;
    this.stopping.abort();
    this.free();
  }

  /** Its connections to a server break. */
  disconnect(server: 'store' | 'bus'): void {
    if (this.living) this[server].disconnect();
  }

  /** @throws ServerUnavailable while a server of the service cannot be reached */
  reach(server: Server): void {
    if (this.world.faults.isDown(this.of, server)) throw new ServerUnavailable(`The ${server} cannot be reached.`);
  }

  private free(): void {
    this.servers.leases.free(this);
    void this.store.close();
    void this.bus.close();
  }

  private readonly onStep: OnStep = (step, moment) => {
    if (!this.living) return never();
    const { scheduler, faults } = this.world;
    return new Promise((resolve, reject) => {
      const takesMs = this.latencyMs(step, moment) + faults.stallMs(this.of, step, moment);
      scheduler.after(takesMs, () => {
        if (!this.living) return;
        const fault = faults.at(this.of, step, moment);
        this.world.stepped(this, step, moment);
        if (fault?.kind === 'crash') this.world.crashed(this, fault);
        else if (fault) reject(new ServerUnavailable(`${moment} ${step.point}: the connection broke.`));
        else resolve();
      });
    });
  };

  /** Mostly 0.1 to 5 ms, the provider ten times as much; now and then half a second. */
  private latencyMs({ point, about }: Step, moment: Moment): number {
    const name = `${moment} ${point} ${about[0]}`;
    let luck = this.luck.get(name);
    if (!luck) this.luck.set(name, (luck = { seed: hash(name, hash(this.name, this.world.seed)), times: 0 }));
    let drawn = (luck.seed + Math.imul(++luck.times, 0x9e3779b9)) >>> 0;
    drawn = Math.imul(drawn ^ (drawn >>> 16), 0x21f0aaad);
    drawn = Math.imul(drawn ^ (drawn >>> 15), 0x735a2d97);
    const share = ((drawn ^ (drawn >>> 15)) >>> 0) / 2 ** 32;
    const ms = share < this.world.slowShare ? 20 + (share / this.world.slowShare) * 480 : 0.1 + share * share * 4.9;
    return point.startsWith('provider.') ? ms * 10 : ms;
  }

  /** A port on a server of the service: it fails while that cannot be reached. `writes` are the methods that change something. */
  private onServer<T extends object>(server: Server, port: T, writes: readonly string[]): T {
    return new Proxy(port, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (typeof value !== 'function') return value;
        return async (...args: unknown[]) => {
          this.reach(server);
          if (writes.includes(String(key)) && changes(args)) this.world.changed();
          return value.apply(target, args);
        };
      },
    });
  }

  /** The same tables, to which what the projections of the process commit in a moment is written together, as on Postgres. */
  private jointly(tables: MemoryTables, clock: VirtualClock): MemoryTables {
    const { scheduler, faults } = this.world;
    const writeOne = (change: TableChange) =>
      tables.commit(change).then(
        () => true,
        (error: unknown) => {
          if (error instanceof CheckpointMoved) return false;
          throw error;
        },
      );
    const commits = new JointCommits({
      clock,
      soon: (then) => scheduler.after(JOINT_MS, () => this.living && then()),
      write: async (changes) => {
        const broken = changes.find(
          ({ projection, upserts, deletes }) =>
            upserts.length + deletes.length > 0 && faults.isTableBroken(this.of, projection.name),
        );
        if (broken) throw new Error(`The table of ${broken.projection.name} takes no rows.`);
        return Promise.all(changes.map(writeOne));
      },
    });
    return override(tables, { commit: (change: TableChange) => commits.commit(change) });
  }

  private logger(): Log {
    const say = (level: 'warn' | 'error') => (fields: object, message: string) => {
      if (this.living) this.world.logged(this, level, fields as Record<string, unknown>, message);
    };
    return { debug() {}, info() {}, warn: say('warn'), error: say('error') };
  }
}

/** A checkpoint that moves past what concerns nobody is no change that anything could follow from. */
function changes([first, second]: readonly unknown[]): boolean {
  if (typeof first === 'object' && first !== null && 'upserts' in first && 'deletes' in first) {
    return [first.upserts, first.deletes].some((rows) => (rows as unknown[]).length > 0);
  }
  return typeof second !== 'bigint';
}

class ProcessStore extends EventStore {
  private inner: MemoryEventStore;

  constructor(
    private readonly process: Process,
    private readonly world: Surroundings,
    private readonly servers: Servers,
    private readonly clock: VirtualClock,
  ) {
    super();
    this.inner = new MemoryEventStore(clock, servers.events);
  }

  disconnect(): void {
    void this.inner.close();
    this.inner = new MemoryEventStore(this.clock, this.servers.events);
  }

  override async append(writes: readonly StreamWrite[]): Promise<bigint> {
    const { process, world } = this;
    process.reach('store');
    const concerns = (order: number) =>
      writes.some(({ stream }) => stream.includes('-00000000-0000-4000-a000-') && orderOf(idOf(stream)) === order);
    // The server is there, and what is written is the trouble: attempts are counted, and end as a dead letter.
    if (world.faults.isPoisoned(process.of, concerns)) throw new Error('This cannot be written.');
    const position = await this.inner.append(writes);
    world.changed();
    world.tell(
      process.name,
      () =>
        `writes ${writes.flatMap(({ stream, events }) => events.map(({ type }) => `${type} (${stream})`)).join(', ')}`,
      () => ordersOf(writes.flatMap(({ stream, events }) => events.map(({ data }) => ({ stream, data })))),
    );
    return position;
  }

  override inTurn<T>(_: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return work(this);
  }

  override async *read(stream: string, from?: number): AsyncIterable<RecordedEvent> {
    this.process.reach('store');
    yield* this.inner.read(stream, from);
  }

  override async *subscribe(options: Parameters<EventStore['subscribe']>[0]): AsyncIterable<Batch> {
    this.process.reach('store');
    yield* this.inner.subscribe(options);
    if (!options.signal.aborted) throw new ServerUnavailable('The connection to the event store broke.');
  }

  override async head(): Promise<bigint> {
    this.process.reach('store');
    return this.inner.head();
  }

  override close(): Promise<void> {
    return this.inner.close();
  }
}

class ProcessBus extends MessageBus {
  private inner: MemoryMessageBus;

  constructor(
    private readonly process: Process,
    private readonly world: Surroundings,
    private readonly clock: VirtualClock,
    private readonly dice: ReturnType<typeof diceFor>,
  ) {
    super();
    this.inner = new MemoryMessageBus({ clock, log: world.log });
  }

  disconnect(): void {
    void this.inner.close();
    this.inner = new MemoryMessageBus({ clock: this.clock, log: this.world.log });
  }

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    const { process, world } = this;
    process.reach('bus');
    await this.inner.publish(topic, messages);
    world.changed();
    world.tell(
      process.name,
      () => `tells ${messages.map(({ type, key }) => `${type} (${key})`).join(', ')}`,
      () => messages.map(({ key }) => key),
    );
  }

  override async consume(options: ConsumeOptions): Promise<void> {
    this.process.reach('bus');
    await this.inner.consume({ ...options, handle: (batch, lost) => this.deliver(options, batch, lost) });
  }

  /** The partitions of a batch come in any order, those of a topic that is held up come later, and some come twice. */
  private async deliver(options: ConsumeOptions, batch: readonly Delivered[], lost: AbortSignal): Promise<void> {
    const { process, world, dice, clock } = this;
    const { of } = process;
    const partitions = new Map<string, Delivered[]>();
    for (const message of batch) {
      const name = `${message.topic} ${message.partition}`;
      const partition = partitions.get(name);
      if (partition) partition.push(message);
      else partitions.set(name, [message]);
    }
    const lateMs = new Map(options.topics.map((topic) => [topic, 0]));
    for (const { topic } of batch) if (!lateMs.get(topic)) lateMs.set(topic, world.faults.heldUpMs(of, topic));
    const noticed = this.noticed(lost, dice.pick([0, 0, 50, 1_000]));
    const shuffled = dice.shuffled([...partitions.values()]);
    for (const topics of [
      options.topics.filter((it) => !lateMs.get(it)),
      options.topics.filter((it) => lateMs.get(it)),
    ]) {
      const messages = shuffled.flat().filter(({ topic }) => topics.includes(topic));
      if (messages.length === 0) continue;
      await clock.sleep(Math.max(...topics.map((topic) => lateMs.get(topic)!)), lost);
      lost.throwIfAborted();
      world.tell(
        process.name,
        () => `is given ${messages.map(({ type, key }) => `${type} (${key})`).join(', ')}`,
        () => messages.map(({ key }) => key),
      );
      await options.handle(messages, noticed);
      if (process.alive) for (const { id } of messages) world.handled[of].add(id);
      if (
        world.faults.deliveredTwice(
          of,
          messages.map(({ type }) => type),
        )
      )
        await options.handle(messages, noticed);
    }
  }

  /** The news that a partition was lost reaches the process some time after another instance has it. */
  private noticed(lost: AbortSignal, afterMs: number): AbortSignal {
    if (afterMs === 0) return lost;
    const noticed = new AbortController();
    const notice = () => this.world.scheduler.idleUntil(afterMs, () => noticed.abort(lost.reason));
    if (lost.aborted) notice();
    else lost.addEventListener('abort', notice, { once: true });
    return noticed.signal;
  }

  override rewind(group: string, topics: readonly string[]): Promise<void> {
    return this.inner.rewind(group, topics);
  }

  override async ping(): Promise<void> {
    this.process.reach('bus');
  }

  override close(): Promise<void> {
    return this.inner.close();
  }
}

/** The ids of the orders that events are about: from their streams, or from their data. */
function ordersOf(events: readonly { stream: string; data: object }[]): string[] {
  return events.flatMap(({ stream, data }) => {
    if ('orderId' in data) return [String(data.orderId)];
    return stream.includes('-00000000-0000-4000-a000-') ? [idOf(stream)] : [];
  });
}

/** Ids that tell where they come from, and are the same whatever other processes do. */
class ProcessIds extends Ids {
  private last = 0;

  constructor(
    private readonly service: Service,
    private readonly instance: number,
    private readonly life: number,
  ) {
    super();
  }

  override next(): string {
    const place = (services.indexOf(this.service) + 1) * 0x1000 + this.instance * 0x100;
    const hex = (n: number, digits: number) => n.toString(16).padStart(digits, '0');
    return `${hex(place, 8)}-${hex(this.life, 4)}-4000-8000-${hex(++this.last, 12)}`;
  }
}
