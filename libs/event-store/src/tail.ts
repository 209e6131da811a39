import { type Batch, categoryOf, type RecordedEvent } from './port.js';

/** Events that are kept: enough for a subscriber that is a little behind. */
const MAX_EVENTS = 1_000;

/**
 * The end of the log in memory, without a gap, for all subscribers of a process together: what one of them reads, or
 * this process wrote itself, none of the others has to fetch and parse again.
 */
export class Tail {
  private events: readonly RecordedEvent[] = [];
  /** The events are those after `start`, up to and with `end`; there are none while both are undefined. */
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

  /** Adds all events of the log after `from`, up to and with `to`. What would leave a gap is not taken. */
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

  /** Whether it knows all that came after `position`. */
  covers(position: bigint): boolean {
    return this.start !== undefined && position >= this.start && position <= this.last;
  }

  /** The events of these categories after `position`, which it covers; undefined when it ends there. */
  after(position: bigint, categories: readonly string[]): Batch | undefined {
    if (position >= this.last) return undefined;
    // Most who ask lack the last few only.
    const first = this.events.findLastIndex((event) => event.position <= position) + 1;
    const events = this.events.slice(first).filter(({ stream }) => categories.includes(categoryOf(stream)));
    return { events, position: this.last };
  }
}
