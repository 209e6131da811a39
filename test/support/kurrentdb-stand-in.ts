/**
 * KurrentDB in memory, as far as the adapter sees it: a server, and clients that answer as @kurrent/kurrentdb-client
 * 1.3.1 was seen to answer on a real KurrentDB 26.1.0. Its errors are of the client's own classes. What was not seen is
 * refused. The same specs run against a real server where `KURRENTDB_URL` names one.
 */
import { randomUUID } from 'node:crypto';
import { Readable, Transform } from 'node:stream';
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';
import {
  type AllStreamSubscription,
  ANY,
  type AppendStreamRequest,
  BACKWARDS,
  END,
  type EventData,
  type Filter,
  type ReadAllOptions,
  type ReadPosition,
  type RecordedEvent,
  START,
  StreamNotFoundError,
  type StreamSubscription,
  type SubscribeToAllOptions,
  type SubscribeToStreamOptions,
  TimeoutError,
  UnavailableError,
  UnknownError,
  WrongExpectedVersionError,
} from '@kurrent/kurrentdb-client';
import type { Client } from '../../libs/event-store/src/kurrentdb/event-store.js';
import { Bell } from '#runtime';

/** What the server keeps, with data and metadata as the text that it stores. */
export interface Stored {
  readonly id: string;
  readonly streamId: string;
  readonly revision: bigint;
  readonly position: bigint;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
  readonly created: Date;
}

interface Connection {
  readonly live: boolean;
  readonly bell: Bell;
  readonly broken: AbortController;
}

export class KurrentDbStandIn {
  readonly log: Stored[] = [];
  /** How many events were sent to live subscriptions, how many checkpoints they passed, and who asked for the head. */
  sent = 0;
  checkpoints = 0;
  headReads = 0;
  /** How many pages of history were begun. */
  pages = 0;
  /** The reads, other than by subscriptions, and those of them that were alone on their connection when they began. */
  reads = 0;
  loneReads = 0;
  /** How long such a read waits, unless another one joins it: 43 ms with the real client. */
  loneReadMs = 0;
  version = '26.1.0';
  /** What the client's capabilities fail with, as for a wrong password. */
  refusal: Error | undefined;
  /** Writes the next append, and breaks the connection before its answer. */
  losesNextAnswer = false;
  /** Others write between the appends. */
  busy = false;
  up = true;
  /** Holds up the pages of history that are read from now on, after their end is settled, and what streams begin with. */
  gate: Promise<void> | undefined;
  private reading = 0;
  private joined = new AbortController();
  private readonly streams = new Map<string, Stored[]>();
  private readonly connections = new Set<Connection>();
  private position = 1_000n;

  constructor() {
    this.write('$projections-$master', 3);
  }

  /** As the real one throws it where no server listens. */
  readonly connect = (): Client => new StandInClient(this) as unknown as Client;

  /** Other people's events, of one stream, as bytes without metadata. */
  write(stream: string, count: number): bigint {
    const first = this.revisionOf(stream) + 1n;
    for (let i = 0n; i < count; i++) {
      this.store(stream, first + i, { id: randomUUID(), type: '$other', data: '"bytes"', metadata: '' });
    }
    this.ring();
    return this.position;
  }

  stop(): void {
    this.up = false;
    for (const { broken } of this.connections) broken.abort();
  }

  start(): void {
    this.up = true;
  }

  revisionOf(stream: string): bigint {
    return BigInt((this.streams.get(stream)?.length ?? 0) - 1);
  }

  eventsOf(stream: string): readonly Stored[] | undefined {
    return this.streams.get(stream);
  }

  /** All requests or none. Returns the position of the last event. */
  append(requests: readonly AppendStreamRequest[]): bigint {
    let repeated = 0;
    for (const { streamName, expectedState, events } of requests) {
      const current = this.revisionOf(streamName);
      if (expectedState === ANY) continue;
      const expected = typeof expectedState === 'bigint' ? expectedState : -1n;
      if (current === expected) continue;
      const written = this.streams.get(streamName)?.slice(Number(expected) + 1) ?? [];
      if (events.every(({ id }, i) => written[i]?.id === id)) {
        repeated++;
        continue;
      }
      throw new WrongExpectedVersionError(null as never, {
        streamName,
        current: current < 0n ? 'no_stream' : current,
        expected: expectedState,
      });
    }
    if (repeated > 0) {
      if (repeated < requests.length) throw new Error('Nobody has seen what a half repeated append does.');
      return this.position;
    }
    for (const { streamName, events } of requests) {
      const first = this.revisionOf(streamName) + 1n;
      events.forEach((event, i) => {
        const metadata = JSON.stringify(event.metadata ?? '');
        this.store(streamName, first + BigInt(i), {
          id: event.id,
          type: event.type,
          data: JSON.stringify(event.data),
          metadata,
        });
      });
    }
    const end = this.position;
    if (this.busy && this.log.length % 3 === 0) this.write('$stats-0.0.0.0:2113', 1);
    if (this.busy && this.log.length % 4 === 0) this.write('somebody-1', 2);
    this.ring();
    return end;
  }

  /** Runs a read, which goes over the connection of the client's native part. */
  async *overNative<T>(answer: () => AsyncIterable<T>): AsyncIterable<T> {
    this.reads++;
    this.reading++;
    try {
      if (this.reading > 1) {
        this.joined.abort();
      } else {
        this.loneReads++;
        this.joined = new AbortController();
        if (this.loneReadMs > 0) await sleep(this.loneReadMs, undefined, this.joined).catch(() => {});
      }
      yield* answer();
    } finally {
      this.reading--;
    }
  }

  /** How many subscriptions there are that go on live: others end when they have caught up. */
  get live(): number {
    return [...this.connections].filter(({ live }) => live).length;
  }

  /** A connection, until the server stops. */
  connection(live: boolean): Connection {
    const connection = { live, bell: new Bell(), broken: new AbortController() };
    this.connections.add(connection);
    return connection;
  }

  disconnect(connection: Connection): void {
    this.connections.delete(connection);
  }

  /** Positions are places in a file: they grow with what is written. */
  private store(streamId: string, revision: bigint, event: Pick<Stored, 'id' | 'type' | 'data' | 'metadata'>): void {
    this.position += BigInt(150 + event.data.length + event.metadata.length);
    const stored = { ...event, streamId, revision, position: this.position, created: new Date() };
    this.log.push(stored);
    const stream = this.streams.get(streamId);
    if (stream) stream.push(stored);
    else this.streams.set(streamId, [stored]);
  }

  private ring(): void {
    for (const { bell } of this.connections) bell.ring();
  }
}

class StandInClient {
  private hasRead = false;
  /** Its first read found no server: it never reads again. */
  private spoilt = false;
  private subscriptions = new Set<StandInSubscription>();

  constructor(private readonly server: KurrentDbStandIn) {}

  get capabilities() {
    return this.ask();
  }

  async appendToStream(
    streamName: string,
    events: EventData[],
    { streamState }: { streamState: bigint | 'no_stream' },
  ) {
    await this.ask();
    const commit = this.answer(() => this.server.append([{ streamName, expectedState: streamState, events }]));
    return { success: true, nextExpectedRevision: 0n, position: { commit, prepare: commit } };
  }

  async multiStreamAppend(requests: AppendStreamRequest[]) {
    await this.ask();
    for (const { metadata } of requests.flatMap(({ events }) => events)) {
      if (Object.values(metadata as object).some((value) => typeof value !== 'string')) {
        throw new Error('multiStreamAppend requires metadata to be a plain object with string keys and string values.');
      }
    }
    const failure = (code: number, message: string) => Object.assign(new Error(message), { code }) as never;
    if (new Set(requests.map(({ streamName }) => streamName)).size < requests.length) {
      throw new TimeoutError(failure(10, '10 ABORTED: a stream twice'));
    }
    const events = requests.flatMap((request) => request.events);
    if (
      requests.some((request) => request.events.length === 0) ||
      events.some(({ type }) => !/^[\w.:$-]+$/.test(type))
    ) {
      throw new UnknownError(failure(3, '3 INVALID_ARGUMENT: an empty request or a type that is no name'));
    }
    const named = requests.map((request) => ({
      ...request,
      events: request.events.map((event) => {
        const added = { '$schema.name': event.type, '$schema.format': 'Json' };
        return { ...event, metadata: { ...(event.metadata as object), ...added } };
      }),
    }));
    const position = this.answer(() => this.server.append(named));
    return { position, responses: [] };
  }

  readStream(streamName: string, options: { fromRevision: bigint }) {
    return this.server.overNative(() => this.streamOf(streamName, options));
  }

  private async *streamOf(streamName: string, { fromRevision }: { fromRevision: bigint }) {
    await this.reading();
    const events = this.server.eventsOf(streamName);
    if (!events) throw new StreamNotFoundError(null as never, streamName);
    for (const event of events.slice(Number(fromRevision))) yield { event: readOf(event) };
  }

  readAll(options: ReadAllOptions) {
    return this.server.overNative(() => this.logOf(options));
  }

  private async *logOf({ fromPosition = START, direction, maxCount, filter }: ReadAllOptions) {
    await this.reading();
    if (direction === BACKWARDS) {
      if (fromPosition !== END || maxCount !== 1) throw new Error('Only the last event is read backwards here.');
      this.server.headReads++;
      const last = this.server.log.at(-1);
      if (last) yield { event: readOf(last) };
      return;
    }
    this.server.pages++;
    // The position is inclusive, and the end is where it was when the read began.
    const { log } = this.server;
    const from = typeof fromPosition === 'string' ? 0n : fromPosition.commit;
    const end = log.length;
    await this.server.gate;
    let size = 0;
    for (let i = firstAfter(log, from - 1n); i < end && size < Number(maxCount); i++) {
      if (!passes(log[i]!, filter)) continue;
      size++;
      if (size % 100 === 0) await turn();
      yield { event: readOf(log[i]!) };
    }
  }

  /** The position is exclusive. It tells when it has caught up. */
  subscribeToAll({ fromPosition, filter }: SubscribeToAllOptions, options: object): AllStreamSubscription {
    const messages = (bell: Bell, stop: AbortSignal) => this.eventsAfter(fromPosition!, filter, bell, stop);
    if (!filter) this.server.headReads++;
    else if (!filter.checkpointReached) this.server.pages++;
    return this.subscribe(new StandInSubscription(this.server, messages, options, filter?.checkpointReached));
  }

  /** The revision is exclusive. It tells when it has caught up, also where there is no such stream. */
  subscribeToStream(name: string, { fromRevision }: SubscribeToStreamOptions, options: object): StreamSubscription {
    const first = typeof fromRevision === 'bigint' ? Number(fromRevision) + 1 : 0;
    const messages = (bell: Bell, stop: AbortSignal) => this.eventsOf(name, first, bell, stop);
    return this.subscribe(new StandInSubscription(this.server, messages, options));
  }

  private subscribe(subscription: StandInSubscription) {
    this.subscriptions.add(subscription);
    return subscription;
  }

  private async *eventsAfter(
    from: ReadPosition,
    filter: Filter | undefined,
    bell: Bell,
    stop: AbortSignal,
  ): AsyncIterable<Message> {
    const { log } = this.server;
    let next = from === END ? log.length : from === START ? 0 : firstAfter(log, from.commit);
    let scanned = 0;
    if (filter && !filter.checkpointReached) await this.server.gate;
    for (let caughtUp = false; !stop.aborted;) {
      const event = log[next];
      if (!event) {
        if (caughtUp) await bell.wait(stop);
        else yield { caughtUp: true };
        caughtUp = true;
        continue;
      }
      next++;
      scanned++;
      if (passes(event, filter)) {
        if (filter?.checkpointReached) this.server.sent++;
        yield { event: recordedOf(event) };
      }
      if (!filter?.checkpointReached) continue;
      if (scanned % (filter.maxSearchWindow! * filter.checkpointInterval) === 0) yield { checkpoint: event.position };
    }
  }

  private async *eventsOf(name: string, first: number, bell: Bell, stop: AbortSignal): AsyncIterable<Message> {
    await this.server.gate;
    for (let next = first, caughtUp = false; !stop.aborted;) {
      const event = this.server.eventsOf(name)?.[next];
      if (event) {
        next++;
        if (next % 100 === 0) await turn();
        yield { event: recordedOf(event) };
      } else if (caughtUp) {
        await bell.wait(stop);
      } else {
        caughtUp = true;
        yield { caughtUp };
      }
    }
  }

  async dispose(): Promise<void> {
    for (const subscription of this.subscriptions) await subscription.unsubscribe();
  }

  private async ask() {
    await turn();
    if (this.server.refusal) throw this.server.refusal;
    if (!this.server.up) throw noConnection();
    const old = Number.parseFloat(this.server.version) < 25.1;
    return {
      serverVersion: this.server.version,
      supports: ({ path }: { path: string }) => !old && path.endsWith('v2.streams.StreamsService/AppendSession'),
    };
  }

  private answer(append: () => bigint): bigint {
    const position = append();
    if (!this.server.losesNextAnswer) return position;
    this.server.losesNextAnswer = false;
    throw new UnavailableError(Object.assign(new Error('14 UNAVAILABLE: Connection dropped'), { code: 14 }) as never);
  }

  private async reading(): Promise<void> {
    await turn();
    const fails = !this.server.up || this.server.refusal !== undefined;
    if (!this.hasRead && fails) this.spoilt = true;
    if (this.spoilt || fails) throw new UnavailableError(new Error('UnavailableError') as never);
    this.hasRead = true;
  }
}

type Message = { readonly event: RecordedEvent } | { readonly checkpoint: bigint } | { readonly caughtUp: true };

/** As the real one: a transform stream at the end of a pipe, which tells of what is no event as it comes by. */
class StandInSubscription extends Transform {
  private readonly ended = new AbortController();

  constructor(
    private readonly server: KurrentDbStandIn,
    messages: (bell: Bell, stop: AbortSignal) => AsyncIterable<Message>,
    options: object,
    private readonly checkpointReached?: Filter['checkpointReached'],
  ) {
    super({ ...options, objectMode: true });
    const source = Readable.from(this.connected(messages));
    source.on('error', (error) => this.emit('error', error));
    source.pipe(this);
  }

  override async _transform(
    message: Message,
    _encoding: string,
    next: (error: null, message?: object) => void,
  ): Promise<void> {
    if ('event' in message) return next(null, message);
    if ('caughtUp' in message) {
      this.emit('caughtUp', {});
    } else {
      const { checkpoint } = message;
      await this.checkpointReached?.(this, { commit: checkpoint, prepare: checkpoint });
      this.server.checkpoints++;
    }
    next(null);
  }

  async unsubscribe(): Promise<void> {
    await turn();
    this.ended.abort();
  }

  private async *connected(messages: (bell: Bell, stop: AbortSignal) => AsyncIterable<Message>) {
    await turn();
    if (!this.server.up) throw new UnavailableError(noConnection() as never);
    const connection = this.server.connection(this.checkpointReached !== undefined);
    try {
      yield* messages(connection.bell, AbortSignal.any([this.ended.signal, connection.broken.signal]));
    } finally {
      this.server.disconnect(connection);
    }
    if (!this.ended.signal.aborted) {
      throw new UnavailableError(Object.assign(new Error('14 UNAVAILABLE: Connection dropped'), { code: 14 }) as never);
    }
    await new Promise(() => {}); // A cancelled subscription just falls silent.
  }
}

/** What an append fails with where no server listens: no class of its own, and no type. */
function noConnection(): Error {
  const details =
    'No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:2113. Resolution note: ';
  return Object.assign(new Error(`14 UNAVAILABLE: ${details}`), { code: 14, details });
}

/** An event as reads bring it: they cut its time to seconds, and subscriptions do not. */
function readOf(event: Stored): RecordedEvent {
  const recorded = recordedOf(event);
  return { ...recorded, created: new Date(Math.floor(recorded.created.getTime() / 1_000) * 1_000) };
}

function recordedOf({ position, data, metadata, ...event }: Stored): RecordedEvent {
  return {
    ...event,
    isJson: true,
    position: { commit: position, prepare: position },
    data: JSON.parse(data),
    metadata: metadata === '' ? undefined : JSON.parse(metadata),
  };
}

function passes({ streamId }: Stored, filter: Filter | undefined): boolean {
  if (!filter) return true;
  if (!('prefixes' in filter)) throw new Error('Only prefixes were tried.');
  return filter.prefixes.some((prefix) => streamId.startsWith(prefix));
}

/** The index of the first event behind a position. */
export function firstAfter(log: readonly Stored[], position: bigint): number {
  let [low, high] = [0, log.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (log[middle]!.position <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}
