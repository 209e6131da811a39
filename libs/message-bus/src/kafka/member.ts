/**
 * One instance of a consumer group in Kafka.
 *
 *   fetch ──▶ a batch of each partition ──▶ gathered into one ──▶ handle ──▶ next fetch … ──▶ offsets committed
 *                                                                  │ fails                     a moment later
 *                                                                  └──▶ again after a pause
 *
 * kafkajs fetches again, or rejoins the group, only after all batches of a fetch are finished. So no partition moves
 * while it is being worked on, as long as the group waits for us: heartbeats continue while a batch is handled. When a
 * heartbeat is answered with "you are no longer a member", or none is answered for so long that the group must consider
 * us dead, or when another generation of the group has begun, `lost` aborts and nothing more is committed.
 *
 * A kafkajs consumer may crash permanently, and a consumer that falls silent would stall its group. Both end `consume()`
 * with an error, and its caller starts again.
 */
import type { EachBatchPayload, Kafka } from 'kafkajs';
import { type Clock, type Log, ServerUnavailable, untilAborted } from '#runtime';
import { translateError, typeOf } from './errors.js';
import { toDelivered } from './record.js';
import { type ConsumeOptions, redeliveryPauseMs, STORE_MS } from '../port.js';

/** After this long without a heartbeat, the group gives our partitions to others. */
const SESSION_MS = 6_000;
const HEARTBEAT_MS = 500;
/** How long the group waits for a member that is handling a batch, before it continues without it. */
const REBALANCE_MS = 30_000;
/** A fetch waits this long for messages. A member learns of joining and leaving members between two fetches. */
const FETCH_WAIT_MS = 250;
/** More than a topic has partitions, so that kafkajs hands over all batches of a fetch at once. */
const BATCHES_AT_ONCE = 1_000;
/** A consumer that has neither fetched nor joined for this long is considered dead. */
const SILENCE_MS = 60_000;
/** How long a leaving member waits for a join under way. */
const JOIN_WAIT_MS = 3_000;

/** Errors that mean that the partitions belong to another member now, so that offsets cannot be committed. */
const EXPELLED = new Set(['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION', 'FENCED_INSTANCE_ID']);

interface Part {
  readonly payload: EachBatchPayload;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class KafkaMember {
  private readonly over = new AbortController();
  private pending: Part[] = [];
  /** A batch that is finished since offsets were last committed: by it, kafkajs tells and commits them. */
  private uncommitted: EachBatchPayload | undefined;
  private storing: Promise<void> | undefined;
  /** One controller for each batch under way; it aborts when the partitions are lost. */
  private readonly atWork = new Set<AbortController>();
  private aliveMs: number;

  constructor(
    private readonly kafka: Kafka,
    private readonly options: ConsumeOptions,
    private readonly clock: Clock,
    private readonly log: Log,
  ) {
    this.aliveMs = this.nowMs();
  }

  /** Until `options.signal` aborts. @throws when the consumer has failed permanently, or after `giveUp` */
  async consume(): Promise<void> {
    const { group, topics, signal } = this.options;
    const consumer = this.kafka.consumer({
      groupId: group,
      sessionTimeout: SESSION_MS,
      heartbeatInterval: HEARTBEAT_MS,
      rebalanceTimeout: REBALANCE_MS,
      maxWaitTimeInMs: FETCH_WAIT_MS,
      allowAutoTopicCreation: false,
    });
    const { CRASH, FETCH, GROUP_JOIN, HEARTBEAT, REBALANCING } = consumer.events;
    consumer.on(CRASH, ({ payload }) => this.handleCrash(payload));
    consumer.on(GROUP_JOIN, () => {
      this.loseAll();
      this.options.onAssigned?.();
    });
    // On the way to joining again, so that who gets our partitions finds how far we are.
    consumer.on(REBALANCING, () => void this.store());
    consumer.on(FETCH, () => this.markAlive());
    consumer.on(HEARTBEAT, () => this.markAlive());
    const ended = AbortSignal.any([signal, this.over.signal]);
    let running: Promise<unknown> = Promise.resolve();
    try {
      await consumer.connect();
      await consumer.subscribe({ topics: [...topics], fromBeginning: true });
      running = consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: BATCHES_AT_ONCE,
        eachBatch: (payload) => this.gather(payload),
      });
      running.catch((error: unknown) => this.giveUp(error));
      await this.watch(ended);
    } catch (error) {
      if (!signal.aborted) throw translateError(error);
    } finally {
      await Promise.race([running.catch(() => {}), this.clock.sleep(JOIN_WAIT_MS, this.over.signal)]);
      await Promise.race([this.store(), this.clock.sleep(JOIN_WAIT_MS)]);
      await consumer.disconnect().catch(() => {});
    }
    if (!signal.aborted) throw translateError(this.over.signal.reason);
  }

  /** Ends `consume()` at once; a batch under way counts as not done. */
  giveUp(reason: unknown): void {
    this.over.abort(reason);
    this.loseAll();
  }

  private async watch(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      await this.clock.sleep(SILENCE_MS / 4, ended);
      if (this.atWork.size === 0 && this.nowMs() - this.aliveMs > SILENCE_MS) {
        this.giveUp(new ServerUnavailable(`The Kafka consumer of ${this.options.group} has fallen silent.`));
      }
    }
  }

  /** kafkajs restarts a consumer after some crashes, and not after others. */
  private handleCrash({ error, restart }: { error: Error; restart: boolean }): void {
    if (!restart) return this.giveUp(error);
    const fields = { group: this.options.group, err: translateError(error) };
    this.log.warn(fields, 'The Kafka consumer failed and is restarting.');
    this.loseAll();
  }

  private loseAll(): void {
    this.markAlive();
    this.atWork.forEach((lost) => lost.abort());
  }

  /** kafkajs hands over all batches of a fetch in one turn of the event loop: they are combined into one batch. */
  private gather(payload: EachBatchPayload): Promise<void> {
    return new Promise((resolve, reject) => {
      this.pending.push({ payload, resolve, reject });
      if (this.pending.length > 1) return;
      queueMicrotask(() => {
        const parts = this.pending.splice(0);
        this.work(parts).then(
          () => parts.forEach((part) => part.resolve()),
          (error: unknown) => parts.forEach((part) => part.reject(error)),
        );
      });
    });
  }

  private async work(parts: readonly Part[]): Promise<void> {
    if (this.options.signal.aborted || this.over.signal.aborted) return;
    const lost = new AbortController();
    const done = new AbortController();
    this.atWork.add(lost);
    const beating = this.beat(parts[0]!.payload.heartbeat, lost, done.signal);
    try {
      if (!(await this.handle(parts, lost.signal))) return;
      for (const { payload } of parts) payload.resolveOffset(payload.batch.lastOffset());
      this.uncommitted = parts[0]!.payload;
      if (this.options.signal.aborted) await this.store();
      else this.storing ??= this.storeSoon();
    } finally {
      this.atWork.delete(lost);
      this.markAlive();
      done.abort();
      await beating;
    }
  }

  private async storeSoon(): Promise<void> {
    const ended = AbortSignal.any([this.options.signal, this.over.signal]);
    while (this.uncommitted && !ended.aborted) {
      await this.clock.sleep(STORE_MS, ended);
      await this.store();
    }
    this.storing = undefined;
  }

  /** Commits the offsets of finished batches. What fails is committed with a later one, or the messages come again. */
  private async store(): Promise<void> {
    const batch = this.uncommitted;
    this.uncommitted = undefined;
    try {
      await batch?.commitOffsetsIfNecessary(batch.uncommittedOffsets());
    } catch {
      this.uncommitted ??= batch;
    }
  }

  /** Repeats the handler until it succeeds. False when the partitions are lost, or `signal` has aborted. */
  private async handle(parts: readonly Part[], lost: AbortSignal): Promise<boolean> {
    const { handle, signal } = this.options;
    const batch = parts.flatMap(({ payload: { batch } }) =>
      batch.messages.map((record) => toDelivered(batch.topic, batch.partition, record)),
    );
    const givenUp = untilAborted(lost);
    for (let failures = 0; !lost.aborted; failures++) {
      try {
        await Promise.race([handle(batch, lost), givenUp]);
        return !lost.aborted;
      } catch {
        if (signal.aborted) return false;
        await this.clock.sleep(redeliveryPauseMs(failures), AbortSignal.any([signal, lost]));
      }
    }
    return false;
  }

  /** Keeps our place in the group while a batch is at work, and finds out when we have lost it. */
  private async beat(heartbeat: () => Promise<void>, lost: AbortController, done: AbortSignal): Promise<void> {
    for (let answeredMs = this.nowMs(); !done.aborted; await this.clock.sleep(HEARTBEAT_MS, done)) {
      try {
        await heartbeat();
        answeredMs = this.nowMs();
      } catch (error) {
        const type = typeOf(error);
        // Other members join or leave, and the group waits for us to finish.
        if (type === 'REBALANCE_IN_PROGRESS') answeredMs = this.nowMs();
        if (EXPELLED.has(type ?? '') || this.nowMs() - answeredMs > SESSION_MS) lost.abort();
      }
    }
  }

  private markAlive(): void {
    this.aliveMs = this.nowMs();
  }

  private nowMs(): number {
    return this.clock.monotonicMs();
  }
}
