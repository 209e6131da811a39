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
import { type EventStore, readAhead, type RecordedEvent } from '#event-store';
import { type Checkpoints, type Leases, type Runtime, supervise } from '#runtime';
import type { Message, MessageBus } from './port.js';

/** Which of a service's events become messages, and how. */
export interface Outbox {
  readonly store: EventStore;
  readonly bus: MessageBus;
  readonly topic: string;
  readonly categories: readonly string[];
  /** The public form of an event; undefined when it is private. Pure: the same event gives the same message. */
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

/** How long the checkpoint waits for more to save: each save costs a commit, and includes all before it. */
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

  /** Runs alongside the publishing: the checkpoint may lag behind, and never runs ahead. */
  async function save(): Promise<void> {
    while (unsaved !== undefined) {
      await runtime.clock.sleep(SAVE_EVERY_MS, signal);
      const position = unsaved;
      unsaved = undefined;
      await checkpoints.save(name, position);
    }
    saving = undefined;
  }

  try {
    const batches = readAhead(store, { categories, after, signal }, runtime);
    for await (const { events, position } of batches) {
      if (signal.aborted) break; // The lease is lost: another instance may have begun.
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
 * Publishes the messages of one stream again, for a service that lost them and asks. Repetitions change nothing for
 * services that have handled them; if the relay is still behind, it publishes some of them once more.
 */
export async function publishAgain(
  { store, bus, topic, toMessage }: Omit<Outbox, 'categories'>,
  stream: string,
): Promise<void> {
  const again: Message[] = [];
  for await (const event of store.read(stream)) {
    const message = toMessage(event);
    if (message) again.push(message);
  }
  if (again.length > 0) await bus.publish(topic, again);
}
