/**
 * From a command to events in the store: load, decide, append, and after a conflict load and decide again.
 *
 *   transact(decider, stream, command, cause)   one aggregate, one command: nearly every handler is that
 *   transactAll(decisions)                      many decisions over many streams, written as one append
 *
 *              ┌──────────── a state is missing: load it ───────────┐
 *              ▼                                                    │
 *   decide all on known states ─────────────────────────────────────┤
 *              │                                                    │
 *              ▼                                                    │
 *   check what no append will check ─── a stream has moved on ──────┤
 *              │                                                    │
 *              ▼                                                    │
 *   append, if there are new events ─── RevisionConflict: wait ─────┘
 *              │                          for a turn, and read on
 *              ▼
 *   remember the new states, answer
 *
 * Who reads and appends again after a conflict loses again to a writer who need not read. So after the first one it is
 * done in a *turn*, which keeps all others off (`EventStore.inTurn`): whoever waits for it waits once for each of the
 * others, and everyone gets the same. Where others were in the way the last time, a turn is asked for at once; without
 * others nobody asks.
 *
 * A stream that was assumed to be new, and is not, had nobody in the way: its state was missing, and is read.
 *
 * A run over the decisions that lacks a state is a *rehearsal*: it only finds out what else has to be loaded (attempt.ts).
 *
 * States come from a cache, and another instance may have moved a stream since. An append proves the states that it
 * builds on, because it names their revisions. Nothing proves the states behind a refusal, an empty decision or a stream
 * that was looked at but not written; so before such a result counts, those streams are read forward from the cached
 * revision, which usually finds nothing. Only refusals and repetitions pay for that. Streams are read one after the other,
 * and one append may move two of them in between; so where a refusal rests on several streams, they are read once more,
 * and it counts when none of them has moved.
 */
import { LRUCache } from 'lru-cache';
import type { Decider } from '#decider';
import { backoffMs, type Clock, type Ids, type Random } from '#runtime';
import { Attempt, type Decision, type Desk, type Draft, type Known } from './attempt.js';
import { emptyStream, type Folded, foldNext, revisionAfter } from './folded.js';
import {
  type Cause,
  type DomainEvent,
  type EventStore,
  RevisionConflict,
  type StreamWrite,
  type Turn,
} from './port.js';
import { SnapshotCache, type Snapshots } from './snapshots.js';
import { type Upcasters, versionOf } from './upcast.js';

/**
 * Enough for some seconds of checkouts at full load, and for the SKUs that sell meanwhile. More would cost more than
 * their size: dead states keep the pages of the old generation alive that they are scattered over (10,000 orders took
 * 13 MB more).
 */
const MAX_STATES = 2_000;

export interface Outcome<E, S> {
  /** The state after the decision. */
  readonly state: S;
  /** The new events; none when the command was already carried out. */
  readonly events: readonly E[];
  /** The position of the stream's last event, or of the append that this was part of; 0n when the stream is empty. */
  readonly position: bigint;
}

interface Decided<T> {
  readonly results: PromiseSettledResult<T>[];
  readonly position: bigint;
}

/** Decisions on their way into one append, and what is known of the streams that they look at. */
interface Batch<T> {
  readonly decisions: readonly Decision<T>[];
  readonly known: Map<string, Known>;
  /** The streams that cannot be read, and why. */
  readonly unreadable: Map<string, unknown>;
  /** The streams to read on in, with its turn: they have moved, or are likely to have. */
  late: ReadonlyMap<string, Pick<Folded, 'decider'>>;
  conflicts: number;
}

export class Transactor {
  private readonly cache: LRUCache<string, Folded>;
  private readonly snapshots: SnapshotCache;
  private readonly upcasters: Upcasters;
  private readonly maxAttempts: number;
  /** The streams at which others were in the way the last time. */
  private readonly contended: LRUCache<string, true>;
  /** By stream, the last transaction that is under way or waits for its turn. */
  private readonly turns = new Map<string, Promise<unknown>>();

  /**
   * `maxStates` bounds the cache, `maxAttempts` the appends that one call tries. `snapshots` names the categories whose
   * streams grow long: with the port of that name, snapshots of them are kept.
   */
  constructor(
    private readonly ports: {
      readonly store: EventStore;
      readonly clock: Clock;
      readonly ids: Ids;
      readonly random: Random;
      readonly snapshots?: Snapshots;
    },
    options: {
      readonly upcasters?: Upcasters;
      readonly maxStates?: number;
      readonly maxAttempts?: number;
      readonly snapshots?: readonly string[];
    } = {},
  ) {
    const max = options.maxStates ?? MAX_STATES;
    this.cache = new LRUCache({ max });
    this.contended = new LRUCache({ max });
    this.upcasters = options.upcasters ?? {};
    this.snapshots = new SnapshotCache(ports, { categories: options.snapshots ?? [], upcasters: this.upcasters, max });
    this.maxAttempts = options.maxAttempts ?? 10;
  }

  /**
   * Decides one command on one stream and appends the events. `expectNew` saves reading a stream that most likely does
   * not exist. Callers that want the same stream here take turns: at once, all but one of them would conflict.
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
    const { results, position } = await this.takeTurn(stream, () => this.transactAll([decision]));
    const result = results[0]!;
    if (result.status === 'rejected') throw result.reason;
    return { ...result.value, position };
  }

  /** Runs `work` after the work on the same stream that asked earlier. */
  private async takeTurn<T>(stream: string, work: () => Promise<T>): Promise<T> {
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
   * Makes all decisions, in order, each on what the earlier ones left, and writes their events as one append. A decision
   * that throws leaves nothing behind and rejects only itself, and a stream that cannot be read rejects only the decisions
   * that look at it. `position` is that of the last new event, or else the highest of the streams that were looked at.
   * @throws RevisionConflict when other writers were faster `maxAttempts` times
   */
  async transactAll<T>(decisions: readonly Decision<T>[]): Promise<Decided<T>> {
    const batch: Batch<T> = { decisions, known: new Map(), unreadable: new Map(), late: new Map(), conflicts: 0 };
    const { store } = this.ports;
    let decided = await this.decideAll(batch);
    while (!decided) {
      const { late } = batch;
      const next = (stream: string) => revisionAfter(batch.known.get(stream)!.revision);
      const from = new Map(Array.from(late.keys(), (stream) => [stream, next(stream)]));
      decided = await store.inTurn(from, async (turn) => {
        await this.readForward(batch, late, turn);
        for (const [stream, revision] of from) if (next(stream) === revision) this.contended.delete(stream);
        return this.decideAll(batch, turn);
      });
    }
    return decided;
  }

  /**
   * Decides all and appends the events. Undefined when that has to wait for a turn: after a conflict, or at once where
   * there is likely to be one. `late` are then the streams to read on in.
   */
  private async decideAll<T>(batch: Batch<T>, turn?: Turn): Promise<Decided<T> | undefined> {
    const store = turn ?? this.ports.store;
    const { decisions, known, unreadable } = batch;
    while (true) {
      const attempt = new Attempt(known, this.cache, unreadable);
      const results = decisions.map((decision) => attempt.decide(decision));
      if (attempt.missing.size > 0) {
        await this.readForward(batch, attempt.missing);
        continue;
      }
      const unproved = [...attempt.seen].filter(
        ([stream]) => !attempt.drafts.has(stream) && (!known.get(stream)!.current || attempt.refusedOn.has(stream)),
      );
      if (unproved.length > 0 && (await this.readForward(batch, new Map(unproved)))) continue;

      if (attempt.drafts.size === 0) return { results, position: highestPosition(attempt.seen.keys(), known) };
      if (!turn && this.contended.size > 0) {
        batch.late = new Map([...attempt.drafts].filter(([stream]) => this.contended.has(stream)));
        if (batch.late.size > 0) return undefined;
      }
      try {
        const writes = this.toWrites(attempt.drafts, known);
        const position = await store.append(writes);
        this.remember(attempt.drafts, known, writes, position);
        return { results, position };
      } catch (error) {
        if (!(error instanceof RevisionConflict)) {
          // Whether it was written is unknown: the next decision reads the outcome.
          for (const stream of attempt.seen.keys()) this.forget(stream);
          throw error;
        }
        const assumedNew = [...attempt.drafts].filter(
          ([stream]) => error.streams.includes(stream) && isAssumedNew(known.get(stream)!),
        );
        if (!turn && error.complete && assumedNew.length === error.streams.length) {
          await this.readForward(batch, new Map(assumedNew));
          continue;
        }
        const suspects = [...attempt.drafts].filter(
          ([stream]) => error.streams.includes(stream) || (!error.complete && !known.get(stream)!.current),
        );
        batch.late = new Map(suspects);
        for (const stream of error.streams) this.contended.set(stream, true);
        if (++batch.conflicts >= this.maxAttempts) throw error;
        // In a turn only a stream that it did not read can conflict, or one in a store that keeps nobody off.
        if (turn) await this.ports.clock.sleep(backoffMs(batch.conflicts, this.ports.random, 5, 250));
        return undefined;
      }
    }
  }

  /**
   * The latest state of a stream. Pass `since` when a cached state at that position or later will do: that saves the read,
   * and includes what is being decided on the stream here.
   */
  async load<C, E extends DomainEvent, S>(
    decider: Decider<C, E, S>,
    stream: string,
    since?: bigint,
  ): Promise<{ state: S; revision: number | 'none'; position: bigint }> {
    if (since !== undefined) await this.turns.get(stream);
    const cached = this.cache.get(stream);
    if (cached && since !== undefined && cached.position >= since) return cached;
    const { state, revision, position } = await this.readOn(stream, decider, cached);
    return { state, revision, position };
  }

  /** Drops a stream from the cache: the next decision on it reads it from the beginning. */
  forget(stream: string): void {
    this.cache.delete(stream);
  }

  /**
   * Reads streams to their end, each from where it is known. Whether there is anything new to decide on: a stream has moved
   * on, or cannot be read.
   */
  private async readForward(
    { known, unreadable }: Pick<Batch<unknown>, 'known' | 'unreadable'>,
    streams: ReadonlyMap<string, Pick<Folded, 'decider'>>,
    store: Pick<EventStore, 'read'> = this.ports.store,
  ): Promise<boolean> {
    const news = await Promise.all(
      [...streams].map(async ([stream, { decider }]) => {
        const before = known.get(stream);
        try {
          const latest = await this.readOn(stream, decider, before ?? this.cache.get(stream), store);
          known.set(stream, { ...latest, current: true });
          return before?.revision !== latest.revision;
        } catch (error) {
          unreadable.set(stream, error);
          return true;
        }
      }),
    );
    return news.includes(true);
  }

  /** Reads a stream to its end, from where it is known, and caches what it finds. */
  private async readOn(
    stream: string,
    decider: Decider<any, any, any>,
    from: Folded | undefined,
    store: Pick<EventStore, 'read'> = this.ports.store,
  ): Promise<Folded> {
    const latest = from
      ? await this.fold(stream, from, store)
      : ((await this.foldFromSnapshot(stream, decider)) ?? (await this.fold(stream, emptyStream(decider))));
    this.cache.set(stream, latest);
    return latest;
  }

  private async fold(
    stream: string,
    from: Folded,
    store: Pick<EventStore, 'read'> = this.ports.store,
  ): Promise<Folded> {
    let folded = from;
    for await (const event of store.read(stream, revisionAfter(from.revision))) {
      folded = foldNext(folded, event);
    }
    this.snapshots.keep(stream, folded);
    return folded;
  }

  /** Folds a stream from its snapshot on; undefined when there is none that counts. */
  private async foldFromSnapshot(stream: string, decider: Decider<any, any, any>): Promise<Folded | undefined> {
    const snapshot = await this.snapshots.load(stream, decider);
    if (!snapshot) return undefined;
    let folded: Folded | undefined;
    for await (const event of this.ports.store.read(stream, snapshot.revision)) {
      if (!folded && event.id !== snapshot.eventId) return undefined;
      folded = folded ? foldNext(folded, event) : { ...snapshot, decider, position: event.position };
    }
    if (!folded) return undefined;
    this.snapshots.accept(snapshot);
    this.snapshots.keep(stream, folded);
    return folded;
  }

  private toWrites(drafts: ReadonlyMap<string, Draft>, known: ReadonlyMap<string, Known>): StreamWrite[] {
    return [...drafts].map(([stream, { events }]) => ({
      stream,
      expected: known.get(stream)!.revision,
      events: events.map(({ event: { type, data }, cause }) => ({
        id: this.ports.ids.next(),
        type,
        data,
        metadata: { ...cause, schema: versionOf(this.upcasters, type) },
      })),
    }));
  }

  /** Each stream gets the position of the whole append, because no reader sees one stream of it without the others. */
  private remember(
    drafts: ReadonlyMap<string, Draft>,
    known: ReadonlyMap<string, Known>,
    writes: readonly StreamWrite[],
    position: bigint,
  ): void {
    for (const { stream, events } of writes) {
      const { decider, state } = drafts.get(stream)!;
      const revision = revisionAfter(known.get(stream)!.revision) + events.length - 1;
      const folded = { decider, state, revision, eventId: events.at(-1)!.id, position };
      this.cache.set(stream, folded);
      this.snapshots.keep(stream, folded);
    }
  }
}

function highestPosition(streams: Iterable<string>, known: ReadonlyMap<string, Known>): bigint {
  let position = 0n;
  for (const stream of streams) {
    const at = known.get(stream)!.position;
    if (at > position) position = at;
  }
  return position;
}

function isAssumedNew({ revision, current }: Known): boolean {
  return revision === 'none' && !current;
}
