/**
 * What is found elsewhere, kept until an event says that it has changed: this instance follows the events of a category,
 * also those that other instances write. While it cannot follow, it keeps nothing and finds everything anew.
 *
 *   find ─────────── answer: kept     unless a change was seen in between, or the following ended or began:
 *         ▲                           then the answer may be from before that, and nobody would drop it
 *         └ a change
 */
import { LRUCache } from 'lru-cache';
import { type EventStore, followFromHead, type RecordedEvent } from '#event-store';

export class FollowedCache<Value extends object> {
  private readonly values;
  /** What is kept is not older than this position. Undefined while nothing is followed. */
  private followedTo: bigint | undefined;
  /** Counts what makes an answer too old to be kept that was asked for before. */
  private changes = 0;

  constructor(
    private readonly store: EventStore,
    private readonly category: string,
    limits: LRUCache.Options<string, Value, unknown> & { readonly max: number },
  ) {
    this.values = new LRUCache<string, Value>(limits);
  }

  /** What `find` finds, or what it found a moment ago, no older than the position `since`. Only what `keeps` is kept. */
  async get<Found extends Value | undefined>(
    name: string,
    since: bigint,
    find: () => Promise<Found>,
    keeps: (found: Found) => boolean = (found) => found !== undefined,
  ): Promise<Found | Value> {
    const known = this.values.get(name);
    const { followedTo, changes } = this;
    if (known && followedTo !== undefined && followedTo >= since) return known;
    const found = await find();
    if (found && followedTo !== undefined && changes === this.changes && keeps(found)) this.values.set(name, found);
    return found;
  }

  drop(...names: readonly string[]): void {
    this.changes++;
    for (const name of names) this.values.delete(name);
  }

  /** Has each event drop what it changes, until `signal` aborts. */
  async follow(signal: AbortSignal, onEvent: (event: RecordedEvent) => void): Promise<void> {
    try {
      await followFromHead(this.store, [this.category], signal, ({ events, position }) => {
        events.forEach(onEvent);
        this.followedTo = position;
      });
    } finally {
      this.followedTo = undefined;
      this.changes++;
      this.values.clear();
    }
  }
}
