/**
 * Counts the orders that are placed and settled, and how long that takes. It is told the events that this instance follows
 * anyway, which are those of all instances: so whichever is asked counts the same, from when it began, and no statement is
 * spent on it.
 *
 *   the last minute, a bucket a second:  │0│3│2│…│4│·│   the one of now is not over, and does not count
 *                                          └ when they were placed, by order, until they are settled
 */
import { idOf, type RecordedEvent } from '#event-store';
import type { Clock } from '#runtime';
import type { OrderFlow } from '#service';
import { SETTLES } from './domain/order.js';

/** What rates, and times to settle, are taken over. */
const RATE_SECONDS = 10;
const TIME_SECONDS = 60;
/** How many orders it waits for, and times it keeps of a second: of more than that the time is not known. */
const MAX_WAITING = 20_000;
const MAX_TIMES = 500;

interface Bucket {
  readonly second: number;
  placed: number;
  settled: number;
  /** Of those that were settled, in milliseconds. */
  readonly times: number[];
}

export class OrderCounts {
  private firstSecond: number | undefined;
  private buckets: Bucket[] = [];
  private readonly placedMs = new Map<string, number>();

  constructor(private readonly clock: Clock) {}

  /** What happened while the orders were not followed is not known: it begins anew with what it sees next. */
  restart(): void {
    this.firstSecond = undefined;
    this.buckets = [];
    this.placedMs.clear();
  }

  see(events: readonly RecordedEvent[]): void {
    this.firstSecond ??= this.second + 1;
    for (const event of events) {
      if (event.type === 'OrderPlaced') this.notePlaced(event);
      else if (SETTLES.has(event.type)) this.noteSettled(event);
    }
  }

  /** Undefined until it has counted for a second. */
  flow(): OrderFlow | undefined {
    const { firstSecond, second } = this;
    if (firstSecond === undefined || second <= firstSecond) return undefined;
    const counted = second - firstSecond;
    const since = (seconds: number) =>
      this.buckets.filter((it) => it.second >= firstSecond && it.second < second && it.second >= second - seconds);
    const recent = since(RATE_SECONDS);
    const minute = since(TIME_SECONDS);
    const times = minute.flatMap((bucket) => bucket.times).sort((a, b) => a - b);
    return {
      seconds: Math.min(counted, RATE_SECONDS),
      placed: sum(recent, 'placed'),
      settled: sum(recent, 'settled'),
      toSettle: {
        seconds: Math.min(counted, TIME_SECONDS),
        orders: times.length,
        others: sum(minute, 'settled') - times.length,
        ...(times.length > 0 && { medianMs: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }),
      },
    };
  }

  private get second(): number {
    return Math.floor(this.clock.monotonicMs() / 1_000);
  }

  private notePlaced({ stream, recordedAt }: RecordedEvent): void {
    this.bucket.placed++;
    this.placedMs.set(idOf(stream), Date.parse(recordedAt));
    if (this.placedMs.size <= MAX_WAITING) return;
    const [longest] = this.placedMs.keys();
    this.placedMs.delete(longest!);
  }

  private noteSettled({ stream, recordedAt }: RecordedEvent): void {
    const { bucket } = this;
    const placedMs = this.placedMs.get(idOf(stream));
    this.placedMs.delete(idOf(stream));
    bucket.settled++;
    // By the clocks of the instances that recorded them, of which one may be behind.
    if (placedMs !== undefined && bucket.times.length < MAX_TIMES)
      bucket.times.push(Math.max(0, Date.parse(recordedAt) - placedMs));
  }

  private get bucket(): Bucket {
    const { second } = this;
    const last = this.buckets.at(-1);
    if (last?.second === second) return last;
    const bucket = { second, placed: 0, settled: 0, times: [] };
    this.buckets.push(bucket);
    while (this.buckets[0]!.second < second - TIME_SECONDS) this.buckets.shift();
    return bucket;
  }
}

const sum = (buckets: readonly Bucket[], what: 'placed' | 'settled') =>
  buckets.reduce((total, bucket) => total + bucket[what], 0);

/** The least of the values, which are in order, that so large a part of them does not exceed. */
const percentile = (values: readonly number[], part: number) => values[Math.ceil(values.length * part) - 1]!;
