import { createHash } from 'node:crypto';
import type pg from 'pg';
import {
  type DeadLetters,
  type Resolution,
  type ResolutionPage,
  type Failure,
  type ParkedMessage,
  ParkedMessages,
  type RecordedResolution,
} from '../parked.js';
import type { Delivered } from '../port.js';

/** Waiting lines in the service's tables `parked_messages` and `dead_letter_decisions`. Each call is one statement. */
export class PostgresParkedMessages extends ParkedMessages implements DeadLetters {
  constructor(private readonly pool: pg.Pool) {
    super();
  }

  override async parkedKeys(consumer: string, keys: readonly string[]): Promise<ReadonlySet<string> | undefined> {
    const { rows } = await this.pool.query<{ found: string[] }>({
      name: 'parked.keys',
      text: `SELECT ARRAY(SELECT DISTINCT key FROM parked_messages WHERE consumer = $1 AND key = ANY ($2::text[])) AS found
             WHERE EXISTS (SELECT FROM parked_messages WHERE consumer = $1)`,
      values: [consumer, keys.map(toIndexable)],
    });
    if (!rows[0]) return undefined;
    const lines = new Set(rows[0].found);
    return new Set(keys.filter((key) => lines.has(toIndexable(key))));
  }

  override async park(
    consumer: string,
    messages: readonly (Failure & { readonly message: Delivered })[],
    now: Date,
  ): Promise<void> {
    // Ids are assigned in the order of the rows, so the lines keep the order of the messages.
    await this.pool.query(
      `INSERT INTO parked_messages
         (consumer, key, message_id, message, parked_at, attempts, error, next_attempt_at, dead_at)
       SELECT $1, key, message_id, message::json, $2, attempts, error, next_attempt_at, dead_at
       FROM unnest($3::text[], $4::text[], $5::text[], $6::int[], $7::text[], $8::timestamptz[], $9::timestamptz[])
         WITH ORDINALITY AS m (key, message_id, message, attempts, error, next_attempt_at, dead_at, n)
       ORDER BY n
       ON CONFLICT (consumer, message_id) DO NOTHING`,
      [
        consumer,
        now,
        messages.map(({ message }) => toIndexable(message.key)),
        messages.map(({ message }) => toIndexable(message.id)),
        messages.map(({ message }) => JSON.stringify({ ...message, offset: String(message.offset) })),
        ...failureColumns(messages),
      ],
    );
  }

  override async due(
    consumer: string,
    now: Date,
    limit: number,
    except: readonly string[] = [],
  ): Promise<ParkedMessage[]> {
    const { rows } = await this.pool.query<Row>({
      name: 'parked.due',
      text: `SELECT * FROM parked_messages AS first
        WHERE consumer = $1 AND next_attempt_at <= $2 AND dead_at IS NULL AND key <> ALL ($4::text[]) AND NOT EXISTS (
          SELECT FROM parked_messages AS earlier
          WHERE earlier.consumer = first.consumer AND earlier.key = first.key AND earlier.id < first.id
        )
        ORDER BY next_attempt_at LIMIT $3`,
      values: [consumer, now, limit, except.map(toIndexable)],
    });
    return rows.map(toParkedMessage);
  }

  override async recordRetries(
    handled: readonly bigint[],
    failed: readonly (Failure & { readonly id: bigint })[],
    limit = 0,
  ): Promise<ParkedMessage[]> {
    const { rows } = await this.pool.query<Row>(
      `WITH handled AS (
         DELETE FROM parked_messages WHERE id = ANY ($1::bigint[]) RETURNING consumer, key, id
       ), failed AS (
         UPDATE parked_messages AS parked
         SET attempts = f.attempts, error = f.error, next_attempt_at = f.next_attempt_at, dead_at = f.dead_at
         FROM unnest($2::bigint[], $3::int[], $4::text[], $5::timestamptz[], $6::timestamptz[])
           AS f (id, attempts, error, next_attempt_at, dead_at)
         WHERE parked.id = f.id
         RETURNING parked.consumer, parked.key
       ), line AS (
         SELECT consumer, key, max(id) AS last FROM handled GROUP BY consumer, key
       )
       SELECT next.* FROM line, LATERAL (
         SELECT * FROM parked_messages AS later
         WHERE later.consumer = line.consumer AND later.key = line.key AND later.id > line.last
         ORDER BY id LIMIT $7
       ) AS next
       WHERE (line.consumer, line.key) NOT IN (SELECT consumer, key FROM failed)
       ORDER BY next.id`,
      [handled.map(String), failed.map(({ id }) => String(id)), ...failureColumns(failed), limit],
    );
    return rows.map(toParkedMessage);
  }

  async listDead(from: bigint, limit: number): Promise<ParkedMessage[]> {
    const { rows } = await this.pool.query<Row>(
      'SELECT * FROM parked_messages WHERE id >= $1 AND dead_at IS NOT NULL ORDER BY id LIMIT $2',
      [String(from), limit],
    );
    return rows.map(toParkedMessage);
  }

  async countDead(): Promise<number> {
    const { rows } = await this.pool.query<{ count: string }>(
      'SELECT count(*) FROM parked_messages WHERE dead_at IS NOT NULL',
    );
    return Number(rows[0]!.count);
  }

  async resolve(id: bigint, { action, ...decision }: Resolution): Promise<ParkedMessage | undefined> {
    const { rows } = await this.pool.query<Row>(action === 'retry' ? RETRY : SKIP, [
      String(id),
      decision.id,
      decision.actor,
      decision.reason,
      decision.at,
    ]);
    return rows.map(toParkedMessage)[0];
  }

  async resolutions({ deadLetter, after, limit }: ResolutionPage): Promise<RecordedResolution[]> {
    const { rows } = await this.pool.query<DecisionRow>(
      `SELECT * FROM dead_letter_decisions
       WHERE ($1::bigint IS NULL OR dead_letter_id = $1)
         AND ($2::timestamptz IS NULL OR (decided_at, id) < ($2, $3::uuid))
       ORDER BY decided_at DESC, id DESC LIMIT $4`,
      [deadLetter?.toString(), after?.at, after?.id, limit],
    );
    return rows.map((row) => ({
      id: row.id,
      deadLetter: row.dead_letter_id === null ? undefined : BigInt(row.dead_letter_id),
      action: row.action,
      actor: row.actor,
      reason: row.reason,
      at: row.decided_at,
      consumer: row.consumer,
      message: messageOf(row),
      attempts: row.attempts,
      error: row.error,
    }));
  }
}

const RECORD = `
  recorded AS (
    INSERT INTO dead_letter_decisions
      (id, dead_letter_id, consumer, key, message_id, message, attempts, error, action, actor, reason, decided_at)
    SELECT $2, id, consumer, key, message_id, message, attempts, error, action, $3, $4, $5 FROM dead
  )
  SELECT * FROM dead`;

const RETRY = `
  WITH dead AS (
    SELECT *, 'retry' AS action FROM parked_messages WHERE id = $1 AND dead_at IS NOT NULL FOR UPDATE
  ), revived AS (
    UPDATE parked_messages AS parked SET attempts = 0, next_attempt_at = $5, dead_at = NULL
    FROM dead WHERE parked.id = dead.id
  ), ${RECORD}`;

const SKIP = `
  WITH dead AS (
    DELETE FROM parked_messages WHERE id = $1 AND dead_at IS NOT NULL RETURNING *, 'skip' AS action
  ), ${RECORD}`;

interface MessageRow {
  consumer: string;
  message: Omit<Delivered, 'offset'> & { offset: string };
  attempts: number;
  error: string;
}

interface DecisionRow extends MessageRow, Omit<Resolution, 'at'> {
  dead_letter_id: string | null;
  decided_at: Date;
}

interface Row extends MessageRow {
  id: string;
  parked_at: Date;
  next_attempt_at: Date;
  dead_at: Date | null;
}

function toParkedMessage(row: Row): ParkedMessage {
  return {
    id: BigInt(row.id),
    consumer: row.consumer,
    message: messageOf(row),
    attempts: row.attempts,
    error: row.error,
    parkedAt: row.parked_at,
    nextAttemptAt: row.next_attempt_at,
    ...(row.dead_at === null ? {} : { deadAt: row.dead_at }),
  };
}

function messageOf({ message }: MessageRow): Delivered {
  return { ...message, offset: BigInt(message.offset) };
}

/**
 * A key or an id in a form that an index of Postgres can hold, whatever senders may send: an entry has at most 2,704
 * bytes (nbtree.h), and text cannot contain U+0000. The message itself is stored unchanged.
 */
function toIndexable(text: string): string {
  if (text.length <= 500 && !text.includes('\0')) return text;
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

function failureColumns(failures: readonly Failure[]): unknown[][] {
  return [
    failures.map(({ attempts }) => attempts),
    failures.map(({ error }) => error.replaceAll('\0', '\ufffd')), // Postgres text cannot contain U+0000.
    failures.map(({ nextAttemptAt }) => nextAttemptAt),
    failures.map(({ deadAt }) => deadAt),
  ];
}
