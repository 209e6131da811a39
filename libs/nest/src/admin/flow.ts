/**
 * How a service flows, in figures as of now. They are read when somebody asks, in a handful of small statements, and kept for
 * half a second: however many ask, the servers notice one.
 *
 * What is stored (positions, offsets, leases) is the same whichever instance is asked. Circuits are this instance's own.
 */
import { type Clock, within } from '#runtime';
import type { CircuitState, OrderFlow, ServiceDefinition, ServiceFlow, ServicePorts } from '#service';
import { secondsBehind } from '../boot/progress.js';

const KEPT_MS = 500;
/** How long a server may take to tell a figure, which is left out otherwise. */
const FIGURE_MS = 500;

/** What of a service as an application only one instance does: telling what waits for a person, and rebuilding read models. */
const COMMON_LEASES = ['attention', 'replays'];

type Ports = Pick<ServicePorts, 'clock' | 'store' | 'tables' | 'checkpoints' | 'bus' | 'leases'>;

export class Flow {
  private readonly circuits = new Map<string, () => CircuitState>();
  private orders: () => OrderFlow | undefined = () => undefined;
  private latest: { readonly atMs: number; readonly told: Promise<ServiceFlow> } | undefined;

  constructor(
    private readonly definition: ServiceDefinition,
    private readonly ports: Ports,
    private readonly instance: string,
  ) {}

  /** Has the circuit shown that is between this service and `name`. */
  addCircuit(name: string, state: () => CircuitState): void {
    this.circuits.set(name, state);
  }

  /** Has shown what the order service counts of its orders. */
  showOrders(orders: () => OrderFlow | undefined): void {
    this.orders = orders;
  }

  tell(): Promise<ServiceFlow> {
    const nowMs = this.ports.clock.monotonicMs();
    if (!this.latest || nowMs - this.latest.atMs >= KEPT_MS) this.latest = { atMs: nowMs, told: this.read() };
    return this.latest.told;
  }

  private async read(): Promise<ServiceFlow> {
    const { clock, store, tables, checkpoints, bus, leases } = this.ports;
    const { name: service, relays, subscribes, projections, allLeases } = this.definition;
    const topics = subscribes.map((topic) => topic.name);
    const names = [...allLeases, ...COMMON_LEASES];
    const [relayAt, positions, unread, holders] = await Promise.all([
      relays.length > 0 ? inTime(clock, () => checkpoints.load(service)) : undefined,
      inTime(clock, () => tables.positions(projections)),
      topics.length > 0 ? inTime(clock, () => bus.unread(service, topics)) : undefined,
      inTime(clock, () => leases.holders(names)),
    ]);
    // After the positions, which are never ahead of it then.
    const head = await inTime(clock, () => store.head());
    // Where nothing can be read, what was counted of the orders is not all.
    const orders = head === undefined ? undefined : this.orders();
    return {
      service,
      instance: this.instance,
      at: clock.now().toISOString(),
      ...(head !== undefined && { head: `${head}`, ...(await this.behind(head, relayAt, positions)) }),
      ...(unread && { consumer: { unread: unread.reduce((sum, partition) => sum + partition.unread, 0) } }),
      ...(holders && { leases: names.map((name) => ({ name, ...holderOf(name, holders) })) }),
      circuits: Object.fromEntries([...this.circuits].map(([name, state]) => [name, state()])),
      ...(orders && { orders }),
    };
  }

  private async behind(
    head: bigint,
    relayAt: bigint | undefined,
    positions: ReadonlyMap<string, bigint> | undefined,
  ): Promise<Pick<ServiceFlow, 'relay' | 'readModels'>> {
    const { relays, projections } = this.definition;
    const at = async (position: bigint, categories: readonly string[]) => {
      const lag = Number(head - position);
      const wait = () => secondsBehind({ categories }, position, this.ports);
      const seconds = lag > 0 ? await inTime(this.ports.clock, wait) : 0;
      return { position: `${position}`, lag, ...(seconds !== undefined && { seconds }) };
    };
    const [relay, readModels] = await Promise.all([
      relayAt === undefined ? undefined : at(relayAt, relays),
      positions &&
        Promise.all(
          projections.map(async ({ name, categories }) => ({ name, ...(await at(positions.get(name)!, categories)) })),
        ),
    ]);
    return { ...(relay && { relay }), ...(readModels && { readModels }) };
  }
}

function holderOf(lease: string, holders: ReadonlyMap<string, string>) {
  const holder = holders.get(lease);
  return holder === undefined ? {} : { holder };
}

/** What `read` finds; undefined when its server is away, or takes too long. */
async function inTime<T>(clock: Clock, read: () => Promise<T>): Promise<T | undefined> {
  return within(clock, FIGURE_MS, read, () => undefined).catch(() => undefined);
}
