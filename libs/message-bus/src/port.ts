/** The port of the message bus. Its promises are stated here, and tested for every adapter by `contract.ts`. */

/** A message between services: a CloudEvents 1.0 event with the key that orders it. */
export interface Message {
  /** The id of the event that it reports, so a message that is sent twice has one id. */
  readonly id: string;
  /** As in the contract: `StockReserved`. */
  readonly type: string;
  /** The service that publishes it: `/inventory`. */
  readonly source: string;
  /** ISO 8601, UTC: when the event happened. */
  readonly time: string;
  /** Messages with one key keep their order: the order's id. Also CloudEvents' `subject`. */
  readonly key: string;
  readonly data: object;
  readonly correlationId: string;
  /** W3C Trace Context. */
  readonly traceparent?: string;
}

/** A message as the log keeps it. */
export interface Delivered extends Message {
  readonly topic: string;
  readonly partition: number;
  /** Grows within a partition, not always by one. */
  readonly offset: bigint;
}

/**
 * The type under which an adapter delivers a record of the log that is not a message. No handler can process it, and
 * skipping it silently would lose it. Its data is a `MalformedData`.
 */
export const MALFORMED = 'larder.malformed';

export interface MalformedData {
  /** What is wrong with it. */
  readonly reason: string;
  /** The record as text. */
  readonly headers: Readonly<Record<string, string>>;
  readonly value: string;
}

export interface ConsumeOptions {
  /** The consumer group, whose instances share the partitions of the topics. */
  readonly group: string;
  readonly topics: readonly string[];
  /**
   * Types of messages that are in no hurry, since nothing follows from them: a bus may leave them until one of another type
   * comes, and for a second at most.
   */
  readonly ignores?: readonly string[];
  /**
   * Processes a batch: messages of one or more partitions, each partition in order. While it runs, no later messages of
   * those partitions are delivered to this group. `lost` aborts when a partition of the batch has been taken away:
   * another instance may already be working on it. When it fails, the batch is delivered again.
   */
  readonly handle: (batch: readonly Delivered[], lost: AbortSignal) => Promise<void>;
  /** Called before the first batch of partitions that another instance may have owned until now. */
  readonly onAssigned?: () => void;
  readonly signal: AbortSignal;
}

/** Messages that the log deleted, because their retention was over, before a group had read them. */
export interface Missed {
  readonly topic: string;
  readonly messages: number;
  /** ISO 8601, UTC: when the last of them were deleted. */
  readonly at: string;
}

/** A topic that has got more partitions since the bus was opened, so that keys have changed their partitions. */
export interface Grown {
  readonly topic: string;
  readonly before: number;
  readonly partitions: number;
}

/** A partition in which a group has not read everything. */
export interface Unread {
  readonly topic: string;
  readonly partition: number;
  /** The last offset that the group is done with: while this stays the same, the group does not move there. */
  readonly done: bigint;
  /** How many offsets the partition is ahead of that: about as many messages, or more. */
  readonly unread: number;
}

export abstract class MessageBus {
  /** Returns once the log has acknowledged the messages. Messages with one key keep their order. */
  abstract publish(topic: string, messages: readonly Message[]): Promise<void>;

  /**
   * Delivers at least once, in order per key, and to a new group from the beginning of the log. An offset is stored
   * only after `handle` is done with everything before it. Ends without an error when `signal` aborts, after the batch
   * under way; fails when the log can no longer be reached: the caller starts it again.
   */
  abstract consume(options: ConsumeOptions): Promise<void>;

  /** Sets a group back to the beginning of its topics, so that everything is delivered again. No instance may be consuming. */
  abstract rewind(group: string, topics: readonly string[]): Promise<void>;

  /** What a group has missed, by topic. Nothing where the log does not tell: Kafka's adapter can only log it. */
  async missed(_group: string): Promise<readonly Missed[]> {
    return [];
  }

  /** The partitions of these topics in which a group that has begun has not read everything. */
  async unread(_group: string, _topics: readonly string[]): Promise<readonly Unread[]> {
    return [];
  }

  /** Fails when the bus cannot be reached. Tells what has happened to its topics. */
  abstract ping(): Promise<{ readonly grown?: readonly Grown[] } | void>;

  abstract close(): Promise<void>;
}

/**
 * The offsets of finished batches are stored within this time. A store costs a round trip and includes all before it; after a
 * crash some messages come again.
 */
export const STORE_MS = 500;

/** How long an adapter pauses before it delivers a batch again whose handler has failed; `failures` counts from 0. */
export function redeliveryPauseMs(failures: number): number {
  return Math.min(100 * 2 ** failures, 5_000);
}
