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
 * A message that no retry can mend is dead at once; one of an unknown type is counted, and done with.
 *
 * Why no message can overtake another of its key, or stay parked for ever:
 *  - A key's messages are put into its line by the one instance that owns their partition, in their order.
 *  - A message leaves its line only after it was handled. So a key without a line has nothing unhandled, and its next
 *    message may be handled directly.
 *  - A consumer that saw a line parks its message behind it even when the last of the line was handled meanwhile. The
 *    message then is the first of a new line, and due at once like any other: whether a message is the first is asked
 *    when lines are read, and stored nowhere.
 *  - While no key at all has a line, nobody has to ask: only we can make one for a key of our partitions, until we are
 *    given partitions that another instance has had.
 * When instances come and go, two may be at one key for a moment, and handlers see duplicates: they are idempotent.
 */
import pLimit from 'p-limit';
import { backoffMs, Bell, type Leases, type Runtime, supervise } from '#runtime';
import type { Failure, ParkedMessage, ParkedMessages } from './parked.js';
import { type Delivered, MALFORMED, type MalformedData, type MessageBus } from './port.js';

export interface ConsumerOptions {
  /** The consumer group, and the owner of the parked lines. */
  readonly name: string;
  readonly bus: MessageBus;
  readonly topics: readonly string[];
  readonly parked: ParkedMessages;
  readonly leases: Leases;
  /**
   * Idempotent. Throws when the message has to be tried again, PoisonMessage when that cannot help, and SkippedMessage
   * when there is nothing to do because it is not known here.
   */
  readonly handle: (message: Delivered) => Promise<void>;
  readonly counters?: MessageCounters;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
  /** With the pauses between them, 12 attempts span about a quarter of an hour: shorter failures need no person. */
  readonly maxAttempts?: number;
}

/** A message that no retry can mend, such as one that does not fit its schema: it is a dead letter at once. */
export class PoisonMessage extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PoisonMessage';
  }
}

/** A message that its handler does not know, such as one of a type that came later: it is counted, and done with. */
export class SkippedMessage extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SkippedMessage';
  }
}

/** For operators: what became of messages that were not handled. A rising count is a reason to look. */
export interface MessageCounters {
  readonly skipped: (labels: { readonly topic: string }, by?: number) => void;
  /** Counts again when a retry that a person asked for ends the same. */
  readonly dead: (labels: { readonly topic: string }, by?: number) => void;
}

/** Keys at work at the same time. Handlers that gather their writes into one append profit from many. */
const CONCURRENT_KEYS = 256;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10 * 60_000;
/** How often parked lines are looked at that another instance, or a person, may have changed. */
const POLL_MS = 1_000;
/** Of how many unknown types the log says that they are skipped: a limit to what others can make us remember. */
const SKIPPED_TYPES = 100;

type Unhandled = Failure & { readonly message: Delivered };

/** Runs until `signal` aborts, through failures of the bus and of the database. */
export async function consumer(options: ConsumerOptions): Promise<void> {
  const { name, bus, topics, parked, leases, handle, counters, runtime, signal, maxAttempts = 12 } = options;
  const { clock, random, log } = runtime;
  const someParked = new Bell();
  // For all batches together: a bus may have several under way, of different partitions.
  const slots = pLimit(CONCURRENT_KEYS);
  const skippedTypes = new Set<string>();
  /** Grows whenever keys of ours may have got a line: with partitions of others, and with what we park. */
  let changes = 0;
  /** What `changes` was when no key at all had a line. */
  let noLinesAt: number | undefined;

  /** Which of these keys have a line. */
  async function parkedKeys(keys: readonly string[]): Promise<ReadonlySet<string>> {
    if (noLinesAt === changes) return new Set();
    const asked = changes;
    const found = await parked.parkedKeys(name, keys);
    if (!found) noLinesAt = asked;
    return found ?? new Set();
  }

  async function handleBatch(batch: readonly Delivered[], lost: AbortSignal): Promise<void> {
    const lines = byKey(batch);
    const waiting = await parkedKeys([...lines.keys()]);
    const failed: Unhandled[] = [];
    const handleLine = async (messages: readonly Delivered[]) => {
      for (const [n, message] of messages.entries()) {
        if (lost.aborted) return;
        const failure = await attempt(message, 1);
        if (!failure) continue;
        failed.push({ ...failure, message }, ...messages.slice(n + 1).map(behind));
        return;
      }
    };
    // What waits is parked while the others are handled: it costs them nothing. And it wakes nobody.
    const [parking] = await Promise.allSettled([
      park(batch.filter(({ key }) => waiting.has(key)).map(behind)),
      ...Array.from(lines, ([key, messages]) => !waiting.has(key) && slots(handleLine, messages)),
    ]);
    lost.throwIfAborted();
    if (parking.status === 'rejected') throw parking.reason;
    await park(failed);
    if (failed.length > 0) someParked.ring();
  }

  async function park(messages: readonly Unhandled[]): Promise<void> {
    if (messages.length === 0) return;
    try {
      await parked.park(name, messages, clock.now());
    } finally {
      changes++;
    }
  }

  async function retryParked(lease: AbortSignal): Promise<void> {
    while (!lease.aborted) {
      const firsts = await parked.due(name, clock.now(), CONCURRENT_KEYS);
      if (firsts.length === 0) {
        await someParked.wait(lease, { clock, pollMs: POLL_MS });
        continue;
      }
      const handled: bigint[] = [];
      const failed: (Failure & { id: bigint })[] = [];
      const retry = async ({ id, message, attempts }: ParkedMessage) => {
        const failure = await attempt(message, attempts + 1);
        if (failure) failed.push({ ...failure, id });
        else handled.push(id);
      };
      await Promise.all(firsts.map(retry));
      await parked.recordRetries(handled, failed);
    }
  }

  /** Undefined when the message is done with. */
  async function attempt(message: Delivered, attempts: number): Promise<Failure | undefined> {
    try {
      if (message.type === MALFORMED) throw new PoisonMessage((message.data as MalformedData).reason);
      await handle(message);
      return undefined;
    } catch (cause) {
      if (cause instanceof SkippedMessage) return skipped(message);
      const now = clock.now();
      const error = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
      const fields = {
        consumer: name,
        topic: message.topic,
        key: message.key,
        type: message.type,
        messageId: message.id,
        attempts,
        err: cause,
      };
      if (cause instanceof PoisonMessage || attempts >= maxAttempts) {
        counters?.dead({ topic: message.topic });
        log.error(
          fields,
          'A message is a dead letter: it and the later ones of its key wait until a person retries or skips it (/admin/dead-letters).',
        );
        return { attempts, error, nextAttemptAt: now, deadAt: now };
      }
      log.warn(fields, 'A message could not be handled; its key waits until a retry succeeds.');
      const pauseMs = backoffMs(attempts, random, FIRST_RETRY_MS, LAST_RETRY_MS);
      return { attempts, error, nextAttemptAt: new Date(now.getTime() + pauseMs) };
    }
  }

  function skipped({ topic, type, id }: Delivered): undefined {
    counters?.skipped({ topic });
    const known = `${type} on ${topic}`;
    if (skippedTypes.has(known) || skippedTypes.size === SKIPPED_TYPES) return;
    skippedTypes.add(known);
    log.info({ consumer: name, topic, type, messageId: id }, 'A type that is not known here is skipped, and counted.');
  }

  function behind(message: Delivered): Unhandled {
    const error = 'It waits behind an earlier message of its key.';
    return { message, attempts: 0, error, nextAttemptAt: clock.now() };
  }

  for (const topic of topics) {
    // An alert sees the first one only as a rise from 0.
    counters?.skipped({ topic }, 0);
    counters?.dead({ topic }, 0);
  }
  await Promise.all([
    supervise(name, runtime, signal, () =>
      bus.consume({
        group: name,
        topics,
        signal,
        onAssigned: () => void changes++,
        handle: (batch, lost) =>
          handleBatch(batch, lost).catch((error: unknown) => {
            if (!lost.aborted) log.warn({ consumer: name, err: error }, 'A batch could not be parked and comes again.');
            throw error;
          }),
      }),
    ),
    supervise(`${name} retries`, runtime, signal, () => leases.hold(`${name} retries`, signal, retryParked)),
  ]);
}

function byKey(batch: readonly Delivered[]): Map<string, Delivered[]> {
  const lines = new Map<string, Delivered[]>();
  for (const message of batch) {
    const line = lines.get(message.key);
    if (line) line.push(message);
    else lines.set(message.key, [message]);
  }
  return lines;
}
