/** The port of the message bus. What it promises stands here, and is proved for every adapter in `contract.ts`. */

/** A message between services: a CloudEvents 1.0 event with the key that orders it. */
export interface Message {
  /** Derived from the id of the event that it tells of, so a message sent twice has one id. */
  readonly id: string;
  /** As in the contract: `StockReserved`. */
  readonly type: string;
  /** The service that speaks: `/inventory`. */
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
 * The type under which an adapter delivers what stands on the log and is no message: nobody can handle it, and skipping
 * it in silence would lose it. Its data are a `MalformedData`.
 */
export const MALFORMED = 'larder.malformed';

export interface MalformedData {
  /** What is wrong with it. */
  readonly reason: string;
  /** What it was, as text. */
  readonly headers: Readonly<Record<string, string>>;
  readonly value: string;
}

export interface ConsumeOptions {
  /** The consumer group: its instances share the partitions of the topics between them. */
  readonly group: string;
  readonly topics: readonly string[];
  /**
   * Does the work for a batch: messages of one or more partitions, each partition in order. While it runs, no later
   * messages of those partitions are delivered to this group. `lost` aborts when a partition of the batch was taken
   * away: another instance may already be at work on it. When it fails, the batch comes again.
   */
  readonly handle: (batch: readonly Delivered[], lost: AbortSignal) => Promise<void>;
  /** Called before the first batch of partitions that another instance may have worked on until now. */
  readonly onAssigned?: () => void;
  readonly signal: AbortSignal;
}

export abstract class MessageBus {
  /** Acknowledged by the log before it returns. Messages with one key keep their order. */
  abstract publish(topic: string, messages: readonly Message[]): Promise<void>;

  /**
   * At least once, in order per key, from the beginning of the log for a new group. An offset is stored only after
   * `handle` is done with everything before it. Ends without an error when `signal` aborts, after the batch under way;
   * fails when the log cannot be reached any more: the caller starts it again.
   */
  abstract consume(options: ConsumeOptions): Promise<void>;

  /** Sets a group back to the beginning of its topics, so that it is given everything again. No instance may be consuming. */
  abstract rewind(group: string, topics: readonly string[]): Promise<void>;

  /** Fails when the bus cannot be reached. */
  abstract ping(): Promise<void>;

  abstract close(): Promise<void>;
}
