/**
 * Handles a service's messages: at least once, in order per key, many keys at a time. A message that fails holds up its
 * own key and nothing else.
 *
 *   bus ──batch──▶ is its key parked? ──no──▶ handle ──ok──▶ (offset stored when the whole batch is done or parked)
 *                        │ yes                  │ throws
 *                        ▼                      ▼
 *                  parked lines, one per key ◀──┘
 *                        │ first of a line, when due                         after the last attempt
 *                        └─────▶ handle ──ok──▶ removed, next of the line;   ──▶ dead: a person decides
 *
 * A message that no retry can fix is dead at once; one of an unknown type is counted and skipped. While a server is away
 * or busy, or this instance is too old for what it has to read, attempts say nothing about the message and are not counted:
 * it waits for as long as that takes.
 *
 * Why no message can overtake another of its key, or stay parked forever:
 *  - A key's messages are put into its line by the one instance that owns their partition, in their order.
 *  - A message leaves its line only after it was handled. So a key without a line has nothing unhandled, and its next
 *    message may be handled directly.
 *  - A consumer that saw a line parks its message behind it even if the last message of the line was handled meanwhile.
 *    The message is then the first of a new line, and due at once like any other: whether a message is the first is
 *    determined when lines are read, and stored nowhere.
 *  - As long as no key has a line, the consumer need not ask again: only this instance can create one for a key of its
 *    partitions, until it is assigned partitions that another instance has owned.
 * When instances come and go, two may work on one key for a moment, and handlers see duplicates: they are idempotent.
 */
import pLimit from 'p-limit';
import { backoffMs, Batcher, Bell, isUnavailable, type Leases, type Runtime, supervise } from '#runtime';
import type { Failure, ParkedMessage, ParkedMessages } from './parked.js';
import { type Delivered, MALFORMED, type MalformedData, type MessageBus } from './port.js';

export interface ConsumerOptions {
  /** Names the consumer group, the parked lines and the lease of their retries. */
  readonly name: string;
  readonly bus: MessageBus;
  readonly topics: readonly string[];
  /** See ConsumeOptions. */
  readonly ignores?: readonly string[];
  readonly parked: ParkedMessages;
  readonly leases: Leases;
  /**
   * Idempotent. Throws when the message has to be retried, PoisonMessage when no retry can help, and SkippedMessage
   * when the message is of a type that this service does not know.
   */
  readonly handle: (message: Delivered) => Promise<void>;
  readonly counters?: MessageCounters;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /** By default 12, which span about a quarter of an hour. An attempt that met an unavailable server is not counted. */
  readonly maxAttempts?: number;
}

/** A message that no retry can fix, such as one that does not fit its schema: it is a dead letter at once. */
export class PoisonMessage extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PoisonMessage';
  }
}

/** A message that its handler does not know, such as one of a type that was added later: it is counted and skipped. */
export class SkippedMessage extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SkippedMessage';
  }
}

/** For operators: counts messages that were not handled. A rising count is a reason to look. */
export interface MessageCounters {
  readonly skipped: (labels: { readonly topic: string }, by?: number) => void;
  /** Counts again when a retry that a person asked for fails, too. */
  readonly dead: (labels: { readonly topic: string }, by?: number) => void;
}

/** Keys that are handled at the same time. Handlers that batch their writes into one append profit from many. */
const CONCURRENT_KEYS = 256;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10 * 60_000;
/** The pause before the next attempt at a message that a server did not let us handle. */
const UNAVAILABLE_RETRY_MS = 5_000;
/** How often to check parked lines, which another instance or a person may have changed. */
const POLL_MS = 1_000;
/** How many messages of a line are fetched, and recorded as handled, together: after a crash they may come twice. */
const LINE = 50;
/** How many unknown types are logged: bounds the memory that senders can make us use. */
const SKIPPED_TYPES = 100;

/** What has become of the first messages of a line. */
interface LineResult {
  readonly key: string;
  readonly handled: readonly bigint[];
  readonly failed: (Failure & { readonly id: bigint }) | undefined;
  /** Called with what follows in the line. */
  readonly resolve: (next: readonly ParkedMessage[]) => void;
  readonly reject: (reason: unknown) => void;
}

type Unhandled = Failure & { readonly message: Delivered };

export class Consumer {
  private readonly someParked = new Bell();
  /** Shared by all batches: a bus may have several under way, of different partitions. */
  private readonly slots = pLimit(CONCURRENT_KEYS);
  private readonly lines: LineCheck;
  private readonly skippedTypes = new Set<string>();
  /** Whether the last attempt met a server that is away: that is logged once, and not for each message. */
  private unavailable = false;
  /** The latest time of day so far, and when that was by the monotonic clock. */
  private latest = { atMs: 0, seenMs: 0 };

  constructor(private readonly options: ConsumerOptions) {
    this.lines = new LineCheck(options.name, options.parked);
  }

  /** Runs until `signal` aborts, through failures of the bus and of the database. */
  async run(): Promise<void> {
    const { name, topics, leases, counters, runtime, signal } = this.options;
    for (const topic of topics) {
      // An alert notices the first one only as a rise from 0.
      counters?.skipped({ topic }, 0);
      counters?.dead({ topic }, 0);
    }
    const retries = `${name} retries`;
    await Promise.all([
      supervise(name, runtime, signal, () => this.consume()),
      supervise(retries, runtime, signal, () => leases.hold(retries, signal, (lease) => this.retryParked(lease))),
    ]);
  }

  private consume(): Promise<void> {
    const { name, bus, topics, ignores, runtime, signal } = this.options;
    return bus.consume({
      group: name,
      topics,
      ...(ignores && { ignores }),
      signal,
      onAssigned: () => this.lines.mayHaveChanged(),
      handle: (batch, lost) =>
        this.handleBatch(batch, lost).catch((error: unknown) => {
          if (!lost.aborted) {
            runtime.log.warn(
              { consumer: name, err: error },
              'A batch could not be parked and will be delivered again.',
            );
          }
          throw error;
        }),
    });
  }

  private async handleBatch(batch: readonly Delivered[], lost: AbortSignal): Promise<void> {
    const byKey = groupByKey(batch);
    const parkedKeys = await this.lines.parkedKeys([...byKey.keys()]);
    const failed: Unhandled[] = [];
    const handleKey = async (messages: readonly Delivered[]) => {
      for (const [n, message] of messages.entries()) {
        if (lost.aborted) return;
        const failure = await this.attempt(message, 1);
        if (!failure) continue;
        failed.push({ ...failure, message }, ...messages.slice(n + 1).map((later) => this.waitBehind(later)));
        return;
      }
    };
    // Messages of parked keys are parked while the others are handled: that delays nothing, and needs no wake-up.
    const waiting = batch.filter(({ key }) => parkedKeys.has(key)).map((message) => this.waitBehind(message));
    const [parking] = await Promise.allSettled([
      this.park(waiting),
      ...Array.from(byKey, ([key, messages]) => !parkedKeys.has(key) && this.slots(handleKey, messages)),
    ]);
    lost.throwIfAborted();
    if (parking.status === 'rejected') throw parking.reason;
    await this.park(failed);
    if (failed.length > 0) this.someParked.ring();
  }

  private async park(messages: readonly Unhandled[]): Promise<void> {
    if (messages.length === 0) return;
    const { name, parked, runtime } = this.options;
    try {
      await parked.park(name, messages, runtime.clock.now());
    } finally {
      this.lines.mayHaveChanged();
    }
  }

  /** Retries the lines that are due, each at its own speed. One instance does it at a time. */
  private async retryParked(lease: AbortSignal): Promise<void> {
    const { name, parked, runtime } = this.options;
    const atWork = new Map<string, Promise<void>>();
    const failures: unknown[] = [];
    const over = () => lease.aborted || failures.length > 0;
    const results = new Batcher<LineResult>(CONCURRENT_KEYS, (batch) => this.recordResults(batch));
    const begin = (first: ParkedMessage) => {
      const { key } = first.message;
      const ended = () => {
        atWork.delete(key);
        this.someParked.ring();
      };
      const working = this.drain(first, results, over).catch((error: unknown) => failures.push(error));
      atWork.set(key, working.then(ended));
    };
    try {
      while (!over()) {
        const firsts = await parked.due(name, this.now(), CONCURRENT_KEYS - atWork.size, [...atWork.keys()]);
        firsts.forEach(begin);
        if (firsts.length === 0) await this.someParked.wait(lease, { clock: runtime.clock, pollMs: POLL_MS });
      }
    } finally {
      await Promise.all(atWork.values());
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Handles a line from its first message on, until one fails or none is left. */
  private async drain(first: ParkedMessage, results: Batcher<LineResult>, over: () => boolean): Promise<void> {
    let line: readonly ParkedMessage[] = [first];
    while (line.length > 0) {
      const handled: bigint[] = [];
      let failed: (Failure & { id: bigint }) | undefined;
      for (const { id, message, attempts, nextAttemptAt, deadAt } of line) {
        if (failed || over() || deadAt || nextAttemptAt > this.now()) break;
        const failure = await this.attempt(message, attempts + 1);
        if (failure) failed = { ...failure, id };
        else handled.push(id);
      }
      if (handled.length === 0 && !failed) return;
      const { key } = first.message;
      line = await new Promise((resolve, reject) => results.add({ key, handled, failed, resolve, reject }));
    }
  }

  /** Records what has become of many lines with one statement, and passes each what follows in it. */
  private async recordResults(results: readonly LineResult[]): Promise<void> {
    const handled = results.flatMap((result) => result.handled);
    const failed = results.flatMap((result) => result.failed ?? []);
    const next = await this.options.parked.recordRetries(handled, failed, LINE);
    for (const { key, resolve } of results) resolve(next.filter(({ message }) => message.key === key));
  }

  /** Undefined when the message is handled or skipped. */
  private async attempt(message: Delivered, attempts: number): Promise<Failure | undefined> {
    try {
      if (message.type === MALFORMED) throw new PoisonMessage((message.data as MalformedData).reason);
      await this.options.handle(message);
      this.unavailable = false;
      return undefined;
    } catch (cause) {
      if (cause instanceof SkippedMessage) return this.skip(message);
      if (isUnavailable(cause)) return this.waitForServer(message, attempts - 1, cause);
      return this.failureOf(message, attempts, cause);
    }
  }

  /** Logs why an attempt failed, and when the next one is due, if any. */
  private failureOf(message: Delivered, attempts: number, cause: unknown): Failure {
    const { name, counters, runtime, maxAttempts = 12 } = this.options;
    const { clock, random, log } = runtime;
    const error = describe(cause);
    const { topic, key, type, id: messageId } = message;
    const fields = { consumer: name, topic, key, type, messageId, attempts, err: cause };
    if (cause instanceof PoisonMessage || attempts >= maxAttempts) {
      counters?.dead({ topic });
      log.error(
        fields,
        'A message is a dead letter: it and the later ones of its key wait until a person retries or skips it (/admin/dead-letters).',
      );
      return { attempts, error, nextAttemptAt: this.now(), deadAt: clock.now() };
    }
    log.warn(fields, 'A message could not be handled; its key waits until a retry succeeds.');
    const pauseMs = backoffMs(attempts, random, FIRST_RETRY_MS, LAST_RETRY_MS);
    return { attempts, error, nextAttemptAt: new Date(this.now().getTime() + pauseMs) };
  }

  /** `attempts`: those that were made before. */
  private waitForServer({ topic, key, type, id }: Delivered, attempts: number, cause: unknown): Failure {
    const { name, runtime } = this.options;
    const { random, log } = runtime;
    if (!this.unavailable) {
      this.unavailable = true;
      log.warn(
        { consumer: name, topic, key, type, messageId: id, err: cause },
        'A message could not be handled because a server is unavailable; messages wait for it, and no attempt is counted.',
      );
    }
    const pauseMs = backoffMs(1, random, UNAVAILABLE_RETRY_MS, UNAVAILABLE_RETRY_MS);
    return { attempts, error: describe(cause), nextAttemptAt: new Date(this.now().getTime() + pauseMs) };
  }

  private skip({ topic, type, id }: Delivered): undefined {
    const { name, counters, runtime } = this.options;
    counters?.skipped({ topic });
    const skipped = `${type} on ${topic}`;
    if (this.skippedTypes.has(skipped) || this.skippedTypes.size === SKIPPED_TYPES) return;
    this.skippedTypes.add(skipped);
    runtime.log.info({ consumer: name, topic, type, messageId: id }, 'Messages of an unknown type are skipped.');
  }

  private waitBehind(message: Delivered): Unhandled {
    const error = 'It waits behind an earlier message of its key.';
    return { message, attempts: 0, error, nextAttemptAt: this.now() };
  }

  /** The time of day for the pauses of parked messages, which are stored: when the clock is set back, this goes on. */
  private now(): Date {
    const { clock } = this.options.runtime;
    const seenMs = clock.monotonicMs();
    const atMs = Math.max(clock.now().getTime(), this.latest.atMs + seenMs - this.latest.seenMs);
    this.latest = { atMs, seenMs };
    return new Date(atMs);
  }
}

/** Finds out which keys have a line, and spares the query while none can have one. */
class LineCheck {
  /** Grows whenever keys of ours may have got a line: when partitions are assigned, and when we park. */
  private changes = 0;
  /** The value of `changes` when no key at all had a line. */
  private noLinesAt: number | undefined;

  constructor(
    private readonly consumer: string,
    private readonly parked: ParkedMessages,
  ) {}

  mayHaveChanged(): void {
    this.changes++;
  }

  async parkedKeys(keys: readonly string[]): Promise<ReadonlySet<string>> {
    if (this.noLinesAt === this.changes) return new Set();
    const asked = this.changes;
    const found = await this.parked.parkedKeys(this.consumer, keys);
    if (!found) this.noLinesAt = asked;
    return found ?? new Set();
  }
}

function describe(cause: unknown): string {
  return cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
}

function groupByKey(batch: readonly Delivered[]): Map<string, Delivered[]> {
  const lines = new Map<string, Delivered[]>();
  for (const message of batch) {
    const line = lines.get(message.key);
    if (line) line.push(message);
    else lines.set(message.key, [message]);
  }
  return lines;
}
