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
 * Why no message can overtake another of its key, or stay parked for ever:
 *  - A key's messages are put into its line by the one instance that owns their partition, in their order.
 *  - A message leaves its line only after it was handled. So a key without a line has nothing unhandled, and its next
 *    message may be handled directly.
 *  - A consumer that saw a line parks its message behind it even when the last of the line was handled meanwhile. The
 *    message then is the first of a new line, and due at once like any other: whether a message is the first is asked
 *    when lines are read, and stored nowhere.
 * When instances come and go, two may be at one key for a moment, and handlers see duplicates: they are idempotent.
 */
import { backoffMs, Bell, type Leases, type Runtime, supervise } from '#runtime';
import type { Failure, ParkedMessages } from './parked.js';
import type { Delivered, MessageBus } from './port.js';

export interface ConsumerOptions {
  /** The consumer group, and the owner of the parked lines. */
  readonly name: string;
  readonly bus: MessageBus;
  readonly topics: readonly string[];
  readonly parked: ParkedMessages;
  readonly leases: Leases;
  /** Idempotent. Throws when the message has to be tried again, and PoisonMessage when that cannot help. */
  readonly handle: (message: Delivered) => Promise<void>;
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

/** Keys at work at the same time. Handlers that gather their writes into one append profit from many. */
const CONCURRENT_KEYS = 256;
const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10 * 60_000;
/** How often parked lines are looked at that another instance, or a person, may have changed. */
const POLL_MS = 1_000;

/** Runs until `signal` aborts, through failures of the bus and of the database. */
export async function consumer(options: ConsumerOptions): Promise<void> {
  const { name, bus, topics, parked, leases, handle, runtime, signal, maxAttempts = 12 } = options;
  const { clock, random, log } = runtime;
  const someParked = new Bell();

  async function handleBatch(batch: readonly Delivered[], lost: AbortSignal): Promise<void> {
    const lines = byKey(batch);
    const waiting = await parked.parkedKeys(name, [...lines.keys()]);
    const toPark: (Failure & { message: Delivered })[] = [];
    await concurrently(lines, async ([key, messages]) => {
      let behind = waiting.has(key);
      for (const message of messages) {
        if (lost.aborted) return;
        const failure = behind ? waitingBehind() : await attempt(message, 1);
        if (failure) toPark.push({ ...failure, message });
        behind = failure !== undefined;
      }
    });
    lost.throwIfAborted();
    if (toPark.length > 0) {
      await parked.park(name, toPark, clock.now());
      someParked.ring();
    }
  }

  async function retryParked(lease: AbortSignal): Promise<void> {
    while (!lease.aborted) {
      const firsts = await parked.due(name, clock.now(), CONCURRENT_KEYS);
      if (firsts.length === 0) {
        await someParked.heard(lease, { clock, pollMs: POLL_MS });
        continue;
      }
      const handled: bigint[] = [];
      const failed: (Failure & { id: bigint })[] = [];
      await concurrently(firsts, async ({ id, message, attempts }) => {
        if (lease.aborted) return;
        const failure = await attempt(message, attempts + 1);
        if (failure) failed.push({ ...failure, id });
        else handled.push(id);
      });
      await parked.settle(handled, failed);
    }
  }

  /** Undefined when the message was handled. */
  async function attempt(message: Delivered, attempts: number): Promise<Failure | undefined> {
    try {
      await handle(message);
      return undefined;
    } catch (cause) {
      const now = clock.now();
      const error = cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause);
      const fields = {
        consumer: name,
        key: message.key,
        type: message.type,
        messageId: message.id,
        attempts,
        err: cause,
      };
      if (cause instanceof PoisonMessage || attempts >= maxAttempts) {
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

  function waitingBehind(): Failure {
    return { attempts: 0, error: 'It waits behind an earlier message of its key.', nextAttemptAt: clock.now() };
  }

  await Promise.all([
    supervise(name, runtime, signal, () =>
      bus.consume({
        group: name,
        topics,
        signal,
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

/** Works on all items, at most CONCURRENT_KEYS at a time. */
async function concurrently<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items[Symbol.iterator]();
  const worker = async () => {
    for (let next = queue.next(); !next.done; next = queue.next()) await work(next.value);
  };
  await Promise.all(Array.from({ length: CONCURRENT_KEYS }, worker));
}
