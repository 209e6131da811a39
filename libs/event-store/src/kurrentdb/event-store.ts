/**
 * The event store in KurrentDB (25.1 or newer).
 *
 *   subscribe ──▶ pages of history ──▶ live from where they end ─┬─▶ batches
 *                                                                │
 *   watch ──▶ has the head moved past what came? then a page ────┘   one watch for all subscriptions
 *
 * A page that is not full ends at the head, at least as it was before the page was read. That is how a position gets
 * past other people's events on a quiet server, where a live subscription does not report them.
 *
 *   read ──┬─▶ alone: a subscription to the stream, until it has caught up
 *          └─▶ in a crowd: a read by the client
 *
 * The client's reads go over a connection of its native part, which leaves Nagle's algorithm on: one that is alone waits
 * 40 ms for an acknowledgement, and many at once do not. A subscription never waits, and takes five times the processor.
 *
 * Nothing reconnects by itself: what fails throws, and its caller starts again from what it knows.
 */
import { setMaxListeners } from 'node:events';
import {
  type AllStreamSubscription,
  BACKWARDS,
  END,
  KurrentDBClient,
  START,
  streamNameFilter,
  StreamNotFoundError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client';
import { Bell, type Clock, ServerRefusal, ServerUnavailable, within } from '#runtime';
import { translateError } from './errors.js';
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

/** Events that one read of history fetches, and that a live subscription holds for a slow subscriber. */
const PAGE = 1_000;
/** The least time between two reads of the head. */
const LOOK_MS = 250;
/** The time between two reads of the head while nothing moves and this process does not write. */
const IDLE_LOOK_MS = 1_000;
/** A live subscription scans this many events at a time, and reports its progress after `WINDOWS` times as many. */
const WINDOW = 1_024;
const WINDOWS = 4;
/** So many reads of streams at once keep the connection of the native part busy: then none waits for an acknowledgement. */
const CROWD = 4;
/** How long a stream that is read may be silent. */
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

/** A subscription as the watch sees it. */
interface Follower {
  readonly bell: Bell;
  /** The reason why it has to end. */
  failure?: unknown;
}

export class KurrentDbEventStore extends EventStore {
  private readonly appends = new Set<Promise<bigint>>();
  private readonly followers = new Set<Follower>();
  private watching = false;
  /** The reads of streams that are under way. */
  private reading = 0;
  /** Rung when the head has most likely moved. */
  private readonly hasten = new Bell();
  private readonly closing = new AbortController();

  private constructor(
    private readonly client: Client,
    private readonly clock: Clock,
    /** The head when it was last read. */
    private known: bigint,
  ) {
    super();
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
      const head = await readHead(client).catch(async (error: unknown) => {
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
      return await append;
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
    const crowded = this.reading >= CROWD;
    this.reading++;
    try {
      yield* crowded ? this.readInCrowd(stream, from) : this.readAlone(stream, from);
    } catch (error) {
      throw translateError(error);
    } finally {
      this.reading--;
    }
  }

  override async *subscribe(options: {
    readonly categories: readonly string[];
    readonly after: bigint;
    readonly signal: AbortSignal;
  }): AsyncIterable<Batch> {
    const stop = AbortSignal.any([options.signal, this.closing.signal]);
    const batches = new Batches(options.categories, options.after);
    const follower: Follower = { bell: new Bell() };
    this.followers.add(follower);
    if (!this.watching) void this.watch();
    let live: AllStreamSubscription | undefined;
    let looking = false;
    try {
      while (!stop.aborted) {
        if (follower.failure !== undefined) throw follower.failure;
        if (!live) {
          const ended = await this.readPage(batches, options.categories);
          if (ended && !stop.aborted) live = this.goLive(batches, options.categories, follower);
        } else if (!this.takeLive(live, batches) && this.known > batches.seen && !looking) {
          // Not awaited: it only moves the position, and what comes live meanwhile need not wait for it.
          looking = true;
          void this.readPage(batches, options.categories)
            .catch((error: unknown) => (follower.failure ??= error))
            .finally(() => {
              looking = false;
              follower.bell.ring();
            });
        }
        const batch = batches.take();
        if (stop.aborted) return;
        if (batch) yield batch;
        else if (live) await follower.bell.wait(stop);
      }
    } catch (error) {
      if (!stop.aborted) throw translateError(error);
    } finally {
      this.followers.delete(follower);
      // Not awaited: where there is no server, the client may be looking for one.
      live?.unsubscribe().catch(() => {});
    }
  }

  override async head(): Promise<bigint> {
    try {
      return await readHead(this.client);
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

  private async *readInCrowd(stream: string, from: number): AsyncIterable<RecordedEvent> {
    try {
      for await (const { event } of this.client.readStream(stream, { fromRevision: BigInt(from) })) {
        if (event) yield toRecorded(event);
      }
    } catch (error) {
      if (!(error instanceof StreamNotFoundError)) throw error;
    }
  }

  private async *readAlone(stream: string, from: number): AsyncIterable<RecordedEvent> {
    const { clock } = this;
    const stop = this.closing.signal;
    const bell = new Bell();
    let failure: unknown;
    let caughtUp = false;
    // Its revision is exclusive: it is that of the last event that is known.
    const fromRevision = from === 0 ? START : BigInt(from - 1);
    const events = this.client.subscribeToStream(stream, { fromRevision }, { highWaterMark: PAGE });
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
        for (let next = events.read(); next !== null; next = events.read())
          if (next.event) yield toRecorded(next.event);
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

  /** Reads a page of history after what was seen. Returns whether the log ended there. */
  private async readPage(batches: Batches, categories: readonly string[]): Promise<boolean> {
    const { known } = this;
    const page = this.client.readAll({ ...optionsAfter(batches, categories), maxCount: PAGE });
    let size = 0;
    for await (const { event } of page) {
      size++;
      if (event) batches.see(event);
    }
    if (size === PAGE) return false;
    batches.reach(known);
    return true;
  }

  /** Subscribes from exactly where the pages ended. The stream buffers a page and then stops its source. */
  private goLive(batches: Batches, categories: readonly string[], follower: Follower): AllStreamSubscription {
    const { fromPosition } = optionsAfter(batches, categories);
    const ring = () => follower.bell.ring();
    const fail = (error: unknown) => {
      follower.failure ??= error;
      ring();
    };
    const filter = streamNameFilter({
      prefixes: [...categories],
      maxSearchWindow: WINDOW,
      checkpointInterval: WINDOWS,
      checkpointReached: (_, { commit }) => {
        // This call is not queued behind events: earlier ones may still wait to be taken. There will be another checkpoint.
        if (live.readableLength > 0) return;
        batches.reach(commit);
        ring();
      },
    });
    const live = this.client.subscribeToAll({ fromPosition, filter }, { highWaterMark: PAGE });
    live.on('readable', ring);
    live.on('error', fail);
    live.on('end', () => fail(new ServerUnavailable('KurrentDB ended a subscription.')));
    return live;
  }

  /** Passes what has come to `batches`. Returns whether there was anything. */
  private takeLive(live: AllStreamSubscription, batches: Batches): boolean {
    let size = 0;
    for (let next = live.read(); next !== null; next = live.read(), size++) batches.see(next.event);
    if (size > 0) this.hasten.ring();
    return size > 0;
  }

  /** Reads the head for all subscriptions, often while things move. A head that cannot be read ends them. */
  private async watch(): Promise<void> {
    this.watching = true;
    const stop = this.closing.signal;
    while (this.followers.size > 0 && !stop.aborted) {
      let moved = false;
      try {
        const head = await readHead(this.client);
        moved = head > this.known;
        if (moved) this.known = head;
      } catch (error) {
        for (const follower of this.followers) follower.failure ??= error;
        moved = true;
      }
      if (moved) for (const { bell } of this.followers) bell.ring();
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

async function readHead(client: Client): Promise<bigint> {
  let head = 0n;
  for await (const { event } of client.readAll({ direction: BACKWARDS, fromPosition: END, maxCount: 1 })) {
    if (event) head = positionOf(event);
  }
  return head;
}

/**
 * Where to continue, and with which filter. The filter lets more through than wanted, `stockpile-1` with `stock-1`,
 * because a stream's name may be its category alone; `Batches` leaves the others out.
 */
function optionsAfter({ seen }: Batches, categories: readonly string[]) {
  return {
    fromPosition: seen === 0n ? START : { commit: seen, prepare: seen },
    filter: streamNameFilter({ prefixes: [...categories] }),
  } as const;
}
