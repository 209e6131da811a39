/** The port of the event store. Its promises are stated here, and `contract.ts` proves them for every adapter. */
import { Busy } from '#runtime';

/**
 * What a decider calls an event: a type and its data. Events are stored as they stand: a change to one that has ever been
 * stored needs an upcaster (upcast.ts) and a golden file.
 */
export interface DomainEvent {
  readonly type: string;
  readonly data: object;
}

/** What led to an event, recorded with it. */
export interface Cause {
  /** The same for everything that follows from one request, across services: the request's own, or assigned to it. */
  readonly correlationId: string;
  /** The id of the request or message that this event answers. */
  readonly causationId: string;
  /** Where on the bus the message is that this event answers, `topic/partition/offset`; older events do not say. */
  readonly message?: string;
  /** W3C Trace Context. */
  readonly traceparent?: string;
  /** Who decided it and why, when it was a person. */
  readonly actor?: string;
  readonly reason?: string;
}

export interface EventMetadata extends Cause {
  /** The version of the event's shape, from 1. */
  readonly schema: number;
}

export interface NewEvent extends DomainEvent {
  /** A UUID, unique in the store. */
  readonly id: string;
  readonly metadata: EventMetadata;
}

/** An event as the store keeps it. `RecordedEvent<OrderEvent>` is discriminated by `type` like `OrderEvent` itself. */
export type RecordedEvent<E extends DomainEvent = DomainEvent> = E & {
  readonly id: string;
  readonly stream: string;
  /** The event's place in its stream, from 0. */
  readonly revision: number;
  /** The event's place in its store's global order, above 0. */
  readonly position: bigint;
  readonly metadata: EventMetadata;
  /** ISO 8601, UTC. */
  readonly recordedAt: string;
};

/** Events for one stream. `expected` is the revision of the stream's last event, or 'none' for a stream that must not exist. */
export interface StreamWrite {
  /** `<category>-<id>`; the category ends at the first hyphen. */
  readonly stream: string;
  readonly expected: number | 'none';
  /** At least one. */
  readonly events: readonly NewEvent[];
}

/** What a subscription delivers. */
export interface Batch {
  /** In position order; empty when only the position has moved, past events of other categories. */
  readonly events: readonly RecordedEvent[];
  /** Everything up to here has been delivered: safe to store as a checkpoint. */
  readonly position: bigint;
}

/** The store as one sees it whose turn it is. */
export type Turn = Pick<EventStore, 'read' | 'append'>;

export abstract class EventStore {
  /**
   * Appends to one or more streams, each named once: all or none, in that order.
   * Returns the position of the last event.
   * @throws RevisionConflict when a stream is not at the expected revision; then nothing is written
   */
  abstract append(writes: readonly StreamWrite[]): Promise<bigint>;

  /**
   * Runs `work`, which may append once. Until then nobody else appends to this store, where the adapter can keep them
   * off: so what `work` reads is the latest, and its append cannot come too late. It is for a writer who has lost to
   * another. All others wait meanwhile, so it should be short: `streams` are those that `work` is going to read, each
   * from a revision, and they come with the turn. An adapter that cannot keep others off runs `work` all the same.
   */
  abstract inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T>;

  /** The events of one stream from revision `from` (default 0), oldest first; nothing when there is no such stream. */
  abstract read(stream: string, from?: number): AsyncIterable<RecordedEvent>;

  /**
   * Every event of these categories after position `after`, in position order, and then live until `signal` aborts,
   * when it ends without an error. It never skips an event, even while others append. A batch never splits an append.
   */
  abstract subscribe(options: {
    readonly categories: readonly string[];
    readonly after: bigint;
    readonly signal: AbortSignal;
  }): AsyncIterable<Batch>;

  /**
   * The position of the last event in the store, 0n when it is empty. Fails when the store cannot be reached. Pass
   * `atLeast` when any event at that position or later will do: that may save asking the server.
   */
  abstract head(atLeast?: bigint): Promise<bigint>;

  /** Ends subscriptions, waits for appends under way and frees connections. */
  abstract close(): Promise<void>;
}

/** Another writer was faster. Nothing was written; load and decide again. */
export class RevisionConflict extends Busy {
  constructor(
    /** The streams that are known to have moved: at least one. */
    readonly streams: readonly string[],
    /** Whether those are all of them. */
    readonly complete = false,
  ) {
    super(`${streams.join(', ')}: not at the expected revision.`);
    this.name = 'RevisionConflict';
  }
}

/** `stock-olive-oil` is of the category `stock`. */
export function categoryOf(stream: string): string {
  const hyphen = stream.indexOf('-');
  return hyphen < 0 ? stream : stream.slice(0, hyphen);
}

/** `stock-olive-oil` is about `olive-oil`. */
export function idOf(stream: string): string {
  return stream.slice(stream.indexOf('-') + 1);
}

/** Throws for what no store can write: a programming error, not a conflict. For adapters. */
export function assertWritable(writes: readonly StreamWrite[]): void {
  if (writes.length === 0) throw new Error('An append needs at least one write.');
  const empty = writes.find(({ events }) => events.length === 0);
  if (empty) throw new Error(`${empty.stream}: a write needs at least one event.`);
  if (new Set(writes.map(({ stream }) => stream)).size < writes.length) {
    throw new Error('An append names each stream once: put the events of one stream into one write.');
  }
}
