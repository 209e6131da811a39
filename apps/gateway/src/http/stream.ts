/**
 * `GET /stream`: what happens in all services, told to everybody who listens, as server-sent events (api.ts has their names).
 *
 *   services ─▶ feeds.ts: one connection each ─▶ ring.ts: batches ─▶ each reader, at the pace at which they read
 *
 * Of a reader only the number of the batch is kept that they are sent next, and a batch is one piece of memory for all. Who
 * reads so slowly that it is forgotten meanwhile is cut off. They come back as anybody does whose connection has ended, with
 * the id that they have read last, and go on from there, or are told to read anew (`resync`). Staff are told everything, a
 * customer what concerns their own orders. The services are followed from the first reader until a minute after the last.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { LRUCache } from 'lru-cache';
import { customerIdOf, type EventStream, EventStreams, eventText, extendDeadline, Problem, tryAgain } from '#nest';
import { abortQuietly, type Runtime } from '#runtime';
import type { Caller } from '#service';
import type { CustomerFact } from '../api.js';
import { areWellFormed, formatPositions, parsePositions, type Positions } from '../positions.js';
import { Feeds, type FeedsOptions, idOf } from './feeds.js';
import { readInside } from './inside.js';
import { type Batch, isKnown, type Part, Ring } from './ring.js';

const MAX_READERS = 2_000;
/** One person's tabs. */
const MAX_OF_ONE = 20;
/** How long the services may take to be followed, and then to reach where a reader has been at another gateway. */
const WAIT_MS = 1_000;
const LOOK_EVERY_MS = 20;
const LINGER_MS = 60_000;
/** How many orders of one customer are told about, the latest. */
const MAX_ORDERS = 1_000;

export interface StreamOptions extends Pick<Runtime, 'clock' | 'random' | 'log'> {
  readonly instances: FeedsOptions['instances'];
  /** Gets a token of the gateway's own; undefined when it has no way to. */
  readonly token: FeedsOptions['token'] | undefined;
  readonly stopping: AbortSignal;
}

export class Stream {
  private following: Following | undefined;
  private readonly streams: EventStreams;

  constructor(private readonly options: StreamOptions) {
    this.streams = new EventStreams({ ...options, max: MAX_READERS, heartbeat: eventText('beat', {}) });
  }

  serve(http: FastifyInstance): void {
    http.get('/stream', (request, reply) => this.open(request, reply));
  }

  /** How many read it now. */
  get readers(): number {
    return this.following?.readers.size ?? 0;
  }

  /** Sends heartbeats until `signal` aborts. */
  run(signal: AbortSignal): Promise<void> {
    return this.streams.run(signal);
  }

  async close(): Promise<void> {
    await this.following?.end();
  }

  private async open(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const after = positionsIn(request);
    const caller = request.caller!;
    extendDeadline(request, 3 * WAIT_MS);
    const following = this.follow();
    following.refuseMore(caller);
    await following.wait(() => following.feeds.isKnown);
    const customer = caller.whose === 'own' ? new Customer(customerIdOf(caller.subject)) : undefined;
    await customer?.learnOrders(request, following.ring.reached);
    if (after) await following.wait(() => following.ring.hasReached(after));
    if (following.isOver) throw tryAgain('unavailable', 'What happens is not followed at present. Try again.');
    following.open(after, caller, customer, (id) => this.streams.open(request, reply, id));
  }

  private follow(): Following {
    const { token } = this.options;
    if (!token) {
      const detail = 'What happens cannot be followed. Set GATEWAY_CLIENT_ID and GATEWAY_CLIENT_SECRET of the gateway.';
      throw new Problem(503, 'not-configured', detail);
    }
    if (this.following === undefined || this.following.isOver)
      this.following = new Following({ ...this.options, token });
    return this.following;
  }
}

/** Following the services, as long as somebody listens. */
class Following {
  readonly ring: Ring;
  readonly feeds: Feeds;
  private readonly stop = new AbortController();
  readonly readers = new Set<Reader>();
  private readonly running: Promise<void>;
  /** How often somebody has come: who waits for the last to be gone sees by it whether somebody has been there since. */
  private visits = 0;

  constructor(private readonly options: FeedsOptions) {
    this.ring = new Ring(options.clock, () => this.readers.forEach((reader) => reader.sendMore()));
    this.feeds = new Feeds(this.ring, () => this.readers.size > 0, options);
    this.running = this.feeds.run(this.stop.signal);
    void this.linger();
  }

  get isOver(): boolean {
    return this.stop.signal.aborted;
  }

  async end(): Promise<void> {
    abortQuietly(this.stop);
    for (const { stream } of this.readers) stream.end();
    await this.running;
  }

  /** Waits until that is so, for a second at most. */
  async wait(isSo: () => boolean): Promise<void> {
    const { clock } = this.options;
    const untilMs = clock.monotonicMs() + WAIT_MS;
    while (!isSo() && !this.isOver && clock.monotonicMs() < untilMs) await clock.sleep(LOOK_EVERY_MS, this.stop.signal);
  }

  refuseMore({ subject }: Caller): void {
    let open = 0;
    for (const reader of this.readers) if (reader.subject === subject) open++;
    if (open >= MAX_OF_ONE) throw tryAgain('busy', 'You read what happens too often at once. Close some of that.');
  }

  /** Begins to tell somebody what happens after `after`, if that is known here, and otherwise now. */
  open(
    after: Positions | undefined,
    caller: Caller,
    customer: Customer | undefined,
    openStream: (id: string) => EventStream,
  ): void {
    const { ring } = this;
    ring.flush();
    const next = after && ring.hasReached(after) ? ring.next(after) : undefined;
    const goesOn = after !== undefined && next !== undefined;
    const stream = openStream(idOf(goesOn ? after : ring.reached));
    if (stream.ended.aborted) return;
    const reader = new Reader(stream, ring, next ?? ring.end, caller.subject, goesOn ? after : undefined, customer);
    this.readers.add(reader);
    this.visits++;
    stream.ended.addEventListener('abort', () => {
      this.readers.delete(reader);
      if (this.readers.size === 0) void this.linger();
    });
    stream.send(this.feeds.awayText);
    if (after && !goesOn) stream.send(eventText('resync', {}));
    reader.sendMore();
  }

  /** Ends it when nobody comes for a while. */
  private async linger(): Promise<void> {
    const { visits } = this;
    await this.options.clock.sleep(LINGER_MS, this.stop.signal);
    if (this.visits === visits && this.readers.size === 0) abortQuietly(this.stop);
  }
}

class Reader {
  /** The first batch of which they know nothing. */
  private readonly end: number;

  constructor(
    readonly stream: EventStream,
    private readonly ring: Ring,
    private next: number,
    readonly subject: string,
    private readonly after: Positions | undefined,
    private readonly customer: Customer | undefined,
  ) {
    this.end = ring.end;
    for (let number = ring.first; number < this.end; number++) customer?.learn(ring.batch(number));
    stream.onDrained(() => this.sendMore());
  }

  /** Sends what there is, as much as the connection takes. */
  sendMore(): void {
    if (this.next < this.ring.first) return this.stream.cut();
    while (this.next < this.ring.end && !this.stream.isFull) {
      const isNew = this.next >= this.end;
      const chunk = this.chunkOf(this.ring.batch(this.next++), isNew);
      if (chunk.length > 0) this.stream.send(chunk);
    }
  }

  private chunkOf(batch: Batch, isNew: boolean): string | Buffer {
    const { after, customer } = this;
    const isLacking = ({ fact }: Part) => isNew || !after || !fact || !isKnown(fact, after);
    if (customer) return customer.textOf(batch, isLacking);
    if (batch.parts.every(isLacking)) return batch.bytes;
    return batch.parts
      .filter(isLacking)
      .map(({ text }) => text)
      .join('');
  }
}

/** Which facts are a customer's to see: those of their orders' own streams, as much as their orders' history shows. */
class Customer {
  private readonly orders = new LRUCache<string, true>({ max: MAX_ORDERS });

  constructor(private readonly id: string) {}

  /** Learns the orders that were placed before the services were followed. @throws Problem when they cannot be read */
  async learnOrders(request: FastifyRequest, reached: Positions): Promise<void> {
    const at = reached.get('order');
    const headers = at === undefined ? {} : { 'larder-position': formatPositions(new Map([['order', at]])) };
    const { statusCode, payload } = await readInside(request, '/orders?limit=100', headers);
    if (statusCode !== 200) throw tryAgain('unavailable', 'Your orders cannot be read now. Try again.');
    const { items } = JSON.parse(payload) as { items: readonly { orderId: string }[] };
    for (const { orderId } of items) this.orders.set(orderId, true);
  }

  learn({ parts }: Batch): void {
    for (const { fact } of parts) {
      if (fact?.orderId !== undefined && fact.customerId === this.id) this.orders.set(fact.orderId, true);
    }
  }

  textOf(batch: Batch, isLacking: (part: Part) => boolean): string {
    this.learn(batch);
    return batch.parts
      .filter(isLacking)
      .map(({ fact, isForAll, text }) => {
        if (isForAll) return text;
        return fact?.orderId !== undefined && this.orders.has(fact.orderId) ? forCustomer(text) : '';
      })
      .join('');
  }
}

/** Without where it stands in the store, and what led to it. */
function forCustomer(text: string): string {
  const [, data = '', id = ''] = text.split('\n').map((line) => line.slice(line.indexOf(': ') + 2));
  const { service, stream, revision, type, data: content, recordedAt } = JSON.parse(data) as CustomerFact;
  const fact = { id: `${stream}/${revision}`, service, stream, revision, type, data: content, recordedAt };
  return eventText('fact', fact, id);
}

/** What was read last, by EventSource's header, or by `?after=` where a page has to begin anew. */
function positionsIn({ headers, query }: FastifyRequest): Positions | undefined {
  const given = headers['last-event-id'] ?? (query as { after?: unknown }).after;
  if (given === undefined) return undefined;
  const text = String(given);
  const positions = text.length <= 500 && areWellFormed(text) ? parsePositions(text) : new Map();
  if (positions.size > 0) return positions;
  const detail =
    'Last-Event-ID, or `after`, is not an id of this stream. Send it as an event gave it, or leave it out.';
  throw new Problem(400, 'invalid-position', detail);
}
