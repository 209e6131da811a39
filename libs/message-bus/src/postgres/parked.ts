import { createHash } from 'node:crypto';
import type pg from 'pg';
import {
  type DeadLetterFilter,
  type DeadLetterKind,
  type DeadLetters,
  DIFFERS,
  type Resolution,
  type ResolutionPage,
  type Failure,
  LOOKED_AT,
  type Outcome,
  type ParkedMessage,
  ParkedMessages,
  type RecordedResolution,
  TELLING,
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
      // By their names: a migration that adds a column must not change what is prepared.
      text: `SELECT id, consumer, message, attempts, error, parked_at, next_attempt_at, dead_at
        FROM parked_messages AS first
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

  async listDead(from: bigint, limit: number, filter: DeadLetterFilter = {}): Promise<ParkedMessage[]> {
    const { rows } = await this.pool.query<Row>(
      `SELECT * FROM parked_messages WHERE ${deadThatMatch(1)} AND id >= $4 ORDER BY id LIMIT $5`,
      [...filterValues(filter), String(from), limit],
    );
    return rows.map(toParkedMessage);
  }

  async countDead(filter: DeadLetterFilter = {}): Promise<number> {
    const { rows } = await this.pool.query<{ count: string }>(
      `SELECT count(*) FROM parked_messages WHERE ${deadThatMatch(1)}`,
      filterValues(filter),
    );
    return Number(rows[0]!.count);
  }

  async countKinds(limit: number, filter: DeadLetterFilter = {}): Promise<{ kinds: DeadLetterKind[]; others: number }> {
    const { rows } = await this.pool.query<KindRow>(
      `SELECT *, (SELECT count(*) FROM parked_messages WHERE ${deadThatMatch(1)}) AS total FROM (
         SELECT topic, type, regexp_replace(left(error, ${TELLING}), '${DIFFERS}', '') AS error, count(*) FROM (
           SELECT * FROM parked_messages WHERE ${deadThatMatch(1)} ORDER BY id LIMIT ${LOOKED_AT}
         ) AS oldest GROUP BY 1, 2, 3
       ) AS kind
       ORDER BY count DESC, topic COLLATE "C", type COLLATE "C", error COLLATE "C" LIMIT $4`,
      [...filterValues(filter), limit],
    );
    const kinds = rows.map(({ topic, type, error, count }) => ({ topic, type, error, count: Number(count) }));
    return { kinds, others: kinds.reduce((left, { count }) => left - count, Number(rows[0]?.total ?? 0)) };
  }

  async resolve(id: bigint, { id: decisionId, ...decision }: Resolution): Promise<ParkedMessage | undefined> {
    const { rows } = await this.pool.query<Row>(RESOLVE[decision.action], [
      ...decisionValues(decision, [decisionId]),
      String(id),
    ]);
    return rows.map(toParkedMessage)[0];
  }

  async resolveMany(
    from: bigint,
    filter: DeadLetterFilter,
    decision: Omit<Resolution, 'id'>,
    decisionIds: readonly string[],
  ): Promise<bigint[]> {
    const { rows } = await this.pool.query<{ id: string }>(RESOLVE_MANY[decision.action], [
      ...decisionValues(decision, decisionIds),
      ...filterValues(filter),
      String(from),
    ]);
    return rows.map(({ id }) => BigInt(id));
  }

  async resolutions({ deadLetter, after, limit }: ResolutionPage): Promise<RecordedResolution[]> {
    const { rows } = await this.pool.query<DecisionRow>(
      `SELECT *, ${OUTCOME} AS outcome FROM dead_letter_decisions AS made
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
      ...(row.correlation_id !== null && { correlationId: row.correlation_id }),
      consumer: row.consumer,
      message: messageOf(row),
      attempts: row.attempts,
      error: row.error,
      outcome: row.outcome ?? undefined,
    }));
  }
}

/** Only about a dead letter can anybody decide: one that was decided about again had died again. */
const OUTCOME = `
  CASE WHEN action = 'skip' THEN 'skipped' WHEN dead_letter_id IS NOT NULL THEN
    CASE WHEN EXISTS (
      SELECT FROM dead_letter_decisions AS later
      WHERE later.dead_letter_id = made.dead_letter_id AND (later.decided_at, later.id) > (made.decided_at, made.id)
    ) THEN 'dead-again' ELSE coalesce(
      (SELECT CASE WHEN dead_at IS NULL THEN 'waiting' ELSE 'dead-again' END
       FROM parked_messages AS parked WHERE parked.id = made.dead_letter_id), 'handled')
    END
  END`;

/** The dead letters that match a filter, whose values are the parameters from `$first` on. */
function deadThatMatch(first: number): string {
  const [topic, type, error] = [`$${first}::text`, `$${first + 1}::text`, `$${first + 2}::text`];
  return `dead_at IS NOT NULL AND (${topic} IS NULL OR topic = ${topic}) AND (${type} IS NULL OR type = ${type})
    AND (${error} IS NULL OR starts_with(error, ${error}))`;
}

function filterValues({ topic, type, error }: DeadLetterFilter): unknown[] {
  return [topic && asGenerated(topic), type && asGenerated(type), error && asStored(error)];
}

/** As the columns `topic` and `type` have it: see the migration that adds them. */
function asGenerated(text: string): string {
  return JSON.parse(JSON.stringify(text).replace(/\\u(0000|d[89a-f][0-9a-f]{2})/g, '\\u003f')) as string;
}

function decisionValues(
  { actor, reason, at, correlationId }: Omit<Resolution, 'id'>,
  ids: readonly string[],
): unknown[] {
  return [ids, actor, reason, at, correlationId];
}

/**
 * Decides about the dead letters of `which`. They are locked in the order of their ids: who comes second finds them alive
 * or gone, and passes them over. A message is copied inside of the database, and sent to nobody who does not ask for it.
 */
function resolving(action: Resolution['action'], which: string, shown: string): string {
  const carriedOut = {
    retry: `UPDATE parked_messages AS parked SET attempts = 0, next_attempt_at = $4, dead_at = NULL
            FROM dead WHERE parked.id = dead.id`,
    skip: 'DELETE FROM parked_messages AS parked USING dead WHERE parked.id = dead.id',
  };
  return `
    WITH dead AS (
      SELECT * FROM parked_messages WHERE ${which} FOR UPDATE
    ), carried_out AS (
      ${carriedOut[action]}
    ), recorded AS (
      INSERT INTO dead_letter_decisions (id, dead_letter_id, consumer, key, message_id, message, attempts, error,
        action, actor, reason, decided_at, correlation_id)
      SELECT ($1::uuid[])[row_number() OVER (ORDER BY id)], id, consumer, key, message_id, message, attempts, error,
        '${action}', $2, $3, $4::timestamptz, $5
      FROM dead
    )
    SELECT ${shown} FROM dead ORDER BY id`;
}

const ONE = 'dead_at IS NOT NULL AND id = $6';
const MANY = `${deadThatMatch(6)} AND id >= $9 ORDER BY id LIMIT cardinality($1::uuid[])`;
const RESOLVE = { retry: resolving('retry', ONE, '*'), skip: resolving('skip', ONE, '*') };
const RESOLVE_MANY = { retry: resolving('retry', MANY, 'id'), skip: resolving('skip', MANY, 'id') };

interface MessageRow {
  consumer: string;
  message: Omit<Delivered, 'offset'> & { offset: string };
  attempts: number;
  error: string;
}

interface KindRow {
  topic: string;
  type: string;
  error: string;
  count: string;
  total: string;
}

interface DecisionRow extends MessageRow, Omit<Resolution, 'at' | 'correlationId'> {
  dead_letter_id: string | null;
  decided_at: Date;
  correlation_id: string | null;
  outcome: Outcome | null;
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
    failures.map(({ error }) => asStored(error)),
    failures.map(({ nextAttemptAt }) => nextAttemptAt),
    failures.map(({ deadAt }) => deadAt),
  ];
}

/** Postgres text cannot contain U+0000. */
function asStored(error: string): string {
  return error.replaceAll('\0', '\ufffd');
}
