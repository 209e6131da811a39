/**
 * The message bus as a partitioned log in Postgres, with Kafka's meaning.
 *
 *   publish ──▶ topics.head += n ──▶ messages (topic, partition, offset) ──▶ NOTIFY
 *                                        │
 *   consume ◀── next of my partitions ◀──┘       offsets (group, topic, partition) ◀── stored after the work
 *
 * The row of a topic is locked from the moment its offsets are taken until they are committed. So offsets appear in
 * order, and a reader that has seen one has seen all before it. Everything that belongs to one instance of a consumer
 * group happens on one connection: see `member.ts`.
 *
 * A publication notifies in its own transaction, which therefore holds a lock over the whole cluster until it is flushed
 * (PreCommit_Notify in PostgreSQL's async.c). Publishers of one topic take turns anyway, and a statement less for each
 * message is worth more than what those of different topics lose by it.
 *
 * Messages are kept for `retentionMs` after their publication, read or not, as Kafka does: by default 7 days. Both are
 * times of the database's clock, so no publisher whose clock is wrong deletes anything early. What a group had not read is
 * counted by the statement that deletes it, in `missed`.
 */
import type pg from 'pg';
import { Bell, type Clock, type Log, silentLog } from '#runtime';
import { assertHoldsEveryText, byteOrderSql, postgresPool, PostgresSession } from '#runtime/postgres';
import {
  type ConsumeOptions,
  type Message,
  MessageBus,
  type Missed,
  redeliveryPauseMs,
  STORE_MS,
  type Unread,
} from '../port.js';
import { PARTITIONS, partitionOf } from '../partitions.js';
import { Member, type Subscription } from './member.js';

export interface PostgresMessageBusOptions {
  /** A connection of its own per `consume()` keeps locks, so a pooler such as PgBouncer has to be in session mode. */
  readonly url: string;
  readonly clock: Clock;
  readonly log?: Log;
  /** For topics that this bus creates: the most instances that can share the work of a group. By default 12. */
  readonly partitions?: number;
  readonly retentionMs?: number;
}

/** How long a reader waits for a notification before it polls. */
const POLL_MS = 1_000;
const DAY_MS = 24 * 60 * 60_000;
/** How often expired messages are looked for. */
const SWEEP_MS = 60 * 60_000;
/** Expired messages that one statement deletes in each partition. */
const SWEEP_ROWS = 1_000;
/** So long may the types of a publication be, in characters: a notification holds less than 8,000 bytes. */
const MAX_TYPES = 1_000;
/** The channel on which members of groups announce that they join, leave or give up a partition. */
const MEMBERS = 'message_bus';

export class PostgresMessageBus extends MessageBus {
  private readonly pool: pg.Pool;
  private readonly session: PostgresSession;
  private readonly members = new Set<Member>();
  /** The topics that exist, each once it is known to have as many partitions as this bus expects. */
  private readonly topics = new Map<string, Promise<void>>();
  /** When each topic was last swept, by the monotonic clock. */
  private readonly sweptMs = new Map<string, number>();
  private closed = false;

  private constructor(private readonly options: Required<PostgresMessageBusOptions>) {
    super();
    this.pool = postgresPool(options.url, { max: 4, name: 'larder-message-bus' });
    this.session = new PostgresSession(options.url, options.clock, 'larder-message-bus-session');
  }

  /** Connects, and creates the schema `message_bus` where the database does not have it yet. */
  static async open({
    partitions = PARTITIONS,
    retentionMs = 7 * DAY_MS,
    log = silentLog,
    ...options
  }: PostgresMessageBusOptions): Promise<PostgresMessageBus> {
    const bus = new PostgresMessageBus({ ...options, partitions, retentionMs, log });
    try {
      await createSchema(bus.pool);
      return bus;
    } catch (error) {
      await bus.close();
      throw error;
    }
  }

  override async publish(topic: string, messages: readonly Message[]): Promise<void> {
    if (messages.length === 0) return;
    await this.ensureTopic(topic);
    await this.pool.query({
      name: 'message_bus.publish',
      text: PUBLISH,
      values: [
        topic,
        messages.length,
        messages.map(({ key }) => partitionOf(key, this.options.partitions)),
        messages.map(({ key }) => key),
        messages.map(({ id }) => id),
        messages.map(({ type }) => type),
        messages.map(({ source }) => source),
        messages.map(({ time }) => time),
        messages.map(({ correlationId }) => correlationId),
        messages.map(({ traceparent }) => traceparent),
        // JSON text has no line breaks, and as lines it needs none of the escaping that the text of an array needs.
        messages.map(({ data }) => JSON.stringify(data)).join('\n'),
        channelOf(topic),
        typesOf(messages),
      ],
    });
    this.sweepLater(topic);
  }

  override async consume({ group, topics, ignores = [], handle, onAssigned, signal }: ConsumeOptions): Promise<void> {
    const subscriptions = await this.subscriptions(group, topics);
    for (const each of await this.missed(group)) this.options.log.error({ group, ...each }, MISSED);
    const bell = new Bell();
    let membersChanged = true;
    const stopListening = [
      ...topics.map((topic) =>
        this.session.listen(channelOf(topic), (types) => {
          if (types.split(' ').some((type) => !ignores.includes(type))) bell.ring();
        }),
      ),
      this.session.listen(MEMBERS, () => {
        membersChanged = true;
        bell.ring();
      }),
    ];
    const member = new Member(this.options.url, group, subscriptions, onAssigned);
    this.members.add(member);
    member.lost.addEventListener('abort', () => bell.ring());
    try {
      await member.join();
      this.session.notify(MEMBERS);
      const { clock } = this.options;
      let sharedMs = 0;
      let failures = 0;
      while (!signal.aborted) {
        if (membersChanged || clock.monotonicMs() - sharedMs >= POLL_MS) {
          membersChanged = false;
          sharedMs = clock.monotonicMs();
          if (await member.share()) this.session.notify(MEMBERS);
        }
        bell.reset();
        const batch = await member.next();
        if (batch.length === 0) {
          await bell.wait(signal, { clock, pollMs: POLL_MS });
          continue;
        }
        try {
          await handle(batch, member.lost);
          failures = 0;
        } catch {
          await clock.sleep(redeliveryPauseMs(failures++), AbortSignal.any([signal, member.lost]));
          continue;
        }
        member.done(batch);
        // Nothing more for now: the offset is stored when the next message arrives, or in a moment.
        if (!member.mayHaveMore) await bell.wait(signal, { clock, pollMs: STORE_MS });
      }
      if (!member.lost.aborted) await member.store();
    } catch (error) {
      if (!signal.aborted) throw error;
    } finally {
      stopListening.forEach((stop) => stop());
      this.members.delete(member);
      await member.leave();
      this.session.notify(MEMBERS);
    }
  }

  override async rewind(group: string, topics: readonly string[]): Promise<void> {
    for (const { id, topic } of await this.subscriptions(group, topics)) {
      const { rows } = await this.pool.query<{ free: boolean }>(REWIND, [id]);
      if (!rows[0]?.free) {
        throw new Error(`The group ${group} is consuming ${topic}: stop its instances, then rewind it.`);
      }
    }
  }

  override async missed(group: string): Promise<readonly Missed[]> {
    const { rows } = await this.pool.query<{ topic: string; messages: string; at: Date }>(MISSED_BY, [group]);
    return rows.map(({ topic, messages, at }) => ({ topic, messages: Number(messages), at: at.toISOString() }));
  }

  override async unread(group: string, topics: readonly string[]): Promise<readonly Unread[]> {
    const { rows } = await this.pool.query<{ topic: string; partition: number; done: string; last: string }>({
      name: 'message_bus.unread',
      text: UNREAD,
      values: [group, topics],
    });
    return rows.map(({ topic, partition, done, last }) => ({
      topic,
      partition,
      done: BigInt(done),
      unread: Number(BigInt(last) - BigInt(done)),
    }));
  }

  override async ping(): Promise<void> {
    await this.pool.query('SELECT');
  }

  /** The offset of a batch under way is not stored, and its partitions are free for other instances at once. */
  override async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await Promise.all([...this.members].map((member) => member.leave()));
    await Promise.all([this.session.close(), this.pool.end()]);
  }

  /** Locks are named after these: each (group, topic) gets a number when it is first used. */
  private async subscriptions(group: string, topics: readonly string[]): Promise<Subscription[]> {
    await Promise.all(topics.map((topic) => this.ensureTopic(topic)));
    const { rows } = await this.pool.query<{ id: number; topic: string }>(SUBSCRIBE, [group, topics]);
    return rows.map(({ id, topic }) => ({ id, topic, partitions: this.options.partitions }));
  }

  private ensureTopic(topic: string): Promise<void> {
    const known = this.topics.get(topic);
    if (known) return known;
    const ensured = this.createTopic(topic);
    this.topics.set(topic, ensured);
    ensured.catch(() => this.topics.delete(topic));
    return ensured;
  }

  private async createTopic(topic: string): Promise<void> {
    if (!/^[\w.-]{1,50}$/.test(topic)) {
      throw new Error(
        `"${topic}" is not a valid name for a topic: use up to 50 letters, digits, dots, hyphens and underscores.`,
      );
    }
    const { partitions } = this.options;
    const { rows } = await this.pool.query<{ partitions: number }>(CREATE_TOPIC, [topic, partitions]);
    const stored = rows[0]?.partitions;
    if (stored !== partitions) {
      throw new Error(
        `The topic ${topic} was created with ${stored} partitions, and this bus was opened with ${partitions}. ` +
          `A key would change its partition and lose its order: open the bus with partitions: ${stored}.`,
      );
    }
  }

  /** Once an hour, in the background: what cannot be deleted now is deleted the next time. */
  private sweepLater(topic: string): void {
    const nowMs = this.options.clock.monotonicMs();
    if (nowMs - (this.sweptMs.get(topic) ?? -Infinity) < SWEEP_MS) return;
    this.sweptMs.set(topic, nowMs);
    void this.sweep(topic).catch(() => {});
  }

  private async sweep(topic: string): Promise<void> {
    const { partitions, retentionMs, log } = this.options;
    let deleted: number;
    do {
      const { rows } = await this.pool.query<Swept>(SWEEP, [topic, partitions, retentionMs, SWEEP_ROWS]);
      ({ deleted } = rows[0]!);
      for (const { group, messages } of rows[0]!.unread) log.error({ group, topic, messages }, MISSED);
    } while (deleted >= SWEEP_ROWS && !this.closed);
  }
}

const MISSED = 'The bus deleted messages before their group had read them, because their retention was over.';

/** What one statement deleted, and how much of it which groups had not read. */
interface Swept {
  readonly deleted: number;
  readonly unread: readonly { readonly group: string; readonly messages: number }[];
}

/** Each topic has a channel of its own for its readers. Names of channels have at most 63 bytes. */
function channelOf(topic: string): string {
  return `message_bus:${topic}`;
}

/** What a publication tells its readers: the types of its messages; nothing where they would not fit into a notification. */
function typesOf(messages: readonly Message[]): string {
  const types = [...new Set(messages.map(({ type }) => type))].join(' ');
  return types.length <= MAX_TYPES ? types : '';
}

async function createSchema(pool: pg.Pool): Promise<void> {
  const { rows } = await pool.query<{ begun: boolean; complete: boolean }>(
    `SELECT to_regclass('message_bus.offsets') IS NOT NULL AS begun,
       to_regclass('message_bus.missed') IS NOT NULL AND NOT EXISTS (
         SELECT FROM pg_attribute
         WHERE attrelid = to_regclass('message_bus.subscriptions') AND attcollation NOT IN (0, '"C"'::regcollation)
       ) AS complete`,
  );
  if (rows[0]?.complete) return;
  if (!rows[0]?.begun) await assertHoldsEveryText(pool);
  // Several statements in one simple query are one transaction; the lock makes instances that start together take turns.
  await pool.query(SCHEMA);
}

const SCHEMA = `
  SELECT pg_advisory_xact_lock(hashtextextended('message_bus schema', 0));
  CREATE SCHEMA IF NOT EXISTS message_bus;

  CREATE TABLE IF NOT EXISTS message_bus.topics (
    topic text COLLATE "C" PRIMARY KEY,
    partitions int NOT NULL,
    -- The last offset given out. Updating it is what makes publishers take turns.
    head bigint NOT NULL DEFAULT 0
  );

  -- "data" is json and not jsonb: the log hands on what it was given and never looks inside, and jsonb refuses
  -- some strings that JSON allows (U+0000).
  CREATE TABLE IF NOT EXISTS message_bus.messages (
    topic text COLLATE "C" NOT NULL,
    partition int NOT NULL,
    "offset" bigint NOT NULL,
    published_at timestamptz NOT NULL,
    key text NOT NULL,
    id text NOT NULL,
    type text NOT NULL,
    source text NOT NULL,
    time text NOT NULL,
    correlation_id text NOT NULL,
    traceparent text,
    data json NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
  );

  CREATE TABLE IF NOT EXISTS message_bus.subscriptions (
    id int GENERATED ALWAYS AS IDENTITY UNIQUE,
    "group" text COLLATE "C" NOT NULL,
    topic text COLLATE "C" NOT NULL,
    PRIMARY KEY ("group", topic)
  );

  -- The last offset that a group is done with in each partition; no row before the first.
  CREATE TABLE IF NOT EXISTS message_bus.offsets (
    subscription int NOT NULL REFERENCES message_bus.subscriptions (id),
    partition int NOT NULL,
    done bigint NOT NULL,
    PRIMARY KEY (subscription, partition)
  );

  -- What was deleted before a group had read it; no row while there is nothing.
  CREATE TABLE IF NOT EXISTS message_bus.missed (
    subscription int PRIMARY KEY REFERENCES message_bus.subscriptions (id),
    messages bigint NOT NULL,
    at timestamptz NOT NULL
  );
  ${byteOrderSql('message_bus')}
`;

/** The update changes nothing; without it the statement would return no row for an existing topic. So in SUBSCRIBE. */
const CREATE_TOPIC = `
  INSERT INTO message_bus.topics (topic, partitions) VALUES ($1, $2)
  ON CONFLICT (topic) DO UPDATE SET partitions = topics.partitions
  RETURNING partitions`;

const SUBSCRIBE = `
  INSERT INTO message_bus.subscriptions ("group", topic) SELECT $1, topic FROM unnest($2::text[]) AS topic
  ON CONFLICT ("group", topic) DO UPDATE SET topic = EXCLUDED.topic
  RETURNING id, topic`;

const PUBLISH = `
  WITH taken AS (
    UPDATE message_bus.topics SET head = head + $2 WHERE topic = $1 RETURNING head - $2 AS before
  ), published AS (
    INSERT INTO message_bus.messages
      (topic, partition, "offset", published_at, key, id, type, source, time, correlation_id, traceparent, data)
    SELECT $1, m.partition, taken.before + m.n, now(), m.key, m.id, m.type, m.source, m.time, m.correlation_id,
      m.traceparent, m.data::json
    FROM taken, unnest($3::int[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
      string_to_array($11, E'\\n')) WITH ORDINALITY
      AS m (partition, key, id, type, source, time, correlation_id, traceparent, data, n)
  )
  SELECT pg_notify($12, $13)`;

/** Members share the lock (subscription, 0), so an exclusive lock on it proves that there are none. */
const REWIND = `
  WITH alone AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1::int, 0) AS free),
  rewound AS (DELETE FROM message_bus.offsets USING alone WHERE subscription = $1 AND alone.free)
  SELECT free FROM alone`;

/** Looks at the oldest messages of each partition only: time grows with the offset, so no index on it is needed. */
const SWEEP = `
  WITH expired AS (
    DELETE FROM message_bus.messages AS expired
    USING generate_series(0, $2::int - 1) AS p (partition)
    CROSS JOIN LATERAL (
      SELECT "offset", published_at FROM message_bus.messages AS m
      WHERE m.topic = $1 AND m.partition = p.partition ORDER BY "offset" LIMIT $4
    ) AS oldest
    WHERE expired.topic = $1 AND expired.partition = p.partition AND expired."offset" = oldest."offset"
      AND oldest.published_at < now() - $3 * interval '1 millisecond'
    RETURNING expired.partition, expired."offset"
  ), unread AS (
    SELECT id, "group", count(*)::int AS messages
    FROM expired CROSS JOIN message_bus.subscriptions AS s LEFT JOIN message_bus.offsets AS o
      ON o.subscription = s.id AND o.partition = expired.partition
    WHERE s.topic = $1 AND expired."offset" > coalesce(o.done, 0)
    GROUP BY id, "group"
  ), noted AS (
    INSERT INTO message_bus.missed AS m (subscription, messages, at) SELECT id, messages, now() FROM unread
    ON CONFLICT (subscription) DO UPDATE SET messages = m.messages + EXCLUDED.messages, at = EXCLUDED.at
  )
  SELECT
    (SELECT count(*)::int FROM expired) AS deleted,
    (SELECT coalesce(json_agg(json_build_object('group', "group", 'messages', messages)), '[]') FROM unread) AS unread`;

/** Looks only at the last message of each partition. */
const UNREAD = `
  SELECT s.topic, p.partition, coalesce(o.done, 0) AS done, last."offset" AS last
  FROM message_bus.subscriptions AS s
  JOIN message_bus.topics AS t ON t.topic = s.topic
  CROSS JOIN LATERAL generate_series(0, t.partitions - 1) AS p (partition)
  LEFT JOIN message_bus.offsets AS o ON o.subscription = s.id AND o.partition = p.partition
  CROSS JOIN LATERAL (
    SELECT "offset" FROM message_bus.messages AS m
    WHERE m.topic = s.topic AND m.partition = p.partition ORDER BY "offset" DESC LIMIT 1
  ) AS last
  WHERE s."group" = $1 AND s.topic = ANY ($2::text[]) AND last."offset" > coalesce(o.done, 0)`;

const MISSED_BY = `
  SELECT topic, messages, at FROM message_bus.missed JOIN message_bus.subscriptions ON id = subscription
  WHERE "group" = $1 ORDER BY topic`;
