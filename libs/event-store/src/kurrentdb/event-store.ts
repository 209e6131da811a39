/**
 * The event store in KurrentDB (25.1 or newer).
 *
 *   subscribe ──▶ pages of history ──▶ live from where they end ─┬─▶ batches
 *                                                                │
 *   watch ──▶ has the head moved past what came? then news ──────┘   one watch and one live log for all subscriptions
 *
 * What is read and is no full page ends at the head, at least as it was before the read. That is how a position gets past
 * other people's events on a quiet server, where a live subscription does not report them.
 *
 *   read, head,  ─┬─▶ alone: a subscription, until it has caught up
 *   news, if any  └─▶ in a crowd: a read by the client
 *
 * The client's reads go over a connection of its native part, which leaves Nagle's algorithm on: one that is alone waits
 * 40 ms for an acknowledgement, and many at once do not. A subscription never waits, and takes five times the processor.
 * So it is for what is short; history, and the head for the watch, are read by the client.
 *
 * Nothing reconnects by itself: what fails throws, and its caller starts again from what it knows.
 */
import { setMaxListeners } from 'node:events';
import {
  type AllStreamSubscription,
  BACKWARDS,
  END,
  KurrentDBClient,
  type RecordedEvent as StoredEvent,
  type ResolvedEvent,
  START,
  StreamNotFoundError,
  type StreamSubscription,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client';
import { Bell, type Clock, ServerRefusal, ServerUnavailable, shareCalls, within } from '#runtime';
import { translateError } from './errors.js';
import { type From, LiveLog, optionsAfter, placeOf } from './live-log.js';
import { Batches, positionOf, toRecorded, requestsOf } from './record.js';
import { connectionString, malformedUrl } from './url.js';
import {
  assertWritable,
  type Batch,
  EventStore,
  type RecordedEvent,
  RevisionConflict,
  type StreamWrite,
  type Turn,
} from '../port.js';

/** Events that one read of the log fetches, and that a live subscription holds for a slow subscriber. */
const PAGE = 1_000;
/** The least time between two reads of the head. */
const LOOK_MS = 250;
/** The time between two reads of the head while nothing moves and this process does not write. */
const IDLE_LOOK_MS = 1_000;
/** So many short reads at once keep the connection of the native part busy: then none waits for an acknowledgement. */
const CROWD = 4;
/** How long the server may be silent during a short read. */
const SILENCE_MS = 10_000;
/** How long to wait for the reason why a server cannot be read. */
const REASON_MS = 1_000;

/** What a server has to support: the method behind the client's `multiStreamAppend`. */
export const APPEND_TO_SEVERAL = { path: '/kurrentdb.protocol.v2.streams.StreamsService/AppendSession' };

/** The part of KurrentDB's client that is used. Its types hide `capabilities`, which the client itself reads before it writes. */
export type Client = Pick<
  KurrentDBClient,
  'appendToStream' | 'multiStreamAppend' | 'readStream' | 'readAll' | 'subscribeToAll' | 'subscribeToStream' | 'dispose'
> & {
  readonly capabilities: Promise<{
    readonly serverVersion: string;
    supports(method: { readonly path: string }): boolean;
  }>;
};

/** A subscription, as what may end it sees it. */
interface Follower {
  readonly bell: Bell;
  /** The reason why it has to end. */
  failure?: unknown;
}

export class KurrentDbEventStore extends EventStore {
  private readonly appends = new Set<Promise<bigint>>();
  private readonly followers = new Set<Follower>();
  /** Where the subscriptions that have read their history are. */
  private live: LiveLog | undefined;
  private watching = false;
  /** The short reads that are under way. */
  private reading = 0;
  /** The highest position that is known to be in the log. */
  private heard: bigint;
  /** The end of the latest append here. */
  private appended = 0n;
  private readonly look = shareCalls(() => this.readHead());
  /** Rung when the head has most likely moved. */
  private readonly hasten = new Bell();
  private readonly closing = new AbortController();

  private constructor(
    private readonly client: Client,
    private readonly clock: Clock,
    /** The head when it was last looked at. */
    private known: bigint,
  ) {
    super();
    this.heard = known;
    setMaxListeners(0, this.closing.signal); // Every read that is under way listens to it.
  }

  /**
   * Connects, and checks that the server can be read and can append to several streams at once. A client of KurrentDB
   * whose first read finds no server never reads again, so a failure disposes of the client: open again.
   * @throws ServerUnavailable when no server answers
   * @throws ServerRefusal for an unusable URL, user, certificate or version of the server
   */
  static async open(
    options: { readonly url: string; readonly clock: Clock },
    connect: (connectionString: string) => Client = connectTo,
  ): Promise<KurrentDbEventStore> {
    const { url, clock } = options;
    const client = connect(connectionString(url));
    try {
      const head = await askForHead(client).catch(async (error: unknown) => {
        throw await findReason(client, clock, error);
      });
      const capabilities = await client.capabilities;
      if (!capabilities.supports(APPEND_TO_SEVERAL)) {
        throw new ServerRefusal(
          `The server is version ${capabilities.serverVersion}, which cannot append to several streams at once. ` +
            'Upgrade it to KurrentDB 25.1 or newer.',
        );
      }
      return new KurrentDbEventStore(client, clock, head);
    } catch (error) {
      await client.dispose();
      throw translateError(error);
    }
  }

  /**
   * When the server cannot be reached, the append is not repeated here. It may have been written, and KurrentDB would
   * recognise its ids, but its answer after later writes of others is not defined: a false RevisionConflict would promise
   * that nothing was written. The caller reads on and decides again, which is always right.
   */
  override async append(writes: readonly StreamWrite[]): Promise<bigint> {
    if (this.closing.signal.aborted) throw new Error('This event store is closed.');
    assertWritable(writes);
    const append = this.write(writes);
    this.appends.add(append);
    try {
      const position = await append;
      if (position > this.appended) this.appended = position;
      this.hear(position);
      return position;
    } finally {
      this.appends.delete(append);
      this.hasten.ring();
    }
  }

  /** KurrentDB has no locks: who loses to others is left to his pauses. */
  override inTurn<T>(_: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    return work(this);
  }

  override async *read(stream: string, from = 0): AsyncIterable<RecordedEvent> {
    try {
      const events = this.readShort(
        () => this.client.readStream(stream, { fromRevision: BigInt(from) }),
        () => {
          // Its revision is exclusive: it is that of the last event that is known.
          const fromRevision = from === 0 ? START : BigInt(from - 1);
          return this.client.subscribeToStream(stream, { fromRevision }, { highWaterMark: PAGE });
        },
      );
      for await (const event of events) yield toRecorded(event);
    } catch (error) {
      if (!(error instanceof StreamNotFoundError)) throw translateError(error);
    }
  }

  override async *subscribe(options: {
    readonly categories: readonly string[];
    readonly after: bigint;
    readonly signal: AbortSignal;
  }): AsyncIterable<Batch> {
    const stop = AbortSignal.any([options.signal, this.closing.signal]);
    const { categories } = options;
    const follower: Follower = { bell: new Bell() };
    this.followers.add(follower);
    if (!this.watching) void this.watch();
    let position = options.after;
    let history: Batches | undefined;
    try {
      while (!stop.aborted) {
        if (follower.failure !== undefined) throw follower.failure;
        const { live } = this;
        let batch: Batch | undefined;
        if (live?.covers(position, categories)) {
          history = undefined;
          batch = live.readAfter(position, categories);
          if (!batch) await follower.bell.wait(stop);
        } else {
          history ??= new Batches(categories, position);
          const ended = await this.readPage(history, categories);
          if (stop.aborted) return;
          batch = history.take();
          if (ended) this.goLive(batch?.position ?? position, categories);
        }
        if (batch) {
          position = batch.position;
          yield batch;
        }
      }
    } catch (error) {
      if (!stop.aborted) throw translateError(error);
    } finally {
      this.followers.delete(follower);
      if (this.followers.size === 0) this.endLive();
    }
  }

  override async head(atLeast?: bigint): Promise<bigint> {
    if (atLeast !== undefined && atLeast <= this.heard) return this.heard;
    try {
      const head = await this.look();
      this.hear(head);
      return head;
    } catch (error) {
      throw translateError(error);
    }
  }

  override async close(): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.appends);
    await this.client.dispose();
  }

  private async write(writes: readonly StreamWrite[]): Promise<bigint> {
    const requests = requestsOf(writes, this.clock.now());
    try {
      if (requests.length > 1) return (await this.client.multiStreamAppend(requests)).position;
      const { streamName, events, expectedState } = requests[0]!;
      const options = { streamState: expectedState };
      return positionOf(await this.client.appendToStream(streamName, events, options));
    } catch (error) {
      if (error instanceof WrongExpectedVersionError) throw new RevisionConflict([error.streamName]);
      throw translateError(error);
    }
  }

  private hear(position: bigint): void {
    if (position > this.heard) this.heard = position;
  }

  /** Reads the little that there most likely is: alone by a subscription, in a crowd by the client. */
  private async *readShort(
    read: () => AsyncIterable<ResolvedEvent>,
    subscribe: () => StreamSubscription | AllStreamSubscription,
  ): AsyncIterable<StoredEvent> {
    const crowded = this.reading >= CROWD;
    this.reading++;
    try {
      for await (const { event } of crowded ? read() : this.untilCaughtUp(subscribe())) if (event) yield event;
    } finally {
      this.reading--;
    }
  }

  /** What a subscription brings, until it has caught up. */
  private async *untilCaughtUp(events: StreamSubscription | AllStreamSubscription): AsyncIterable<ResolvedEvent> {
    const { clock } = this;
    const stop = this.closing.signal;
    const bell = new Bell();
    let failure: unknown;
    let caughtUp = false;
    const fail = (error: unknown) => {
      failure ??= error;
      bell.ring();
    };
    events.on('readable', () => bell.ring());
    events.on('error', fail);
    events.on('end', () => fail(new ServerUnavailable('KurrentDB ended a read.')));
    events.on('caughtUp', () => {
      caughtUp = true;
      bell.ring();
    });
    try {
      while (true) {
        for (let next = events.read(); next !== null; next = events.read()) yield next;
        if (failure !== undefined) throw failure;
        if (caughtUp) return;
        const sinceMs = clock.monotonicMs();
        await bell.wait(stop, { clock, pollMs: SILENCE_MS });
        if (stop.aborted) throw new ServerUnavailable('The event store was closed during a read.');
        if (clock.monotonicMs() - sinceMs >= SILENCE_MS) {
          throw new ServerUnavailable(`KurrentDB has not answered a read for ${SILENCE_MS / 1_000} s.`);
        }
      }
    } finally {
      events.unsubscribe().catch(() => {});
    }
  }

  /** The head is the last event behind the one that is known. Where there are many of them, the client is asked. */
  private async readHead(): Promise<bigint> {
    let head = this.known;
    let size = 0;
    const events = this.readShort(
      () => this.client.readAll(LAST),
      () => this.client.subscribeToAll({ fromPosition: placeOf(head) }, { highWaterMark: PAGE }),
    );
    for await (const event of events) {
      head = positionOf(event);
      if (++size === PAGE) return askForHead(this.client);
    }
    return head;
  }

  /** Reads a page of history after what was seen. Returns whether the log ended there. */
  private async readPage(batches: Batches, categories: readonly string[]): Promise<boolean> {
    const { known } = this;
    const page = this.client.readAll({ ...optionsAfter(batches.seen, categories), maxCount: PAGE });
    let size = 0;
    for await (const { event } of page) {
      size++;
      if (event) batches.see(event);
    }
    if (size === PAGE) return false;
    batches.reach(known);
    return true;
  }

  /** Reads what may have come after what was seen live, at most a page: that gets past what is not of its categories. */
  private async readNews(batches: Batches, categories: readonly string[]): Promise<void> {
    const { known } = this;
    const options = optionsAfter(batches.seen, categories);
    let size = 0;
    const events = this.readShort(
      () => this.client.readAll({ ...options, maxCount: PAGE }),
      () => this.client.subscribeToAll(options, { highWaterMark: PAGE }),
    );
    for await (const event of events) {
      batches.see(event);
      if (++size === PAGE) return;
    }
    batches.reach(known);
  }

  /**
   * Makes the live log cover these categories after `position`, where their history ends. For what it did not have it begins
   * again, from there: who is further on waits until it is, too.
   */
  private goLive(position: bigint, categories: readonly string[]): void {
    const { live } = this;
    if (live?.covers(position, categories)) return;
    const from = live && live.end < position ? live.end : position;
    this.endLive();
    const source = {
      subscribe: (options: From) => this.client.subscribeToAll(options, { highWaterMark: PAGE }),
      readNews: (batches: Batches, all: readonly string[]) => this.readNews(batches, all),
      known: () => this.known,
      heard: (heard: bigint) => {
        this.hear(heard);
        this.hasten.ring();
      },
      moved: () => this.followers.forEach(({ bell }) => bell.ring()),
      failed: (error: unknown) => this.fail(error),
    };
    this.live = new LiveLog(source, new Set([...(live?.categories ?? []), ...categories]), from);
  }

  private endLive(): void {
    this.live?.stop();
    this.live = undefined;
  }

  /** Ends all subscriptions. */
  private fail(error: unknown): void {
    this.endLive();
    for (const follower of this.followers) {
      follower.failure ??= error;
      follower.bell.ring();
    }
  }

  /**
   * Looks at the head for all subscriptions, often while things move. It need not be read behind an append that was made
   * here; where one of others ends is not known from the part of it that has come. A head that cannot be read ends them.
   */
  private async watch(): Promise<void> {
    this.watching = true;
    const stop = this.closing.signal;
    while (this.followers.size > 0 && !stop.aborted) {
      let moved = false;
      try {
        const head = this.appended > this.known ? this.appended : await askForHead(this.client);
        this.hear(head);
        moved = head > this.known;
        if (moved) this.known = head;
      } catch (error) {
        this.fail(error);
        moved = true;
      }
      if (moved) this.live?.take();
      await this.clock.sleep(LOOK_MS, stop);
      if (!moved) await this.hasten.wait(stop, { clock: this.clock, pollMs: IDLE_LOOK_MS - LOOK_MS });
    }
    this.watching = false;
  }
}

function connectTo(connectionString: string): Client {
  try {
    return KurrentDBClient.connectionString(connectionString) as unknown as Client;
  } catch (error) {
    const { message } = error as Error;
    if (/^(Failed to load|userCertFile must)/.test(message)) {
      throw new ServerRefusal(`${message.replace(/\.$/, '')}. Correct tlsCAFile, userCertFile or userKeyFile.`);
    }
    throw malformedUrl();
  }
}

/** The client reports of a read only that it failed. Its other half, which asks for capabilities, knows why. */
async function findReason(client: Client, clock: Clock, error: unknown): Promise<unknown> {
  const why = () =>
    client.capabilities.then(
      () => error,
      (reason: unknown) => reason,
    );
  return within(clock, REASON_MS, why, () => error);
}

/** Of the whole log, the last event. */
const LAST = { direction: BACKWARDS, fromPosition: END, maxCount: 1 } as const;

async function askForHead(client: Client): Promise<bigint> {
  let head = 0n;
  for await (const { event } of client.readAll(LAST)) if (event) head = positionOf(event);
  return head;
}
