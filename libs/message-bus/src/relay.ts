/**
 * Carries a service's events, as messages, from its store to the bus: in order, by one instance at a time, from a
 * stored checkpoint.
 *
 *   store ──subscribe──▶ toMessage ──publish──▶ bus ──acknowledged──▶ checkpoint
 *
 * The checkpoint moves after the bus has acknowledged, at once or a moment later, so a crash in between sends some
 * messages twice, with the same ids, and never loses one. Writing events and messages in one transaction is not needed:
 * the store is the outbox.
 */
import type { EventStore, RecordedEvent } from '#event-store';
import { type Checkpoints, type Leases, type Runtime, supervise } from '#runtime';
import type { Message, MessageBus } from './port.js';

/** Which of a service's events become messages, and how. */
export interface Outbox {
  readonly store: EventStore;
  readonly bus: MessageBus;
  readonly topic: string;
  readonly categories: readonly string[];
  /** What others may know of an event; undefined when it is private. Pure: the same event gives the same message. */
  readonly toMessage: (event: RecordedEvent) => Message | undefined;
}

export interface RelayOptions extends Outbox {
  /** Names its checkpoint and its lease. */
  readonly name: string;
  readonly checkpoints: Checkpoints;
  readonly leases: Leases;
  readonly runtime: Runtime;
  readonly signal: AbortSignal;
}

/** The checkpoint is saved at most once in this time: each costs a commit, and one counts for all before it. */
const SAVE_EVERY_MS = 100;

/** Runs until `signal` aborts, through failures of the store and of the bus. */
export async function relay(options: RelayOptions): Promise<void> {
  const { name, leases, runtime, signal } = options;
  await supervise(name, runtime, signal, () => leases.hold(name, signal, (lease) => carry(options, lease)));
}

async function carry(options: RelayOptions, lease: AbortSignal): Promise<void> {
  const { name, store, bus, topic, categories, toMessage, checkpoints, runtime } = options;
  const after = await checkpoints.load(name);
  const ended = new AbortController();
  const signal = AbortSignal.any([lease, ended.signal]);
  let unsaved: bigint | undefined;
  let saving: Promise<void> | undefined;

  /** Beside the publishing: the checkpoint may lag behind, and never runs ahead. */
  async function save(): Promise<void> {
    while (unsaved !== undefined) {
      const position = unsaved;
      unsaved = undefined;
      await checkpoints.save(name, position);
      await runtime.clock.sleep(SAVE_EVERY_MS, signal);
    }
    saving = undefined;
  }

  try {
    const batches = oneAhead((stop) => store.subscribe({ categories, after, signal: stop }), signal);
    for await (const { events, position } of batches) {
      if (signal.aborted) break; // Without the lease, another instance may have begun.
      const messages = events.flatMap((event) => toMessage(event) ?? []);
      if (messages.length > 0) await bus.publish(topic, messages);
      unsaved = position;
      saving ??= save().catch((error: unknown) => ended.abort(error));
    }
    ended.signal.throwIfAborted(); // The checkpoint could not be saved.
  } finally {
    ended.abort();
    await saving;
  }
}

/**
 * Publishes again what was said of one stream, for those who lost it and ask again. Repetitions change nothing for who
 * has heard it; the relay may still be behind, and then these come twice, too.
 */
export async function publishAgain(
  { store, bus, topic, toMessage }: Omit<Outbox, 'categories'>,
  stream: string,
): Promise<void> {
  const said: Message[] = [];
  for await (const event of store.read(stream)) {
    const message = toMessage(event);
    if (message) said.push(message);
  }
  if (said.length > 0) await bus.publish(topic, said);
}

/** The batches of a subscription until `signal` aborts, each fetched while the one before is worked on. */
async function* oneAhead<T>(subscribe: (stop: AbortSignal) => AsyncIterable<T>, signal: AbortSignal): AsyncIterable<T> {
  const left = new AbortController();
  const batches = subscribe(AbortSignal.any([signal, left.signal]))[Symbol.asyncIterator]();
  let next = batches.next();
  try {
    for (let { done, value } = await next; !done; { done, value } = await next) {
      next = batches.next();
      next.catch(() => {}); // Heard of at the next turn, or of no interest any more.
      yield value;
    }
  } finally {
    left.abort(); // Whoever works on a batch may fail while the next one is waited for.
    await batches.return?.();
  }
}
