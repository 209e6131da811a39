/**
 * From a command to facts in the store: load, decide, append, and after a conflict load and decide again.
 *
 *   transact(decider, stream, command, cause)   one aggregate, one command: what nearly every handler is
 *   together(decisions)                         many decisions over many streams, written as one append
 *
 *              ┌──────────── a state is missing: load it ───────────┐
 *              ▼                                                    │
 *   decide all on known states ─────────────────────────────────────┤
 *              │                                                    │
 *              ▼                                                    │
 *   check what no append will check ─── a stream has moved on ──────┤
 *              │                                                    │
 *              ▼                                                    │
 *   append, if there are new facts ──── RevisionConflict: read on ──┘
 *              │
 *              ▼
 *   remember the new states, answer
 *
 * States come from a cache, and another instance may have moved a stream since. An append proves the states that it
 * builds on, for it names their revisions. A refusal, an empty decision and a stream that was looked at but not written
 * are proved by nothing, so before such a result counts, those streams are read forward from the cached revision, which
 * usually finds nothing. The cost falls on refusals and repetitions only. Streams are read one after the other, and one
 * append may have moved two of them in between; so where a refusal rests on several, they are read once more, and it
 * counts when none of them has moved.
 */
import { LRUCache } from 'lru-cache';
import type { Decider } from '#decider';
import { backoffMs, type Clock, type Ids, type Random } from '#runtime';
import {
  type Cause,
  categoryOf,
  type EventStore,
  type DomainEvent,
  type RecordedEvent,
  RevisionConflict,
  type StreamWrite,
} from './port.js';
import { foldedBy, type Snapshots } from './snapshots.js';
import { type Upcasters, versionOf } from './upcast.js';

/**
 * Enough for some seconds of checkouts at full load, and for the SKUs that sell meanwhile. More would cost more than
 * their size: states that die all over the old generation's pages keep those alive (10,000 orders took 13 MB more).
 */
const MAX_STATES = 2_000;

/**
 * What a decision sees and does. A decision must be free of side effects, for it may run several times. Where it asks
 * for a stream that is not loaded yet, that run is a rehearsal: it goes on with the decider's initial state, which lets
 * it name the other streams that it needs, and then everything is loaded at once and the decision runs again.
 */
export interface Desk {
  /** The state of a stream, with the facts that were decided at this desk so far. */
  state<C, E extends DomainEvent, S>(decider: Decider<C, E, S>, stream: string): S;
  /** Decides a command against that state and puts its facts down for the append. Returns them. */
  decide<C, E extends DomainEvent, S>(
    decider: Decider<C, E, S>,
    stream: string,
    command: C,
    cause: Cause,
  ): readonly E[];
  /** Says that `stream` most likely does not exist, which saves reading it: the append finds out. */
  expectNew(stream: string): void;
}

export type Decision<T> = (desk: Desk) => T;

export interface Outcome<E, S> {
  /** The state after the decision. */
  readonly state: S;
  /** The new facts; none when the command was already carried out. */
  readonly events: readonly E[];
  /** Where the stream stands: the position of its last event, or of the append that this was part of; 0n when it has none. */
  readonly position: bigint;
}

/** A stream folded up to a revision. What lies behind is never wrong, only perhaps not the latest. */
interface Folded {
  readonly decider: Decider<any, any, any>;
  readonly state: any;
  readonly revision: number | 'none';
  /** Of the event at `revision`; '' when there is none. */
  readonly eventId: string;
  readonly position: bigint;
}

/** A stream as a batch of decisions knows it. */
interface Known extends Folded {
  /** Read since the batch began; otherwise it is from the cache, or assumed to be new. */
  readonly current: boolean;
}

/** What was decided for a stream and is not written yet. */
interface Draft {
  readonly decider: Decider<any, any, any>;
  state: any;
  readonly facts: { readonly fact: DomainEvent; readonly cause: Cause }[];
}

export class Transactor {
  private readonly cache: LRUCache<string, Folded>;
  /** Which code folds the states of each decider here. */
  private readonly digests = new Map<Decider<any, any, any>, string>();
  /** The revisions of the latest snapshots, by stream. */
  private readonly kept: LRUCache<string, number>;
  private readonly upcasters: Upcasters;
  private readonly maxAttempts: number;
  /** By stream, the last of the transactions that are under way or wait for their turn. */
  private readonly turns = new Map<string, Promise<unknown>>();

  /**
   * `maxStates` bounds the cache, `maxAttempts` the appends that one call tries. Of streams of the categories in
   * `snapshots` a snapshot is kept, where there is a port for it: those that grow long.
   */
  constructor(
    private readonly ports: {
      readonly store: EventStore;
      readonly clock: Clock;
      readonly ids: Ids;
      readonly random: Random;
      readonly snapshots?: Snapshots;
    },
    private readonly options: {
      readonly upcasters?: Upcasters;
      readonly maxStates?: number;
      readonly maxAttempts?: number;
      readonly snapshots?: readonly string[];
    } = {},
  ) {
    const max = options.maxStates ?? MAX_STATES;
    this.cache = new LRUCache({ max });
    this.kept = new LRUCache({ max });
    this.upcasters = options.upcasters ?? {};
    this.maxAttempts = options.maxAttempts ?? 10;
  }

  /**
   * Decides one command on one stream and appends what follows. `expectNew` saves reading a stream that most likely does
   * not exist. Who wants the same stream here takes turns: at once, all but one would find that they came too late.
   * @throws DomainError, or whatever else the decider throws, always decided on the stream's latest state
   * @throws RevisionConflict when other writers were faster `maxAttempts` times
   */
  async transact<C, E extends DomainEvent, S>(
    decider: Decider<C, E, S>,
    stream: string,
    command: C,
    cause: Cause,
    options: { readonly expectNew?: boolean } = {},
  ): Promise<Outcome<E, S>> {
    const decision = (desk: Desk) => {
      if (options.expectNew) desk.expectNew(stream);
      const events = desk.decide(decider, stream, command, cause);
      return { events, state: desk.state(decider, stream) };
    };
    const { results, position } = await this.inTurn(stream, () => this.together([decision]));
    const result = results[0]!;
    if (result.status === 'rejected') throw result.reason;
    return { ...result.value, position };
  }

  private async inTurn<T>(stream: string, work: () => Promise<T>): Promise<T> {
    const before = this.turns.get(stream);
    const working = before ? before.then(work) : work();
    const turn = working.catch(() => {});
    this.turns.set(stream, turn);
    try {
      return await working;
    } finally {
      if (this.turns.get(stream) === turn) this.turns.delete(stream);
    }
  }

  /**
   * Makes all decisions, in order, each on what those before it left, and writes their facts as one append. A decision
   * that throws leaves nothing behind and rejects only itself. `position` is that of the last new event, or else the
   * highest among the streams that were looked at.
   * @throws RevisionConflict when other writers were faster `maxAttempts` times
   */
  async together<T>(
    decisions: readonly Decision<T>[],
  ): Promise<{ results: PromiseSettledResult<T>[]; position: bigint }> {
    const known = new Map<string, Known>();
    for (let conflicts = 0; ;) {
      const run = new Run(known, this.cache);
      const results = decisions.map((decision) => run.decide(decision));
      if (run.missing.size > 0) {
        await this.readOn(known, run.missing);
        continue;
      }
      const unproved = [...run.seen].filter(
        ([stream]) => !run.drafts.has(stream) && (!known.get(stream)!.current || run.refusedOn.has(stream)),
      );
      if (unproved.length > 0 && (await this.readOn(known, new Map(unproved)))) continue;

      if (run.drafts.size === 0) return { results, position: highest(run.seen.keys(), known) };
      try {
        const writes = this.writes(run.drafts, known);
        const position = await this.ports.store.append(writes);
        this.remember(run.drafts, known, writes, position);
        return { results, position };
      } catch (error) {
        if (!(error instanceof RevisionConflict)) {
          // Whether it was written is unknown. The next decision reads what came of it.
          for (const stream of run.seen.keys()) this.forget(stream);
          throw error;
        }
        if (++conflicts >= this.maxAttempts) throw error;
        if (conflicts > 1) await this.ports.clock.sleep(backoffMs(conflicts - 1, this.ports.random, 5, 250));
        const suspects = [...run.drafts].filter(
          ([stream]) => error.streams.includes(stream) || !known.get(stream)!.current,
        );
        await this.readOn(known, new Map(suspects));
      }
    }
  }

  /** The latest state of a stream; one from the cache will do when it is not older than position `since`. */
  async load<C, E extends DomainEvent, S>(
    decider: Decider<C, E, S>,
    stream: string,
    since?: bigint,
  ): Promise<{ state: S; revision: number | 'none'; position: bigint }> {
    const cached = this.cache.get(stream);
    if (cached && since !== undefined && cached.position >= since) return cached;
    const known = new Map<string, Known>();
    await this.readOn(known, new Map([[stream, { decider }]]));
    const { state, revision, position } = known.get(stream)!;
    return { state, revision, position };
  }

  /** Drops a stream from the cache: the next decision on it reads it from the beginning. */
  forget(stream: string): void {
    this.cache.delete(stream);
  }

  /** Reads streams to their end, each from where it is known. True when one was further than that. */
  private async readOn(known: Map<string, Known>, streams: ReadonlyMap<string, Pick<Folded, 'decider'>>) {
    const moved = await Promise.all(
      [...streams].map(async ([stream, { decider }]) => {
        const before = known.get(stream);
        const from = before ?? this.cache.get(stream);
        const latest = from
          ? await this.fold(stream, from)
          : ((await this.foldOnSnapshot(stream, decider)) ?? (await this.fold(stream, startOf(decider))));
        known.set(stream, { ...latest, current: true });
        this.cache.set(stream, latest);
        return before?.revision !== latest.revision;
      }),
    );
    return moved.includes(true);
  }

  private async fold(stream: string, from: Folded): Promise<Folded> {
    let folded = from;
    for await (const event of this.ports.store.read(stream, after(from.revision))) folded = next(folded, event);
    this.keepSnapshot(stream, folded);
    return folded;
  }

  /** From the stream's snapshot on; undefined when there is none that counts. A cache that fails is a cache that lacks it. */
  private async foldOnSnapshot(stream: string, decider: Decider<any, any, any>): Promise<Folded | undefined> {
    if (!this.keepsSnapshots(stream)) return undefined;
    const snapshot = await this.ports.snapshots!.load(stream).catch(() => undefined);
    if (snapshot?.foldedBy !== this.digestOf(decider)) return undefined;
    let folded: Folded | undefined;
    for await (const event of this.ports.store.read(stream, snapshot.revision)) {
      if (!folded && event.id !== snapshot.eventId) return undefined;
      folded = folded ? next(folded, event) : { ...snapshot, decider, position: event.position };
    }
    if (!folded) return undefined;
    this.kept.set(stream, snapshot.revision);
    this.keepSnapshot(stream, folded);
    return folded;
  }

  private keepsSnapshots(stream: string): boolean {
    return this.ports.snapshots !== undefined && (this.options.snapshots?.includes(categoryOf(stream)) ?? false);
  }

  /** Saves a snapshot when the last one is old enough. Nobody waits for it, and the next one makes up for one that fails. */
  private keepSnapshot(stream: string, { decider, state, revision, eventId }: Folded): void {
    if (revision === 'none' || !this.keepsSnapshots(stream)) return;
    const snapshots = this.ports.snapshots!;
    if (revision - (this.kept.get(stream) ?? -1) < snapshots.every) return;
    this.kept.set(stream, revision);
    snapshots.save({ stream, foldedBy: this.digestOf(decider), revision, eventId, state }).catch(() => {});
  }

  private digestOf(decider: Decider<any, any, any>): string {
    let digest = this.digests.get(decider);
    if (digest === undefined) this.digests.set(decider, (digest = foldedBy(decider, this.upcasters)));
    return digest;
  }

  private writes(drafts: ReadonlyMap<string, Draft>, known: ReadonlyMap<string, Known>): StreamWrite[] {
    return [...drafts].map(([stream, { facts }]) => ({
      stream,
      expected: known.get(stream)!.revision,
      events: facts.map(({ fact: { type, data }, cause }) => ({
        id: this.ports.ids.next(),
        type,
        data,
        metadata: { ...cause, schema: versionOf(this.upcasters, type) },
      })),
    }));
  }

  /** Each stream's position becomes that of the whole append: no reader gets to one without the other. */
  private remember(
    drafts: ReadonlyMap<string, Draft>,
    known: ReadonlyMap<string, Known>,
    writes: readonly StreamWrite[],
    position: bigint,
  ): void {
    for (const { stream, events } of writes) {
      const { decider, state } = drafts.get(stream)!;
      const revision = after(known.get(stream)!.revision) + events.length - 1;
      const folded = { decider, state, revision, eventId: events.at(-1)!.id, position };
      this.cache.set(stream, folded);
      this.keepSnapshot(stream, folded);
    }
  }
}

/** One run over the decisions of a batch: what they saw, what they lacked, what they decided. */
class Run {
  readonly seen = new Map<string, Pick<Folded, 'decider'>>();
  readonly missing = new Map<string, Pick<Folded, 'decider'>>();
  readonly drafts = new Map<string, Draft>();
  /** The streams of refusals that rest on several. */
  readonly refusedOn = new Set<string>();
  private readonly expectedNew = new Set<string>();

  constructor(
    private readonly known: Map<string, Known>,
    private readonly cache: LRUCache<string, Folded>,
  ) {}

  /** Runs a decision on drafts of its own, which count only when it does not throw. */
  decide<T>(decision: Decision<T>): PromiseSettledResult<T> {
    const own = new Map<string, Draft>();
    const looked = new Set<string>();
    const stateOf = (decider: Decider<any, any, any>, stream: string) => {
      looked.add(stream);
      return (own.get(stream) ?? this.drafts.get(stream) ?? this.knownOf(decider, stream)).state;
    };
    const desk: Desk = {
      state: stateOf,
      decide: (decider, stream, command, cause) => {
        const state = stateOf(decider, stream);
        const decided = decider.decide(command, state);
        if (decided.length > 0) {
          const draft = own.get(stream) ?? { decider, state, facts: [] };
          draft.state = decided.reduce((s, fact) => decider.evolve(s, fact), draft.state);
          for (const fact of decided) draft.facts.push({ fact, cause });
          own.set(stream, draft);
        }
        return decided;
      },
      expectNew: (stream) => this.expectedNew.add(stream),
    };
    try {
      const value = decision(desk);
      own.forEach((draft, stream) => this.put(stream, draft));
      return { status: 'fulfilled', value };
    } catch (reason) {
      if (looked.size > 1) looked.forEach((stream) => this.refusedOn.add(stream));
      return { status: 'rejected', reason };
    }
  }

  private put(stream: string, { decider, state, facts }: Draft): void {
    const draft = this.drafts.get(stream);
    if (!draft) {
      this.drafts.set(stream, { decider, state, facts });
      return;
    }
    draft.state = state;
    for (const fact of facts) draft.facts.push(fact);
  }

  /** From what the batch knows, else the cache, else assumed new; else the stream is missing and this run a rehearsal. */
  private knownOf(decider: Decider<any, any, any>, stream: string): Folded {
    this.seen.set(stream, { decider });
    const known = this.known.get(stream);
    if (known) return known;
    const folded = this.cache.get(stream) ?? (this.expectedNew.has(stream) ? startOf(decider) : undefined);
    if (folded) this.known.set(stream, { ...folded, current: false });
    else this.missing.set(stream, { decider });
    return folded ?? startOf(decider);
  }
}

/**
 * Gathers those who decide at the same time: while one append is under way the others wait, and then go together as
 * one. It is for streams that many want to write, such as the stock of a popular SKU: taken one by one, their appends
 * would conflict with each other.
 */
export class DecisionQueue {
  private waiting: Waiting[] = [];
  private working = false;

  /** `maxBatch` bounds how many decisions go together. */
  constructor(
    private readonly transactor: Transactor,
    private readonly options: { readonly maxBatch: number },
  ) {}

  /**
   * Resolves once the decision's facts are written, with the position of the append.
   * @throws what the decision throws; and, to all who went together, what `together` throws
   */
  decide<T>(decision: Decision<T>): Promise<{ result: T; position: bigint }> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ decision, resolve: resolve as Waiting['resolve'], reject });
      if (!this.working) void this.work();
    });
  }

  private async work(): Promise<void> {
    this.working = true;
    await Promise.resolve(); // Those who call in the same turn of the event loop go together.
    while (this.waiting.length > 0) {
      const batch = this.waiting.splice(0, this.options.maxBatch);
      try {
        const { results, position } = await this.transactor.together(batch.map(({ decision }) => decision));
        results.forEach((result, i) => {
          if (result.status === 'fulfilled') batch[i]!.resolve({ result: result.value, position });
          else batch[i]!.reject(result.reason);
        });
      } catch (error) {
        batch.forEach(({ reject }) => reject(error));
      }
    }
    this.working = false;
  }
}

interface Waiting {
  readonly decision: Decision<unknown>;
  readonly resolve: (outcome: { result: unknown; position: bigint }) => void;
  readonly reject: (reason: unknown) => void;
}

function startOf(decider: Decider<any, any, any>): Folded {
  return { decider, state: decider.initialState, revision: 'none', eventId: '', position: 0n };
}

function next({ decider, state }: Folded, event: RecordedEvent): Folded {
  const { revision, id: eventId, position } = event;
  return { decider, state: decider.evolve(state, event), revision, eventId, position };
}

/** The revision that follows. */
function after(revision: number | 'none'): number {
  return revision === 'none' ? 0 : revision + 1;
}

function highest(streams: Iterable<string>, known: ReadonlyMap<string, Known>): bigint {
  let position = 0n;
  for (const stream of streams) {
    const at = known.get(stream)!.position;
    if (at > position) position = at;
  }
  return position;
}
