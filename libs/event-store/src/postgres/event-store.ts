/**
 * The event store in Postgres.
 *
 *   append ─┐                                                       ┌─▶ each caller: its position, or its conflict
 *   append ─┼─▶ waiting ──▶ one round trip at a time, while the ────┤
 *   append ─┘               next appends gather                     └─▶ subscribers: bells here, NOTIFY elsewhere
 *
 * A commit waits for the disk, and one commit can carry many appends (group commit): alone, an append goes at once; under
 * load, it shares its commit with the others that came while the previous one was under way. Reads of streams share their
 * round trips in the same way.
 */
import pg from 'pg';
import { Batcher, Bell, type Clock, ServerRefusal } from '#runtime';
import { assertHoldsEveryText, BY_INDEX, postgresPool, PostgresSession, READ_ONLY } from '#runtime/postgres';
import {
  assertWritable,
  type Batch,
  type EventMetadata,
  EventStore,
  type RecordedEvent,
  RevisionConflict,
  type StreamWrite,
  type Turn,
} from '../port.js';
import { LOCK, SCHEMA, SCHEMA_VERSION } from './schema.js';
import { Tail } from '../tail.js';

/** Events that one read fetches; a little more where it would split an append. */
const PAGE = 1_000;
/** Streams of which one round trip reads a page. */
const MAX_READS = 32;
/** Events that one round trip writes; a single append with more of them goes alone. */
const MAX_BATCH = 500;
/** Notifications only make a subscriber faster: it also polls this often. */
const POLL_MS = 1_000;
/** At most one notification in this time: each costs the server a transaction, and one covers all earlier appends. */
const NOTIFY_EVERY_MS = 10;
const CHANNEL = 'event_store';
/** The name of the connection on which a process listens, by which the others find it. */
const LISTENING = 'larder-event-store-session';
const OTHERS_LISTEN = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
  AND application_name = '${LISTENING}' AND pid <> pg_backend_pid()) AS listen`;
/** The session that has its turn holds the lock that every append takes; hung, it is ended, and the others go on. */
const TAKE_TURN = `SET idle_session_timeout = '2s'; SELECT pg_advisory_lock(${LOCK})`;
/** Goes with the append, which keeps the lock until it is committed: so the next writer waits for no further round trip. */
const END_TURN = `pg_advisory_unlock(${LOCK}), set_config('idle_session_timeout', '0', false)`;

/** An append that waits for its turn, encoded already: later changes by its caller are not written. */
interface Waiting {
  readonly events: readonly EncodedEvent[];
  readonly resolve: (position: bigint) => void;
  readonly reject: (error: unknown) => void;
}

/** A page of a stream, from a revision on, that somebody waits for. */
interface Reading {
  readonly stream: string;
  readonly next: number;
  readonly resolve: (page: readonly LongerRow[]) => void;
  readonly reject: (error: unknown) => void;
}

interface EncodedEvent {
  /** Whether it is the first of its write. */
  readonly opening: boolean;
  readonly stream: string;
  readonly revision: number;
  readonly id: string;
  readonly type: string;
  readonly data: string;
  readonly metadata: string;
}

const COLUMNS = `position, id, stream, revision, type, data, metadata,
  to_char(recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

type Row = [
  position: string,
  id: string,
  stream: string,
  revision: number,
  type: string,
  data: object,
  metadata: EventMetadata,
  recordedAt: string,
];

/** With what a query says of a row besides its event. */
type LongerRow = readonly [...Row, ...unknown[]];

const read = (stream: string, from: number | string) =>
  `SELECT ${COLUMNS} FROM event_store.log WHERE stream = ${stream} AND revision >= ${from} ORDER BY revision LIMIT ${PAGE}`;

/**
 * A page of each of several streams, with its number in the order given, from 1. They come as JSON, whose length the
 * planner does not guess: with an array it would plan each time anew, which takes longer than to read.
 */
const READ_PAGES = `
  SELECT page.*, n::int
  FROM ROWS FROM (json_to_recordset($1) AS (stream text, next int)) WITH ORDINALITY AS wanted (stream, next, n)
  CROSS JOIN LATERAL (${read('wanted.stream', 'wanted.next')}) AS page
  ORDER BY n, revision`;

/**
 * All events of some categories, or of all (null), up to the end of the append that is a page further on, or else to the
 * end of the log. The last event is included whatever its category: it shows how far the page reaches.
 */
const READ_ALL = `
  SELECT ${COLUMNS}, $2::text[] IS NULL OR category = ANY ($2)
  FROM (
    SELECT *, lead(position) OVER (ORDER BY position) AS next
    FROM event_store.log
    WHERE position > $1 AND position <= coalesce(
      (SELECT append_end FROM event_store.log WHERE position >= $1::bigint + ${PAGE} ORDER BY position LIMIT 1),
      ${2n ** 63n - 1n})
  ) AS page
  WHERE $2::text[] IS NULL OR category = ANY ($2) OR next IS NULL
  ORDER BY position`;

export class PostgresEventStore extends EventStore {
  private waiting: Waiting[] = [];
  private writing: Promise<void> | undefined;
  private readonly readings = new Batcher<Reading>(MAX_READS, (batch) => this.readPages(batch), nextTurn);
  /** Turns are taken one after the other: those that wait for theirs hold no connection. */
  private lastTurn: Promise<unknown> = Promise.resolve();
  /** The highest position for which the bells here were rung. */
  private announced = 0n;
  /** The highest position written here that other instances were not notified of yet. */
  private unpublished: bigint | undefined;
  private notifying = false;
  /** Whether other processes listen, and until when that need not be asked again. */
  private othersListen = true;
  private othersKnownUntilMs = -Infinity;
  private readonly bells = new Set<Bell>();
  private readonly tail = new Tail();
  /** Whether the log may have grown without notice: a notification may get lost. */
  private unsure = true;
  private extending: Promise<void> | undefined;
  private polling = false;
  private readonly closing = new AbortController();

  private constructor(
    private readonly pool: pg.Pool,
    private readonly session: PostgresSession,
    private readonly clock: Clock,
  ) {
    super();
    session.listen(CHANNEL, (position) => this.onNotification(position));
    session.notify(CHANNEL); // Now others know that somebody listens.
  }

  /**
   * Connects, and installs the schema `event_store` where it is missing or older than this code.
   * @throws ServerRefusal when it is so and the store is to be read only
   */
  static async open(options: {
    readonly url: string;
    readonly clock: Clock;
    readonly maxConnections?: number;
    /** Every transaction is read-only: what is asked of the store cannot change it. */
    readonly readOnly?: boolean;
  }): Promise<PostgresEventStore> {
    const pool = postgresPool(options.url, {
      max: options.maxConnections,
      name: 'larder-event-store',
      settings: { ...BY_INDEX, ...(options.readOnly && READ_ONLY) },
    });
    try {
      await (options.readOnly ? assertInstalled(pool) : install(pool));
    } catch (error) {
      await pool.end();
      throw error;
    }
    return new PostgresEventStore(pool, new PostgresSession(options.url, options.clock, LISTENING), options.clock);
  }

  override append(writes: readonly StreamWrite[]): Promise<bigint> {
    return new Promise((resolve, reject) => {
      if (this.closing.signal.aborted) throw new Error('This event store is closed.');
      assertWritable(writes);
      this.waiting.push({ events: encode(writes), resolve, reject });
      this.writing ??= this.writeAll();
    });
  }

  override inTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    const turn = this.lastTurn.then(() => this.takeTurn(streams, work));
    this.lastTurn = turn.catch(() => {});
    return turn;
  }

  override read(stream: string, from = 0): AsyncIterable<RecordedEvent> {
    return this.readRest(stream, from);
  }

  override async *subscribe(options: {
    readonly categories: readonly string[];
    readonly after: bigint;
    readonly signal: AbortSignal;
  }): AsyncIterable<Batch> {
    const stop = AbortSignal.any([options.signal, this.closing.signal]);
    const bell = new Bell();
    this.bells.add(bell);
    if (!this.polling) void this.poll();
    try {
      let position = options.after;
      while (!stop.aborted) {
        const batch = await this.readNext(position, options.categories).catch((error: unknown) => {
          if (!stop.aborted) throw error;
        });
        if (batch && !stop.aborted) {
          position = batch.position;
          yield batch;
        } else {
          await bell.wait(stop);
        }
      }
    } finally {
      this.bells.delete(bell);
    }
  }

  override async head(): Promise<bigint> {
    const { rows } = await this.pool.query<{ head: string | null }>(
      'SELECT max(position) AS head FROM event_store.events',
    );
    return BigInt(rows[0]?.head ?? 0);
  }

  override async close(): Promise<void> {
    if (this.closing.signal.aborted) return;
    this.closing.abort();
    await this.writing;
    await this.lastTurn;
    await this.session.close();
    await this.pool.end();
  }

  private async takeTurn<T>(streams: ReadonlyMap<string, number>, work: (turn: Turn) => Promise<T>): Promise<T> {
    const client = await this.pool.connect();
    let over = false;
    const append = (writes: readonly StreamWrite[]) =>
      new Promise<bigint>((resolve, reject) => {
        assertWritable(writes);
        if (over) throw new Error('This turn is over: it has one append.');
        over = true;
        void this.write([{ events: encode(writes), resolve, reject }], client);
      });
    try {
      // One round trip. Each statement sees what was committed when it began: the reads see what the lock was waited for.
      const reads = Array.from(streams, ([stream, from]) => read(pg.escapeLiteral(stream), from));
      const text = [TAKE_TURN, ...reads].join('; ');
      const answers = (await client.query({ text, rowMode: 'array' })) as unknown as pg.QueryResult<Row>[];
      const found = new Map(Array.from(streams.keys(), (stream, i) => [stream, answers[i + 2]!.rows] as const));
      const result = await work({ append, read: (stream, from) => this.readRest(stream, from, found.get(stream)) });
      if (!over) await client.query(`SELECT ${END_TURN}`);
      client.release();
      return result;
    } catch (error) {
      client.release(true); // A connection that is closed holds no lock.
      throw error;
    }
  }

  /** Reads a stream whose first page may be there already. */
  private async *readRest(stream: string, from = 0, firstPage?: readonly LongerRow[]): AsyncIterable<RecordedEvent> {
    let page = firstPage;
    for (let next = from; ; next += PAGE) {
      page ??= await new Promise<readonly LongerRow[]>((resolve, reject) => {
        this.readings.add({ stream, next, resolve, reject });
      });
      for (const row of page) yield decodeRow(row);
      if (page.length < PAGE) return;
      page = undefined;
    }
  }

  private async readPages(batch: readonly Reading[]): Promise<void> {
    try {
      const wanted = JSON.stringify(batch.map(({ stream, next }) => ({ stream, next })));
      const query = { name: 'read', text: READ_PAGES, values: [wanted], rowMode: 'array' };
      const { rows } = await this.pool.query<[...Row, n: number]>(query);
      const pages = batch.map((): LongerRow[] => []);
      for (const row of rows) pages[row[8] - 1]!.push(row);
      batch.forEach(({ resolve }, i) => resolve(pages[i]!));
    } catch (error) {
      if (batch.length === 1 || !isBadInput(error)) throw error;
      // One of them cannot be asked for and made all fail. One by one, only that one fails.
      for (const reading of batch) await this.readPages([reading]).catch(reading.reject);
    }
  }

  private async writeAll(): Promise<void> {
    while (this.waiting.length > 0) {
      await nextTurn();
      await this.write(this.takeBatch());
    }
    this.writing = undefined;
  }

  /**
   * Takes what to write next, in the order it came. Each stream is in a batch once, so that the verdicts of a batch do not
   * depend on each other: an append to a stream that an earlier one names has to wait for that one.
   */
  private takeBatch(): Waiting[] {
    const batch: Waiting[] = [];
    const later: Waiting[] = [];
    const named = new Set<string>();
    let size = 0;
    for (const append of this.waiting) {
      const fits = size === 0 || size + append.events.length <= MAX_BATCH;
      if (fits && append.events.every(({ opening, stream }) => !opening || !named.has(stream))) {
        batch.push(append);
        size += append.events.length;
      } else {
        later.push(append);
      }
      for (const { stream } of append.events) named.add(stream);
    }
    this.waiting = later;
    return batch;
  }

  /** With `turn`, on the connection that has its turn, which ends it. */
  private async write(batch: readonly Waiting[], turn?: pg.PoolClient): Promise<void> {
    try {
      const position =
        eventCount(batch) === 1 ? await this.writeOne(batch[0]!, turn) : await this.writeMany(batch, turn);
      if (position === undefined) return;
      this.announce(position);
      this.unpublished = position;
      if (!this.notifying) void this.notifyOthers();
    } catch (error) {
      if (batch.length > 1 && isBadInput(error)) {
        // One of them cannot be written and made all fail. One by one, only that one fails.
        for (const append of batch) await this.write([append]);
      } else {
        for (const { reject } of batch) reject(error);
      }
    }
  }

  /** Writes an append of one event. Returns its position; undefined when it was refused. */
  private async writeOne({ events, resolve, reject }: Waiting, turn?: pg.PoolClient): Promise<bigint | undefined> {
    const { stream, revision, id, type, data, metadata } = events[0]!;
    const recordedAt = this.clock.now().toISOString();
    const { rows } = await (turn ?? this.pool).query<[string | null]>({
      name: turn ? 'append_one_in_turn' : 'append_one',
      text: `SELECT event_store.append_one($1, $2, $3, $4, $5, $6, $7)${turn ? `, ${END_TURN}` : ''}`,
      values: [recordedAt, stream, revision, id, type, data, metadata],
      rowMode: 'array',
    });
    if (!rows[0]?.[0]) {
      reject(new RevisionConflict([stream], true));
      return undefined;
    }
    const position = BigInt(rows[0][0]);
    this.tail.add(position - 1n, [decode(events[0]!, position, recordedAt)], position);
    resolve(position);
    return position;
  }

  /** Writes a batch and gives each append its verdict. Returns the highest position; undefined when all were refused. */
  private async writeMany(batch: readonly Waiting[], turn?: pg.PoolClient): Promise<bigint | undefined> {
    const events = batch.flatMap(({ events }) => events);
    const openings = events.flatMap(({ opening }, i) => (opening ? [i + 1] : []));
    let last = 0;
    const ends = batch.flatMap((append) => {
      last += append.events.length;
      return append.events.map(() => last);
    });
    const recordedAt = this.clock.now().toISOString();
    const { rows } = await (turn ?? this.pool).query<{ head: string; moved: number[] | null }>({
      name: turn ? 'append_in_turn' : 'append',
      // JSON has no line breaks of its own; sent as lines, it avoids the escapes of an array's text on both sides.
      text: `SELECT head, moved${turn ? `, ${END_TURN}` : ''} FROM event_store.append($1, $2, $3, $4, $5, $6, $7,
               string_to_array($8, E'\\n')::json[], string_to_array($9, E'\\n')::json[])`,
      values: [
        recordedAt,
        openings,
        ends,
        events.map(({ stream }) => stream),
        events.map(({ revision }) => revision),
        events.map(({ id }) => id),
        events.map(({ type }) => type),
        events.map(({ data }) => data).join('\n'),
        events.map(({ metadata }) => metadata).join('\n'),
      ],
    });
    const { moved } = rows[0]!;
    const head = BigInt(rows[0]!.head);
    const accepted: RecordedEvent[] = [];
    let highest: bigint | undefined;
    let end = 0;
    for (const append of batch) {
      const begin = end;
      end += append.events.length;
      const elsewhere = moved?.filter((n) => begin < n && n <= end) ?? [];
      if (elsewhere.length > 0) {
        const streams = elsewhere.map((n) => events[n - 1]!.stream);
        append.reject(new RevisionConflict(streams, true));
      } else {
        highest = head + BigInt(end);
        accepted.push(...append.events.map((event, i) => decode(event, head + BigInt(begin + i + 1), recordedAt)));
        append.resolve(highest);
      }
    }
    if (highest !== undefined) this.tail.add(head, accepted, highest);
    return highest;
  }

  /** The next events after a position; undefined when there are none yet. Subscribers that are up to date share one read. */
  private async readNext(after: bigint, categories: readonly string[]): Promise<Batch | undefined> {
    while (true) {
      if (!this.tail.covers(after)) {
        const page = await this.readPage(after, categories);
        if (!page) this.tail.begin(after);
        return page;
      }
      const batch = this.tail.readAfter(after, categories);
      if (batch) return batch;
      const upToDate = this.tail.end >= this.announced && !this.unsure;
      if (upToDate || this.closing.signal.aborted) return undefined;
      await (this.extending ??= this.extendTail().finally(() => (this.extending = undefined)));
    }
  }

  /** Fetches what the tail lacks, and wakes the subscribers that wait and did not ask for it. */
  private async extendTail(): Promise<void> {
    const { end } = this.tail;
    this.unsure = false;
    try {
      const page = await this.readPage(end, null);
      if (!page) return;
      this.tail.add(end, page.events, page.position);
      this.announce(page.position);
    } catch (error) {
      this.unsure = true;
      throw error;
    }
  }

  private async readPage(after: bigint, categories: readonly string[] | null): Promise<Batch | undefined> {
    const { rows } = await this.pool.query<[...Row, wanted: boolean]>({
      name: 'read_all',
      text: READ_ALL,
      values: [after, categories],
      rowMode: 'array',
    });
    const last = rows.at(-1);
    if (last === undefined) return undefined;
    const [position] = last;
    const wanted = last[8] ? rows : rows.slice(0, -1);
    return { events: wanted.map(decodeRow), position: BigInt(position) };
  }

  /** Wakes all subscribers at once, so that they share one read of the log. */
  private async poll(): Promise<void> {
    this.polling = true;
    while (this.bells.size > 0 && !this.closing.signal.aborted) {
      await this.clock.sleep(POLL_MS, this.closing.signal);
      this.recheck();
    }
    this.polling = false;
  }

  private async notifyOthers(): Promise<void> {
    this.notifying = true;
    while (this.unpublished !== undefined && !this.closing.signal.aborted) {
      const listen = await this.doOthersListen();
      if (listen) this.session.notify(CHANNEL, `${this.unpublished}`);
      this.unpublished = undefined;
      await this.clock.sleep(NOTIFY_EVERY_MS, this.closing.signal);
    }
    this.notifying = false;
  }

  /** Asked at most once a second, and at once when another process has begun to: most often there is none. */
  private async doOthersListen(): Promise<boolean> {
    const nowMs = this.clock.monotonicMs();
    if (nowMs >= this.othersKnownUntilMs) {
      this.othersKnownUntilMs = nowMs + POLL_MS;
      const [found] = await this.session.query<{ listen: boolean }>(OTHERS_LISTEN).catch(() => []);
      this.othersListen = found?.listen ?? true;
    }
    return this.othersListen;
  }

  private announce(position: bigint): void {
    if (position <= this.announced) return;
    this.announced = position;
    this.ring();
  }

  /**
   * This store's own notifications are nothing new to it. An empty one means that another process has begun to listen, or
   * that this one may have missed some.
   */
  private onNotification(position: string): void {
    if (position !== '') return this.announce(BigInt(position));
    this.othersKnownUntilMs = -Infinity;
    this.recheck();
  }

  private recheck(): void {
    this.unsure = true;
    this.ring();
  }

  private ring(): void {
    for (const bell of this.bells) bell.ring();
  }
}

/** How long a change of the schema may take, which may have to build an index over all events. */
const INSTALL_MS = 3_600_000;

async function install(pool: pg.Pool): Promise<void> {
  const version = await versionIn(pool);
  if (version === undefined) await assertHoldsEveryText(pool);
  // Several statements in one simple query are one transaction.
  if ((version ?? 0) >= SCHEMA_VERSION) return;
  try {
    const text = `SET LOCAL statement_timeout = 0; ${SCHEMA}`;
    await pool.query({ text, query_timeout: INSTALL_MS } as pg.QueryConfig);
  } catch (error) {
    if (!(error instanceof pg.DatabaseError) || error.code !== DEPENDED_UPON) throw error;
    const { message, detail = '' } = error;
    throw new ServerRefusal(`${message}: ${detail.replaceAll('\n', ', ')}. Drop that, start, and create it again.`);
  }
}

/** dependent_objects_still_exist: of Postgres. */
const DEPENDED_UPON = '2BP01';

/** @throws ServerRefusal where no service of this version, or of a later one, has opened the store yet */
export async function assertInstalled(pool: pg.Pool): Promise<void> {
  const version = await versionIn(pool);
  if (version === undefined) {
    throw new ServerRefusal(
      'No service has ever opened an event store in this database. Start the service, or correct EVENT_STORE_URL.',
    );
  }
  if (version < SCHEMA_VERSION) {
    throw new ServerRefusal('No service of this version has opened this event store yet. Start the service first.');
  }
}

/** The version of the schema in the database; undefined when there is none. */
async function versionIn(pool: pg.Pool): Promise<number | undefined> {
  const { rows } = await pool.query<{ version: string | null }>(
    `SELECT obj_description(to_regnamespace('event_store'), 'pg_namespace') AS version`,
  );
  return rows[0]?.version ? Number(rows[0].version) : undefined;
}

function encode(writes: readonly StreamWrite[]): EncodedEvent[] {
  return writes.flatMap(({ stream, expected, events }) => {
    const first = expected === 'none' ? 0 : expected + 1;
    return events.map(({ id, type, data, metadata }, i) => ({
      opening: i === 0,
      stream,
      revision: first + i,
      id,
      type,
      data: JSON.stringify(data),
      metadata: JSON.stringify(metadata),
    }));
  });
}

function decodeRow([position, id, stream, revision, type, data, metadata, recordedAt]: LongerRow) {
  return { id, stream, revision, position: BigInt(position), type, data, metadata, recordedAt };
}

/** An event as a reader gets it, without a read. */
function decode(event: EncodedEvent, position: bigint, recordedAt: string): RecordedEvent {
  const { id, stream, revision, type, data, metadata } = event;
  return { id, stream, revision, position, type, data: JSON.parse(data), metadata: JSON.parse(metadata), recordedAt };
}

/** Callers that were just answered, and ask again in the same turn of the event loop, then go together. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function eventCount(batch: readonly Waiting[]): number {
  return batch.reduce((sum, { events }) => sum + events.length, 0);
}

/** Whether Postgres refuses the input itself: data exceptions, violated constraints, exceeded limits. */
function isBadInput(error: unknown): boolean {
  return error instanceof pg.DatabaseError && /^(22|23|54)/.test(error.code ?? '');
}
