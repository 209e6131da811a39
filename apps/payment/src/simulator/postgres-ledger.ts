/**
 * The books in Postgres, in the tables `simulated_payments` and `simulated_ledger`.
 *
 *   change ──▶ waiting ──▶ a batch: load its payments ─▶ decide in memory ─▶ write what is still as it was loaded
 *                 ▲                                                             │
 *                 └──────── another instance was faster: once more ◀────────────┘
 *
 * Changes that come while a batch is under way are the next batch: two statements and one commit for all of them, and
 * no transaction stays open in between.
 */
import type pg from 'pg';
import { Batcher } from '#runtime';
import { Ledger, type LedgerEntry, type Totals } from './ledger.js';
import type { Change, SimulatedPayment } from './payment.js';

const MAX_BATCH = 500;

interface Work {
  readonly orderId: string;
  readonly now: Date;
  readonly change: (payment: SimulatedPayment | undefined) => Change<unknown>;
  readonly resolve: (changed: Change<unknown>) => void;
  readonly reject: (error: unknown) => void;
}

/** A payment as a batch found it, and what the batch makes of it. */
interface Page {
  readonly orderId: string;
  /** -1 when there was none. */
  readonly revision: number;
  readonly before: SimulatedPayment | undefined;
  after: SimulatedPayment | undefined;
  readonly carriedOut: { readonly work: Work; readonly changed: Change<unknown> }[];
}

export class PostgresLedger extends Ledger {
  private readonly batches = new Batcher<Work>(MAX_BATCH, (batch) => this.carryOut(batch));

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

  /** Returns the work that has to be done again, because another instance changed its payment meanwhile. */
  private async carryOut(batch: readonly Work[]): Promise<Work[]> {
    const pages = await this.load([...new Set(batch.map((work) => work.orderId))]);
    for (const work of batch) {
      const page = pages.get(work.orderId)!;
      try {
        const changed = work.change(page.after);
        page.after = changed.payment;
        page.carriedOut.push({ work, changed });
      } catch (error) {
        work.reject(error);
      }
    }
    const unchanged = [...pages.values()].filter((page) => page.after === page.before);
    // In one order everywhere, so that the batches of two instances never wait for each other in a circle.
    const toWrite = [...pages.values()]
      .filter((page) => page.after !== page.before)
      .sort((a, b) => (a.orderId < b.orderId ? -1 : 1));
    const written = toWrite.length > 0 ? await this.write(toWrite) : new Set<string>();

    const overtaken = toWrite.filter((page) => !written.has(page.orderId));
    for (const page of [...unchanged, ...toWrite.filter((page) => written.has(page.orderId))]) {
      page.carriedOut.forEach(({ work, changed }) => work.resolve(changed));
    }
    return overtaken.flatMap((page) => page.carriedOut.map(({ work }) => work));
  }

  private async load(orderIds: readonly string[]): Promise<Map<string, Page>> {
    const { rows } = await this.pool.query<{ order_id: string; revision: number; payment: SimulatedPayment }>({
      name: 'simulator-load',
      text: 'SELECT order_id, revision, payment FROM simulated_payments WHERE order_id = ANY($1::uuid[])',
      values: [orderIds],
    });
    const found = new Map(rows.map((row) => [row.order_id, row]));
    return new Map(
      orderIds.map((orderId) => {
        const { revision = -1, payment } = found.get(orderId) ?? {};
        return [orderId, { orderId, revision, before: payment, after: payment, carriedOut: [] }];
      }),
    );
  }

  /** Writes each payment that is still at the revision it was loaded at, with its entries. Returns the orders of those. */
  private async write(pages: readonly Page[]): Promise<Set<string>> {
    const entries = pages.flatMap((page) =>
      page.carriedOut.flatMap(({ work, changed }) =>
        changed.entries.map((entry) => ({ ...entry, orderId: page.orderId, at: work.now })),
      ),
    );
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
        pages.map((page) => page.revision),
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
