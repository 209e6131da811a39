/**
 * One instance of a consumer group on the Postgres bus.
 *
 *   join ──▶ share ──▶ next ──▶ (handle) ──▶ done ──▶ next … ──▶ store ──▶ leave
 *              ▲                              │
 *              └──── about once a second ─────┘
 *
 * What is done is stored by the statement that asks for the next messages, so a batch costs one round trip.
 *
 * It is built on session-level advisory locks on one connection that is never reopened: (subscription, 0) is shared by
 * all members and shows who they are, (subscription, partition + 1) is held by the partition's one owner. The server
 * frees them as soon as the connection ends, for whatever reason, so others take over at once and no clock is trusted.
 * Offsets are stored on the same connection, so an instance that has lost its partitions can no longer store one.
 */
import { ANSWER_MS, PostgresConnection, SERVER_KEEPALIVE } from '#runtime/postgres';
import type pg from 'pg';
import type { Delivered } from '../port.js';
import { rebalance } from '../partitions.js';

/** The approximate number of messages in a batch, shared equally by the partitions. */
const BATCH = 500;

/** A group's place in a topic; `id` names its locks. */
export interface Subscription {
  readonly id: number;
  readonly topic: string;
  readonly partitions: number;
}

/** A partition that this member owns. */
interface Claim {
  readonly subscription: Subscription;
  readonly partition: number;
  /** The last offset that the group is done with. */
  done: string;
  /** The last offset that is stored. */
  stored: string;
}

export class Member {
  private readonly client: pg.Client;
  private readonly gone = new AbortController();
  private claims: Claim[] = [];
  /** Whether a partition filled its share of the last batch. */
  mayHaveMore = false;

  constructor(
    url: string,
    group: string,
    private readonly subscriptions: readonly Subscription[],
    /** Called when partitions were claimed that another instance may have owned. */
    private readonly onAssigned: () => void = () => {},
  ) {
    this.client = new PostgresConnection({
      connectionString: url,
      application_name: `larder-consumer:${group}`,
      connectionTimeoutMillis: 1_500,
      query_timeout: ANSWER_MS,
      // An offset need not survive a crash of the server: some messages would only be delivered again. And without the
      // generic plan, Postgres plans a statement with array parameters at every call, which takes a third of its time.
      settings: { ...SERVER_KEEPALIVE, synchronous_commit: 'off', plan_cache_mode: 'force_generic_plan' },
    });
    const gone = () => this.gone.abort(new Error(`The group ${group} lost its connection to the message bus.`));
    this.client.on('error', gone);
    this.client.on('end', gone);
  }

  /** Aborts when the connection, and with it every partition, is lost. */
  get lost(): AbortSignal {
    return this.gone.signal;
  }

  async join(): Promise<void> {
    await this.client.connect();
    await this.query('SELECT pg_advisory_lock_shared(id, 0) FROM unnest($1::int[]) AS id', [this.ids()]);
  }

  /**
   * Gives up the partitions that exceed this member's fair share and claims what it lacks. Not to be called while a
   * batch is under way. Returns true when others may find something to claim.
   */
  async share(): Promise<boolean> {
    const locks = await this.query<{ id: number; lock: number; pid: number; mine: boolean }>(LOCKS, [this.ids()]);
    const giveUp: Claim[] = [];
    const claim: Claim[] = [];
    for (const subscription of this.subscriptions) {
      const held = locks.filter(({ id }) => id === subscription.id);
      const members = held.filter(({ lock }) => lock === 0).sort((a, b) => a.pid - b.pid);
      const taken = new Set(held.map(({ lock }) => lock - 1));
      const owned = this.claims.filter((c) => c.subscription === subscription);
      const plan = rebalance({
        partitions: subscription.partitions,
        members: members.length,
        rank: members.findIndex(({ mine }) => mine),
        owned: owned.map(({ partition }) => partition),
        free: Array.from({ length: subscription.partitions }, (_, i) => i).filter((partition) => !taken.has(partition)),
      });
      giveUp.push(...owned.filter(({ partition }) => plan.giveUp.includes(partition)));
      claim.push(...plan.claim.map((partition) => ({ subscription, partition, done: '0', stored: '0' })));
    }
    if (giveUp.length > 0) {
      await this.store(); // The next owner of a partition resumes there.
      await this.giveUp(giveUp);
    }
    const won = claim.length > 0 ? await this.claim(claim) : 0;
    // Another member was faster: look again at what is free now.
    if (won < claim.length) await this.share();
    return giveUp.length > 0;
  }

  /** Stores what is done, and returns the next messages of all partitions of this member, each partition in order. */
  async next(): Promise<Delivered[]> {
    if (this.claims.length === 0) return [];
    const unstored = this.unstored();
    const limit = Math.ceil(BATCH / this.claims.length);
    const wanted = [
      this.claims.map(({ subscription }) => subscription.topic),
      this.claims.map(({ partition }) => partition),
      this.claims.map(({ done }) => done),
      limit,
    ];
    const rows =
      unstored.length === 0
        ? await this.query<Row>(NEXT, wanted, 'message_bus.next')
        : await this.query<Row>(STORE_AND_NEXT, [...wanted, ...offsetsOf(unstored)], 'message_bus.store_and_next');
    markStored(unstored);
    const messages = rows.map(toDelivered);
    const ofPartition = new Map<string, number>();
    for (const { topic, partition } of messages) {
      const name = `${partition} ${topic}`;
      ofPartition.set(name, (ofPartition.get(name) ?? 0) + 1);
    }
    this.mayHaveMore = [...ofPartition.values()].includes(limit);
    return messages;
  }

  /** Marks `batch` as done: the next statement stores its offsets. */
  done(batch: readonly Delivered[]): void {
    const last = new Map(batch.map(({ topic, partition, offset }) => [`${partition} ${topic}`, offset]));
    for (const claim of this.claims) {
      const offset = last.get(`${claim.partition} ${claim.subscription.topic}`);
      if (offset !== undefined) claim.done = String(offset);
    }
  }

  /** Stores the offsets of finished batches that are not stored yet. */
  async store(): Promise<void> {
    const unstored = this.unstored();
    if (unstored.length === 0) return;
    await this.query(STORE, offsetsOf(unstored), 'message_bus.store');
    markStored(unstored);
  }

  /** Ends the connection, by which the server frees all locks. The offset of a batch under way is not stored. */
  async leave(): Promise<void> {
    this.gone.abort(new Error('This message bus was closed.'));
    await this.client.end().catch(() => {});
  }

  private async giveUp(claims: readonly Claim[]): Promise<void> {
    this.claims = this.claims.filter((claim) => !claims.includes(claim));
    await this.query(
      'SELECT pg_advisory_unlock(id, partition + 1) FROM unnest($1::int[], $2::int[]) AS c (id, partition)',
      [claims.map(({ subscription }) => subscription.id), claims.map(({ partition }) => partition)],
    );
  }

  /** Claims what is still free, starting at the previous owner's stored offset. Returns how many partitions it got. */
  private async claim(wanted: readonly Claim[]): Promise<number> {
    const values = [wanted.map(({ subscription }) => subscription.id), wanted.map(({ partition }) => partition)];
    const locked = await this.query<{ locked: boolean }>(LOCK, values);
    // A separate statement, because it must see what the previous owner stored before it released the lock.
    const offsets = await this.query<{ id: number; partition: number; done: string }>(OFFSETS, values);
    const won = wanted.filter((_, i) => locked[i]?.locked);
    for (const claim of won) {
      const stored = offsets.find(({ id, partition }) => id === claim.subscription.id && partition === claim.partition);
      if (stored) claim.done = claim.stored = stored.done;
    }
    this.claims.push(...won);
    if (won.length > 0) this.onAssigned();
    return won.length;
  }

  private unstored(): Claim[] {
    return this.claims.filter(({ done, stored }) => done !== stored);
  }

  private ids(): number[] {
    return this.subscriptions.map(({ id }) => id);
  }

  private async query<R extends pg.QueryResultRow>(text: string, values: unknown[], name?: string): Promise<R[]> {
    this.lost.throwIfAborted();
    return (await this.client.query<R>({ name, text, values })).rows;
  }
}

/** The parameters of STORE. */
function offsetsOf(claims: readonly Claim[]): unknown[][] {
  return [
    claims.map(({ subscription }) => subscription.id),
    claims.map(({ partition }) => partition),
    claims.map(({ done }) => done),
  ];
}

function markStored(claims: readonly Claim[]): void {
  for (const claim of claims) claim.stored = claim.done;
}

interface Row {
  topic: string;
  partition: number;
  offset: string;
  key: string;
  id: string;
  type: string;
  source: string;
  time: string;
  correlation_id: string;
  traceparent: string | null;
  data: object;
}

function toDelivered({ correlation_id: correlationId, traceparent, offset, ...row }: Row): Delivered {
  return { ...row, offset: BigInt(offset), correlationId, ...(traceparent === null ? {} : { traceparent }) };
}

const LOCKS = `
  SELECT classid::int AS id, objid::int AS lock, pid, pid = pg_backend_pid() AS mine
  FROM pg_locks
  WHERE locktype = 'advisory' AND objsubid = 2 AND granted AND classid = ANY ($1::oid[])
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;

const LOCK = `
  SELECT pg_try_advisory_lock(id, partition + 1) AS locked
  FROM unnest($1::int[], $2::int[]) WITH ORDINALITY AS c (id, partition, n) ORDER BY n`;

const OFFSETS = `
  SELECT subscription AS id, partition, done
  FROM message_bus.offsets JOIN unnest($1::int[], $2::int[]) AS c (subscription, partition)
    USING (subscription, partition)`;

const NEXT = `
  SELECT m.topic, m.partition, m."offset", m.key, m.id, m.type, m.source, m.time, m.correlation_id, m.traceparent,
    m.data
  FROM unnest($1::text[], $2::int[], $3::bigint[]) AS c (topic, partition, done)
  CROSS JOIN LATERAL (
    SELECT * FROM message_bus.messages AS m
    WHERE m.topic = c.topic AND m.partition = c.partition AND m."offset" > c.done
    ORDER BY m."offset" LIMIT $4
  ) AS m
  ORDER BY m."offset"`;

const storeSql = (first: number) => `
  INSERT INTO message_bus.offsets (subscription, partition, done)
  SELECT * FROM unnest($${first}::int[], $${first + 1}::int[], $${first + 2}::bigint[])
  ON CONFLICT (subscription, partition) DO UPDATE SET done = EXCLUDED.done`;

const STORE = storeSql(1);

const STORE_AND_NEXT = `WITH stored AS (${storeSql(5)}) ${NEXT}`;
