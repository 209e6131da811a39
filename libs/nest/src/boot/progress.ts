/** How far the loops of a service are behind, and whether they move: for operators, for probes and for metrics. */
import { type EventStore, ForwardingStore, type StreamWrite, type Turn } from '#event-store';
import type { AnyProjection, Staleness } from '#projections';
import { type Clock, ServerUnavailable, within } from '#runtime';
import type { ServiceDefinition, ServicePorts } from '#service';
import type { Health } from './health.js';
import type { Metrics } from './metrics.js';

export interface Progress {
  /** The position of the last event that the read model shows. */
  readonly position: number;
  /** The position of the last event in the store. */
  readonly head: number;
  readonly lag: number;
}

export async function progressOf(
  projection: AnyProjection,
  { store, tables }: Pick<ServicePorts, 'store' | 'tables'>,
): Promise<Progress> {
  // In this order: a checkpoint is never ahead of a head that was read after it.
  const position = await tables.checkpoint(projection);
  return toProgress(position, await store.head());
}

function toProgress(position: bigint, head: bigint): Progress {
  return { position: Number(position), head: Number(head), lag: Number(head - position) };
}

/** How long the store may take to tell the oldest event after a position. */
const OLDEST_MS = 500;

/** What is behind and has not moved for so long is stuck: its server is silent or away, or it fails again and again. */
const STUCK_MS = 5_000;

/** Finds out, from one look to the next, whether what is behind moves. It looks at stored positions, so every instance sees the same. */
class Pace {
  private seen: { readonly position: bigint; readonly sinceMs: number } | undefined;

  constructor(private readonly clock: Clock) {}

  /** What health is to say: nothing, or that it is stuck and for how long it has been seen behind at this very position. */
  look(position: bigint, isBehind: boolean): { readonly status?: 'stuck'; readonly seconds?: number } {
    const nowMs = this.clock.monotonicMs();
    if (!isBehind) this.seen = undefined;
    else if (this.seen?.position !== position) this.seen = { position, sinceMs: nowMs };
    const stillMs = nowMs - (this.seen?.sinceMs ?? nowMs);
    return stillMs < STUCK_MS ? {} : { status: 'stuck', seconds: Math.floor(stillMs / 1_000) };
  }
}

/**
 * For how long the oldest event of these categories after `after` has been there, in seconds: 0 when there is none, undefined
 * when the store takes longer than a moment to tell.
 */
export async function secondsBehind(
  { categories }: Pick<AnyProjection, 'categories'>,
  after: bigint,
  { store, clock }: Pick<ServicePorts, 'store' | 'clock'>,
): Promise<number | undefined> {
  const oldest = async (signal: AbortSignal) => {
    for await (const { events } of store.subscribe({ categories, after, signal })) return events[0]?.recordedAt;
    return undefined;
  };
  const at = await within(clock, OLDEST_MS, oldest, () => null);
  if (at === null) return undefined;
  return at === undefined ? 0 : Math.max(0, (clock.now().getTime() - Date.parse(at)) / 1_000);
}

/** What has changed since the table of a read model was built: its code or its columns. Empty when neither has. */
export async function staleness(
  projection: AnyProjection,
  { tables }: Pick<ServicePorts, 'tables'>,
): Promise<{ readonly stale?: Staleness }> {
  const stale = await tables.staleness(projection);
  return stale === undefined ? {} : { stale };
}

/** What there is to say of a read model's progress. */
export interface ProjectionState extends Progress {
  /** How long the oldest event that it does not show has been there; undefined when the store does not tell in time. */
  readonly behindSeconds: number | undefined;
  readonly status?: 'stuck';
  /** For how long it has been seen to stand still, when it is stuck. */
  readonly seconds?: number;
  readonly stale?: Staleness;
}

/**
 * Shows the progress of each projection, in `/health/ready`, in `/metrics` and to whoever asks. One whose code or columns have changed since
 * its table was built is named in health, and now in the log: it shows what the old code made of older events, so it is
 * as good as before and the service stays ready. So it does while a projector is stuck: another instance would show the
 * same rows.
 */
export class ProjectionWatch {
  private readonly paces: ReadonlyMap<AnyProjection, Pace>;

  constructor(
    readonly projections: readonly AnyProjection[],
    private readonly ports: Pick<ServicePorts, 'clock' | 'log' | 'store' | 'tables'>,
  ) {
    this.paces = new Map(projections.map((each) => [each, new Pace(ports.clock)]));
  }

  show(health: Health, metrics: Metrics): void {
    for (const each of this.projections) {
      health.add(`projection:${each.name}`, () => this.look(each));
      void warnOf(each, this.ports);
    }
    metrics.gauge('larder_projection_lag', 'Positions between the last event and the read model.', ['projection'], () =>
      Promise.all(
        this.projections.map(async (each) => ({
          labels: { projection: each.name },
          value: (await progressOf(each, this.ports)).lag,
        })),
      ),
    );
  }

  /** Besides what health says, how old what it does not show is. */
  async stateOf(projection: AnyProjection): Promise<ProjectionState> {
    const state = await this.look(projection);
    const { position, lag } = state;
    const behindSeconds = lag > 0 ? await secondsBehind(projection, BigInt(position), this.ports) : 0;
    return { ...state, behindSeconds };
  }

  private async look(projection: AnyProjection): Promise<Omit<ProjectionState, 'behindSeconds'>> {
    const progress = await progressOf(projection, this.ports);
    const { position, lag } = progress;
    const pace = this.paces.get(projection)!.look(BigInt(position), lag > 0);
    return { ...pace, ...progress, ...(await staleness(projection, this.ports)) };
  }
}

async function warnOf(projection: AnyProjection, ports: Pick<ServicePorts, 'tables' | 'log'>): Promise<void> {
  const { name, table } = projection;
  // Health reports a database that does not answer, and later the staleness as well.
  const { stale } = await staleness(projection, ports).catch(() => ({ stale: undefined }));
  if (stale === undefined) return;
  ports.log.warn(
    { projection: name, stale },
    `${table} was built ${stale === 'code' ? 'by other code' : 'for other columns'} than today's: ` +
      `\`npm run replay -- ${name}\` rebuilds it.`,
  );
}

/**
 * Names in `/health/ready` the relay, and the partitions of the consumer, that are behind and do not move. Requests are
 * answered without them: events and messages wait, and another instance would have no more of them.
 */
export function watchLoops(
  { name, relays, subscribes }: Pick<ServiceDefinition, 'name' | 'relays' | 'subscribes'>,
  { clock, store, checkpoints, bus }: Pick<ServicePorts, 'clock' | 'store' | 'checkpoints' | 'bus'>,
  health: Health,
): void {
  if (relays.length > 0) {
    const pace = new Pace(clock);
    const relay = async () => {
      const position = await checkpoints.load(name);
      const progress = toProgress(position, await store.head());
      return { ...pace.look(position, progress.lag > 0), ...progress };
    };
    health.add('relay', relay, { needed: false });
  }
  if (subscribes.length > 0) {
    const topics = subscribes.map((topic) => topic.name);
    let paces = new Map<string, Pace>();
    const consumer = async () => {
      const before = paces;
      paces = new Map();
      const stuck = (await bus.unread(name, topics)).flatMap(({ topic, partition, done, unread }) => {
        const pace = before.get(`${topic} ${partition}`) ?? new Pace(clock);
        paces.set(`${topic} ${partition}`, pace);
        const { status, seconds } = pace.look(done, true);
        return status === undefined ? [] : [{ topic, partition, unread, seconds }];
      });
      return stuck.length > 0 ? { status: 'stuck', partitions: stuck } : undefined;
    };
    health.add('consumer', consumer, { needed: false });
  }
}

/** An event store that knows for how long its appends have waited for an answer. */
export class WatchedStore extends ForwardingStore {
  /** When each append under way began, the oldest first. */
  private readonly underWay = new Set<{ readonly beganMs: number }>();
  private answeredMs = -Infinity;

  constructor(
    store: EventStore,
    private readonly clock: Clock,
  ) {
    super(store);
  }

  /** @throws ServerUnavailable when there has been an append for more than `ms` milliseconds, and no answer to any */
  refuseSilence(ms: number): void {
    const [oldest] = this.underWay;
    if (oldest && this.clock.monotonicMs() - Math.max(oldest.beganMs, this.answeredMs) > ms) {
      throw new ServerUnavailable('The event store does not answer an append.');
    }
  }

  override append(writes: readonly StreamWrite[]): Promise<bigint> {
    return this.watch(() => super.append(writes));
  }

  /** From when it is asked for: one that does not come is an append without an answer, too. */
  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return this.watch(() => super.inTurn(streams, work));
  }

  private async watch<T>(appending: () => Promise<T>): Promise<T> {
    const append = { beganMs: this.clock.monotonicMs() };
    this.underWay.add(append);
    try {
      return await appending();
    } finally {
      this.underWay.delete(append);
      this.answeredMs = this.clock.monotonicMs();
    }
  }
}
