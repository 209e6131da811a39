/** Rows of the order summary as one would write them by hand: one statement, an array for each column. */
import type { OrderSummaryRow } from '../../apps/order/src/read-models/order-summary.js';

const COLUMNS = {
  order_id: 'uuid',
  customer_id: 'uuid',
  status: 'text',
  reason: 'text',
  settled: 'boolean',
  lines: 'jsonb',
  total_minor: 'bigint',
  currency: 'text',
  placed_at: 'timestamptz',
  updated_at: 'timestamptz',
  recipient: 'text',
} as const satisfies Record<keyof OrderSummaryRow, string>;
const NAMES = Object.keys(COLUMNS) as (keyof OrderSummaryRow)[];

/** The named statement that writes `rows` into `table`. */
export function bareUpsert(table: string, rows: readonly OrderSummaryRow[]) {
  return {
    name: `upsert ${table}`,
    text: UPSERT.replace('TABLE', table),
    values: NAMES.map((name) => rows.map((row) => (name === 'lines' ? JSON.stringify(row.lines) : row[name]))),
  };
}

const UPSERT = `INSERT INTO TABLE (${NAMES.join(', ')})
  SELECT * FROM UNNEST(${Object.values(COLUMNS)
    .map((type, i) => `$${i + 1}::${type}[]`)
    .join(', ')})
  ON CONFLICT (order_id) DO UPDATE SET ${NAMES.map((name) => `${name} = EXCLUDED.${name}`).join(', ')}`;
