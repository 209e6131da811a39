/**
 * The end of the log, for all subscribers of a process: one live subscription brings it, and each event is decoded once.
 *
 *   KurrentDB ──live──▶ Batches ──▶ Tail ──▶ each subscriber takes what is of its categories
 *                ▲
 *   news ────────┘  when the head has moved past all that came
 */
import { type AllStreamSubscription, type Filter, START, streamNameFilter } from '@kurrent/kurrentdb-client';
import { ServerUnavailable } from '#runtime';
import type { Batch } from '../port.js';
import { Tail } from '../tail.js';
import { Batches } from './record.js';

/** A subscription scans this many events at a time, and reports its progress after `WINDOWS` times as many. */
const WINDOW = 1_024;
const WINDOWS = 4;

/** Where to continue in the whole log, and what to leave out. */
export interface From {
  readonly fromPosition: typeof START | { readonly commit: bigint; readonly prepare: bigint };
  readonly filter: Filter;
}

/** What a live log needs of its store. */
export interface LiveSource {
  readonly subscribe: (from: From) => AllStreamSubscription;
  /** Shows what there is after what was seen. */
  readonly readNews: (batches: Batches, categories: readonly string[]) => Promise<void>;
  /** The position where the log most likely ends. */
  readonly known: () => bigint;
  /** Called when events have come, up to this position. */
  readonly heard: (position: bigint) => void;
  /** Called when there is something to take. */
  readonly moved: () => void;
  /** Called when it ends by itself: nobody can wait for it any longer. */
  readonly failed: (error: unknown) => void;
}

export class LiveLog {
  readonly categories: readonly string[];
  private readonly tail = new Tail();
  private readonly batches: Batches;
  private readonly subscription: AllStreamSubscription;
  private looking = false;
  private stopped = false;

  /** Begins after the position `from`. */
  constructor(
    private readonly source: LiveSource,
    categories: ReadonlySet<string>,
    from: bigint,
  ) {
    this.categories = [...categories];
    this.batches = new Batches(this.categories, from);
    this.tail.begin(from);
    const checkpointReached = (_: unknown, { commit }: { readonly commit: bigint }) => {
      // This call is not queued behind events: earlier ones may still wait to be taken. There will be another checkpoint.
      if (this.subscription.readableLength > 0) return;
      this.batches.reach(commit);
      this.pass();
    };
    this.subscription = source.subscribe(optionsAfter(from, this.categories, checkpointReached));
    this.subscription.on('readable', () => this.take());
    this.subscription.on('error', (error) => this.fail(error));
    this.subscription.on('end', () => this.fail(new ServerUnavailable('KurrentDB ended a subscription.')));
  }

  /** The position up to which it has come. */
  get end(): bigint {
    return this.tail.end;
  }

  /** Whether it has, or will have, all of these categories that is after `position`. */
  covers(position: bigint, categories: readonly string[]): boolean {
    const isWithin = position > this.tail.end || this.tail.covers(position);
    return isWithin && categories.every((category) => this.categories.includes(category));
  }

  /** What is after a position that it covers; undefined when that has not come yet. */
  readAfter(position: bigint, categories: readonly string[]): Batch | undefined {
    return this.tail.readAfter(position, categories);
  }

  /** Passes on what has come. Where that was nothing, and the log has gone on, only others have written: it gets past that. */
  take(): void {
    const { subscription, batches, source } = this;
    let size = 0;
    for (let next = subscription.read(); next !== null; next = subscription.read(), size++) batches.see(next.event);
    if (size > 0) source.heard(batches.seen);
    else if (source.known() > batches.seen && !this.looking) void this.getPastOthers();
    this.pass();
  }

  stop(): void {
    this.stopped = true;
    // Not awaited: where there is no server, the client may be looking for one.
    this.subscription.unsubscribe().catch(() => {});
  }

  private async getPastOthers(): Promise<void> {
    this.looking = true;
    try {
      await this.source.readNews(this.batches, this.categories);
    } catch (error) {
      this.fail(error);
    } finally {
      this.looking = false;
    }
    if (!this.stopped) this.take();
  }

  private pass(): void {
    const batch = this.batches.take();
    if (!batch) return;
    this.tail.add(this.tail.end, batch.events, batch.position);
    this.source.moved();
  }

  private fail(error: unknown): void {
    if (!this.stopped) this.source.failed(error);
  }
}

/**
 * Where to continue, and with which filter. The filter lets more through than wanted, `stockpile-1` with `stock-1`,
 * because a stream's name may be its category alone; `Batches` leaves the others out.
 */
export function optionsAfter(
  position: bigint,
  categories: readonly string[],
  checkpointReached?: (_: unknown, position: { readonly commit: bigint }) => void,
): From {
  const progress = { maxSearchWindow: WINDOW, checkpointInterval: WINDOWS };
  const filter = { prefixes: [...categories], ...progress, ...(checkpointReached && { checkpointReached }) };
  return { fromPosition: placeOf(position), filter: streamNameFilter(filter) };
}

export function placeOf(position: bigint): From['fromPosition'] {
  return position === 0n ? START : { commit: position, prepare: position };
}
