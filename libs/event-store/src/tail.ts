import { type Batch, categoryOf, type RecordedEvent } from './port.js';

/** How many events are kept: enough for a subscriber that is a little behind. */
const MAX_EVENTS = 1_000;

/**
 * The end of the log in memory, without a gap, shared by all subscribers of a process: what one of them has read, or this
 * process has written, the others need not fetch and parse again.
 */
export class Tail {
  private events: readonly RecordedEvent[] = [];
  /** The events are those after `start`, up to and including `end`. Undefined before it has begun. */
  private start: bigint | undefined;
  private last = -1n;

  /** The position up to which it reaches; -1 before it has begun. */
  get end(): bigint {
    return this.last;
  }

  /** Begins at `position`, where the log ended a moment ago. */
  begin(position: bigint): void {
    if (position <= this.last) return;
    this.events = [];
    this.start = position;
    this.last = position;
  }

  /** Adds all events of the log after `from`, up to and including `to`. Ignores what would leave a gap. */
  add(from: bigint, events: readonly RecordedEvent[], to: bigint): void {
    if (this.start === undefined || from > this.last || to <= this.last) return;
    const known = this.last;
    this.events = [...this.events, ...events.filter(({ position }) => position > known)];
    this.last = to;
    const surplus = this.events.length - MAX_EVENTS;
    if (surplus <= 0) return;
    this.start = this.events[surplus - 1]!.position;
    this.events = this.events.slice(surplus);
  }

  /** Whether it holds everything after `position`. */
  covers(position: bigint): boolean {
    return this.start !== undefined && position >= this.start && position <= this.last;
  }

  /** The events of these categories after `position`, which it covers; undefined when it ends there. */
  readAfter(position: bigint, categories: readonly string[]): Batch | undefined {
    if (position >= this.last) return undefined;
    // Most callers lack only the last few.
    const first = this.events.findLastIndex((event) => event.position <= position) + 1;
    const events = this.events.slice(first).filter(({ stream }) => categories.includes(categoryOf(stream)));
    return { events, position: this.last };
  }
}
