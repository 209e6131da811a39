/**
 * The event store in memory: for tests, and for services that a simulation runs together in one process. The events live
 * in a `MemoryEvents`, which outlives the stores that are opened over it as a database outlives its connections: a
 * service that crashes and restarts opens another store over the same events, and two instances share them.
 */
import { Bell, type Clock, frozenCopy } from '#runtime';
import {
  assertWritable,
  type Batch,
  categoryOf,
  EventStore,
  type RecordedEvent,
  RevisionConflict,
  type StreamWrite,
  type Turn,
} from './port.js';

const PAGE = 1_000;

/** The events written, and the bells of the subscribers that wait for more. */
export class MemoryEvents {
  /** In position order; positions count from 1. */
  readonly all: RecordedEvent[] = [];
  /** For each event, the number of events once its append was complete: no batch ends inside an append. */
  readonly appendEnds: number[] = [];
  readonly streams = new Map<string, RecordedEvent[]>();
  readonly bells = new Set<Bell>();
}

export class MemoryEventStore extends EventStore {
  private readonly closing = new AbortController();

  constructor(
    private readonly clock: Clock,
    private readonly events = new MemoryEvents(),
  ) {
    super();
  }

  /** Runs to its end without an await, so no other append comes between its check and its writes. */
  override async append(writes: readonly StreamWrite[]): Promise<bigint> {
    if (this.closing.signal.aborted) throw new Error('This event store is closed.');
    assertWritable(writes);
    const moved = writes.filter(({ stream, expected }) => this.revisionOf(stream) !== expected);
    if (moved.length > 0) {
      throw new RevisionConflict(
        moved.map(({ stream }) => stream),
        true,
      );
    }

    const recordedAt = this.clock.now().toISOString();
    const added = this.toRecorded(writes, recordedAt);
    for (const event of added) {
      this.events.all.push(event);
      const stream = this.events.streams.get(event.stream);
      if (stream) stream.push(event);
      else this.events.streams.set(event.stream, [event]);
    }
    const end = this.events.all.length;
    added.forEach(() => this.events.appendEnds.push(end));
    this.events.bells.forEach((bell) => bell.ring());
    return BigInt(end);
  }

  /** Keeps nobody off: in one process, whoever reads and appends again is as fast as the others. */
  override inTurn<T>(_: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return work(this);
  }

  override async *read(stream: string, from = 0): AsyncIterable<RecordedEvent> {
    yield* this.events.streams.get(stream)?.slice(from) ?? [];
  }

  override async *subscribe(options: {
    readonly categories: readonly string[];
    readonly after: bigint;
    readonly signal: AbortSignal;
  }): AsyncIterable<Batch> {
    const stop = AbortSignal.any([options.signal, this.closing.signal]);
    const categories = new Set(options.categories);
    const bell = new Bell();
    this.events.bells.add(bell);
    try {
      let done = Number(options.after);
      while (!stop.aborted) {
        const { all, appendEnds } = this.events;
        const end = appendEnds[Math.min(done + PAGE, all.length) - 1] ?? 0;
        if (end > done) {
          const events = all.slice(done, end).filter(({ stream }) => categories.has(categoryOf(stream)));
          done = end;
          yield { events, position: BigInt(end) };
        } else {
          await bell.wait(stop);
        }
      }
    } finally {
      this.events.bells.delete(bell);
    }
  }

  override async head(): Promise<bigint> {
    return BigInt(this.events.all.length);
  }

  override async close(): Promise<void> {
    this.closing.abort();
  }

  private revisionOf(stream: string): number | 'none' {
    return this.events.streams.get(stream)?.at(-1)?.revision ?? 'none';
  }

  private toRecorded(writes: readonly StreamWrite[], recordedAt: string): RecordedEvent[] {
    let position = BigInt(this.events.all.length);
    return writes.flatMap(({ stream, expected, events }) => {
      const first = expected === 'none' ? 0 : expected + 1;
      return events.map(({ id, type, data, metadata }, i) =>
        Object.freeze({
          id,
          type,
          data: frozenCopy(data),
          metadata: frozenCopy(metadata),
          stream,
          revision: first + i,
          position: ++position,
          recordedAt,
        }),
      );
    });
  }
}
