/**
 * The books in Postgres, in the tables `simulated_payments` and `simulated_ledger`.
 *
 *   change ──▶ waiting ──▶ a batch: its payments as they are known ─▶ decide in memory ─▶ write what is still so
 *                 ▲                                                                   │
 *                 └──── another instance was faster, or nothing to write: read ◀──────┘
 *
 * Changes that come while a batch is under way are the next batch: one statement and one commit for all of them. What is
 * known of a payment, or that it is new, is proved by the write, which names its revision. Where nothing is written, it is
 * read first, and what came of it counts only then.
 */
import { LRUCache } from 'lru-cache';
import type pg from 'pg';
import { Batcher } from '#runtime';
import { Ledger, type LedgerEntry, MOST_STRAYS, RECENT_ENTRIES, type StrayPayment, type Totals } from './ledger.js';
import { type Change, type Entry, type SimulatedPayment, UNASKED } from './payment.js';

const MAX_BATCH = 500;
/** Enough for the payments that are under way at full load. */
const MAX_KNOWN = 2_000;

interface Work {
  readonly orderId: string;
  readonly now: Date;
  readonly change: (payment: SimulatedPayment | undefined) => Change<unknown>;
  readonly resolve: (changed: Change<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

interface Found {
  /** -1 when there is none. */
  readonly revision: number;
  readonly payment: SimulatedPayment | undefined;
}

const NEW: Found = { revision: -1, payment: undefined };

/** A payment as a batch found it, and what the batch makes of it. */
interface Page {
  readonly orderId: string;
  readonly before: Found;
  /** Whether it was read for this batch. */
  readonly isRead: boolean;
  after: SimulatedPayment | undefined;
  readonly works: Work[];
  readonly entries: (Entry & { readonly at: Date })[];
  /** Tell the callers what came of it. */
  readonly answers: (() => void)[];
}

export class PostgresLedger extends Ledger {
  private readonly batches = new Batcher<Work>(MAX_BATCH, (batch) => this.carryOut(batch));
  private readonly known = new LRUCache<string, Found>({ max: MAX_KNOWN });
  /** Orders whose payments the next batch has to read. */
  private readonly unsure = new Set<string>();

  constructor(private readonly pool: pg.Pool) {
    super();
  }

  override change<T>(
    orderId: string,
    now: Date,
    change: (payment: SimulatedPayment | undefined) => Change<T>,
  ): Promise<Change<T>> {
    return new Promise((resolve, reject) => {
      this.batches.add({
        orderId: orderId.toLowerCase(), // As Postgres writes a UUID: what it returns is looked up by it.
        now,
        change,
        resolve: (changed) => resolve(changed as Change<T>),
        reject,
      });
    });
  }

  override async entries(page: { orderId?: string; after?: number; limit: number }): Promise<LedgerEntry[]> {
    const { rows } = await this.pool.query<{
      position: string;
      order_id: string;
      type: LedgerEntry['type'];
      currency: string | null;
      held_minor: string;
      charged_minor: string;
      at: Date;
    }>(
      `SELECT position, order_id, type, currency, held_minor, charged_minor, at FROM simulated_ledger
        WHERE position > $1 AND ($2::uuid IS NULL OR order_id = $2) ORDER BY position LIMIT $3`,
      [page.after ?? 0, page.orderId ?? null, page.limit],
    );
    return rows.map((row) => ({
      position: Number(row.position),
      orderId: row.order_id,
      type: row.type,
      currency: row.currency,
      heldMinor: Number(row.held_minor),
      chargedMinor: Number(row.charged_minor),
      at: row.at.toISOString(),
    }));
  }

  override async strays(): Promise<StrayPayment[]> {
    const { rows } = await this.pool.query<{ order_id: string; payment: SimulatedPayment }>(
      // Of an array Postgres looks up each order in the index: a join may read the whole table.
      `SELECT order_id, payment FROM simulated_payments AS payments
        WHERE order_id = ANY (ARRAY(SELECT order_id FROM simulated_ledger ORDER BY position DESC LIMIT $1))
          AND payment ->> 'strays' = ANY ($2)
        ORDER BY (SELECT max(position) FROM simulated_ledger WHERE order_id = payments.order_id) DESC LIMIT $3`,
      [RECENT_ENTRIES, UNASKED, MOST_STRAYS],
    );
    return rows.map(({ order_id, payment }) => ({ orderId: order_id, payment }));
  }

  override async totals(orderId?: string): Promise<Totals[]> {
    const { rows } = await this.pool.query<{ currency: string; held: string; captured: string; refunded: string }>(
      `SELECT currency, sum(held_minor) AS held,
              sum(greatest(charged_minor, 0)) AS captured, sum(greatest(-charged_minor, 0)) AS refunded
         FROM simulated_ledger
        WHERE currency IS NOT NULL AND ($1::uuid IS NULL OR order_id = $1)
        GROUP BY currency ORDER BY currency`,
      [orderId ?? null],
    );
    return rows.map(({ currency, held, captured, refunded }) => ({
      currency,
      heldMinor: BigInt(held),
      capturedMinor: BigInt(captured),
      refundedMinor: BigInt(refunded),
      netMinor: BigInt(captured) - BigInt(refunded),
    }));
  }

  /** Returns the work that has to be done again, on payments that are read first. */
  private async carryOut(batch: readonly Work[]): Promise<Work[]> {
    const pages = await this.open([...new Set(batch.map((work) => work.orderId))]);
    for (const work of batch) {
      const page = pages.get(work.orderId)!;
      page.works.push(work);
      try {
        const changed = work.change(page.after);
        page.after = changed.payment;
        page.entries.push(...changed.entries.map((entry) => ({ ...entry, at: work.now })));
        page.answers.push(() => work.resolve(changed));
      } catch (error) {
        page.answers.push(() => work.reject(error));
      }
    }
    // In one order everywhere, so that the batches of two instances never wait for each other in a circle.
    const toWrite = [...pages.values()]
      .filter((page) => page.after !== page.before.payment)
      .sort((a, b) => (a.orderId < b.orderId ? -1 : 1));
    const written = toWrite.length > 0 ? await this.write(toWrite) : new Set<string>();

    const again: Work[] = [];
    for (const { orderId, before, isRead, after, works, answers } of pages.values()) {
      const isWritten = written.has(orderId);
      if (isWritten || (isRead && after === before.payment)) {
        this.known.set(orderId, isWritten ? { revision: before.revision + 1, payment: after } : before);
        answers.forEach((answer) => answer());
      } else {
        this.unsure.add(orderId);
        again.push(...works);
      }
    }
    return again;
  }

  private async open(orderIds: readonly string[]): Promise<Map<string, Page>> {
    const unsure = new Set(orderIds.filter((orderId) => this.unsure.has(orderId)));
    const read = unsure.size > 0 ? await this.read([...unsure]) : new Map<string, Found>();
    unsure.forEach((orderId) => this.unsure.delete(orderId));
    return new Map(
      orderIds.map((orderId) => {
        const isRead = unsure.has(orderId);
        const before = (isRead ? read : this.known).get(orderId) ?? NEW;
        return [orderId, { orderId, before, isRead, after: before.payment, works: [], entries: [], answers: [] }];
      }),
    );
  }

  private async read(orderIds: readonly string[]): Promise<Map<string, Found>> {
    const { rows } = await this.pool.query<Found & { order_id: string }>({
      name: 'simulator-load',
      text: 'SELECT order_id, revision, payment FROM simulated_payments WHERE order_id = ANY($1::uuid[])',
      values: [orderIds],
    });
    return new Map(rows.map(({ order_id, revision, payment }) => [order_id, { revision, payment }]));
  }

  /** Writes each payment that is still at the revision it was found at, with its entries. Returns the orders of those. */
  private async write(pages: readonly Page[]): Promise<Set<string>> {
    const entries = pages.flatMap(({ orderId, entries }) => entries.map((entry) => ({ ...entry, orderId })));
    const { rows } = await this.pool.query<{ order_id: string }>({
      name: 'simulator-write',
      text: `
        WITH written AS (
          INSERT INTO simulated_payments AS payments (order_id, revision, payment)
          SELECT order_id, loaded + 1, payment::jsonb
            FROM unnest($1::uuid[], $2::integer[], $3::text[]) AS changed (order_id, loaded, payment)
          ON CONFLICT (order_id) DO UPDATE SET revision = EXCLUDED.revision, payment = EXCLUDED.payment
           WHERE payments.revision = EXCLUDED.revision - 1
          RETURNING order_id
        ), noted AS (
          INSERT INTO simulated_ledger (order_id, type, currency, held_minor, charged_minor, at)
          SELECT order_id, type, currency, held_minor, charged_minor, at
            FROM unnest($4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::timestamptz[])
                 WITH ORDINALITY AS entry (order_id, type, currency, held_minor, charged_minor, at, nth)
            JOIN written USING (order_id)
           ORDER BY nth
        )
        SELECT order_id FROM written`,
      values: [
        pages.map((page) => page.orderId),
        pages.map((page) => page.before.revision),
        pages.map((page) => JSON.stringify(page.after)),
        entries.map((entry) => entry.orderId),
        entries.map((entry) => entry.type),
        entries.map((entry) => entry.currency),
        entries.map((entry) => entry.heldMinor),
        entries.map((entry) => entry.chargedMinor),
        entries.map((entry) => entry.at),
      ],
    });
    return new Set(rows.map((row) => row.order_id));
  }
}
