/** P7: rows of a read model, written in batches. */
import { PrismaPg } from '@prisma/adapter-pg';
import type pg from 'pg';
import { orderSummary, type OrderSummaryRow } from '../../../apps/order/src/read-models/order-summary.js';
import { PostgresTables } from '../../../libs/projections/src/postgres/index.js';
import { SystemIds } from '../../../libs/runtime/src/index.js';
import { PrismaClient } from '../../../prisma/order/client/client.js';
import { migrate } from '../../../scripts/migrate.js';
import { bareUpsert } from '../bare-upsert.js';
import { MIGRATIONS } from '../events.js';
import { openPool } from '../peers.js';
import type { Row, Sample } from '../row.js';

const ROWS = 1_000;

export const row: Row = {
  id: 'P7',
  name: `Projection writes, ${ROWS.toLocaleString('en')} rows each`,
  how: `New rows of \`order_summary\`, ${ROWS.toLocaleString('en')} at a time, into tables with the same three indexes that are emptied before each round. None waits for the disk (\`synchronous_commit\` is off for all three): a read model can be built again. **Larder** writes as its projector does, the rows and the checkpoint in one statement, on top of the previous checkpoint. **Bare** \`pg\` sends the rows alone, as a prepared \`INSERT … SELECT FROM UNNEST … ON CONFLICT DO UPDATE\`. **Prisma** is the order service's own client on \`@prisma/adapter-pg\`, with \`createMany({ data, skipDuplicates: true })\`, which could not update a row.`,
  goals: [
    {
      name: "rows per second, of createMany's",
      unit: '×',
      atLeast: 8,
      value: ({ larder, prisma }) => larder!['rate']! / prisma!['rate']!,
    },
    {
      name: 'rows per second, of bare UNNEST',
      unit: '%',
      atLeast: 80,
      value: ({ larder, bare }) => (100 * larder!['rate']!) / bare!['rate']!,
    },
  ],
  async open(bench) {
    const ms = bench.quick ? 500 : 2_000;
    const ids = new SystemIds();
    const database = async () => {
      const url = await bench.database();
      await migrate(url, MIGRATIONS);
      return `${url}?options=-c%20synchronous_commit%3Doff`;
    };
    const prismaUrl = await database();
    const pools = {
      larder: openPool(await database(), 1),
      bare: openPool(await database(), 1),
      prisma: openPool(prismaUrl, 1),
    };
    const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: prismaUrl, max: 1 }) });

    /** Makes rows and writes them, again and again; only the writing is counted. */
    const measured = async (pool: pg.Pool, write: (rows: OrderSummaryRow[]) => Promise<unknown>): Promise<Sample> => {
      await pool.query('TRUNCATE order_summary, checkpoints');
      let written = 0;
      let spent = 0;
      while (spent < ms) {
        const rows = Array.from({ length: ROWS }, () => newRow(ids));
        const begin = performance.now();
        await write(rows);
        spent += performance.now() - begin;
        written += rows.length;
      }
      const { rows } = await pool.query<{ count: number }>('SELECT count(*)::int AS count FROM order_summary');
      if (rows[0]!.count !== written) throw new Error(`${written} rows were written, and ${rows[0]!.count} are there.`);
      return { rate: (written * 1_000) / spent, rows: written };
    };

    return {
      contenders: {
        larder: () => {
          const tables = new PostgresTables(pools.larder); // It keeps what it knows of a table, and this one is emptied.
          let from = 0n;
          return measured(pools.larder, async (rows) => {
            const change = { projection: orderSummary, from, to: from + BigInt(rows.length), deletes: [] };
            await tables.commit({ ...change, upserts: rows as never });
            from = change.to;
          });
        },
        bare: () => measured(pools.bare, (rows) => pools.bare.query(bareUpsert('order_summary', rows))),
        prisma: () =>
          measured(pools.prisma, (rows) =>
            prisma.orderSummary.createMany({
              data: rows.map((row) => ({
                orderId: row.order_id,
                customerId: row.customer_id,
                status: row.status,
                reason: row.reason,
                settled: row.settled,
                lines: row.lines as object[],
                totalMinor: row.total_minor,
                currency: row.currency,
                placedAt: row.placed_at,
                updatedAt: row.updated_at,
              })),
              skipDuplicates: true,
            }),
          ),
      },
      async close() {
        await prisma.$disconnect();
        await Promise.all(Object.values(pools).map((pool) => pool.end()));
      },
    };
  },
};

function newRow(ids: SystemIds): OrderSummaryRow {
  const unitPrice = { amountMinor: 1299, currency: 'EUR' };
  const at = new Date().toISOString();
  return {
    order_id: ids.next(),
    customer_id: ids.next(),
    status: 'placed',
    reason: null,
    settled: false,
    lines: [
      { sku: 'olive-oil', quantity: 2, unitPrice },
      { sku: 'bread', quantity: 1, unitPrice },
    ],
    total_minor: 3897,
    currency: 'EUR',
    placed_at: at,
    updated_at: at,
    recipient: null,
  };
}
