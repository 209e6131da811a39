/** P3: many clients reserve the same SKU, which all of them have to change. */
import { randomUUID } from 'node:crypto';
import { stock } from '../../../apps/inventory/src/domain/stock.js';
import { decideBooking, decideCheckout } from '../../../apps/inventory/src/warehouse.js';
import { DecisionQueue } from '../../../libs/event-store/src/index.js';
import { openInventory } from '../inventory.js';
import { load } from '../load.js';
import { openPool } from '../peers.js';
import type { Bench, Row, Sample } from '../row.js';
import { cause } from '../samples.js';

const CLIENTS = 16;
const SKU = 'olive-oil';
/** More than anybody can reserve here: who runs out does less. */
const UNITS = 1_000_000_000;

export const row: Row = {
  id: 'P3',
  name: `Reservations of one SKU, ${CLIENTS} clients`,
  how: `Each client reserves one unit of the same SKU for a new order, waits until it is durable, and continues with the next. After every round the units reserved are compared with the reservations made, on all sides. **Larder**: what the inventory service does: \`decideCheckout(orderId, { type: 'Reserve', … })\` through its \`DecisionQueue\`, which writes two events, the order's reservation and the stock's. **Optimistic retry**: as tutorials show it: read the row and its version, decide, and in a transaction \`UPDATE stock … WHERE sku = $1 AND version = $2\` and insert the reservation; when the version has moved, roll back and try again at once, as often as it takes. **Hot-row UPDATE**: \`UPDATE stock SET available = available - 1 … WHERE sku = $1 AND available >= 1\` and the insert of the reservation in one statement (a CTE), and so in one round trip and one transaction: the row is locked for as short as can be. Both are \`pg\` with ${CLIENTS} connections and prepared statements, on a table that leaves room on its pages for updates in place. They keep a number and a row for each order, and no history.`,
  goals: [
    {
      name: 'reservations per second, of optimistic retry',
      unit: '×',
      atLeast: 20,
      value: ({ larder, optimistic }) => larder!['rate']! / optimistic!['rate']!,
    },
    {
      name: 'reservations per second, of a hot-row UPDATE',
      unit: '×',
      atLeast: 5,
      value: ({ larder, hotRow }) => larder!['rate']! / hotRow!['rate']!,
    },
    { name: 'p99 of a reservation', unit: 'ms', atMost: 10, value: ({ larder }) => larder!['p99Ms']! },
  ],
  async open(bench) {
    const ms = bench.quick ? 300 : 3_000;
    const larder = await openLarder(bench);
    const optimistic = await openTables(bench);
    const hotRow = await openTables(bench);
    return {
      contenders: {
        larder: () => counted(larder, () => load(CLIENTS, ms, () => larder.reserve(randomUUID()))),
        optimistic: () => counted(optimistic, () => load(CLIENTS, ms, () => optimistic.retry(randomUUID()))),
        hotRow: () => counted(hotRow, () => load(CLIENTS, ms, () => hotRow.update(randomUUID()))),
      },
      async close() {
        await larder.close();
        await optimistic.close();
        await hotRow.close();
      },
    };
  },
};

interface Books {
  /** The reserved units according to the stock. */
  reserved(): Promise<number>;
}

/** @throws when the stock has not moved by exactly one unit for each reservation that was answered */
async function counted(books: Books, work: () => Promise<Sample>): Promise<Sample> {
  const before = await books.reserved();
  const sample = await work();
  const moved = (await books.reserved()) - before;
  if (moved !== sample['calls']) throw new Error(`${sample['calls']} reservations moved ${moved} units.`);
  return sample;
}

async function openLarder(bench: Bench) {
  const inventory = await openInventory(await bench.database());
  const queue = new DecisionQueue(inventory.transactor(), { maxBatch: 256 });
  await queue.decide(decideBooking(randomUUID(), { kind: 'receipt', sku: SKU, quantity: UNITS }, cause()));
  return {
    async reserve(orderId: string) {
      const lines = [{ sku: SKU, quantity: 1 }];
      const { result } = await queue.decide(decideCheckout(orderId, { type: 'Reserve', lines }, cause()));
      if (result[0]?.type !== 'ReservationMade') throw new Error(`${orderId} was not reserved.`);
    },
    /** Folded from all events. */
    async reserved() {
      let state = stock.initialState;
      for await (const event of inventory.ports.store.read(`stock-${SKU}`)) state = stock.evolve(state, event as never);
      return state.reserved;
    },
    close: inventory.close,
  };
}

async function openTables(bench: Bench) {
  const pool = openPool(await bench.database(), CLIENTS);
  await pool.query(`
    CREATE TABLE stock (
      sku text PRIMARY KEY, available int NOT NULL, reserved int NOT NULL, version int NOT NULL
    ) WITH (fillfactor = 50);
    CREATE TABLE reservations (
      order_id uuid PRIMARY KEY, sku text NOT NULL, quantity int NOT NULL, metadata json NOT NULL,
      made_at timestamptz NOT NULL DEFAULT now()
    );
    INSERT INTO stock VALUES ('${SKU}', ${UNITS}, 0, 0)`);
  return {
    async retry(orderId: string) {
      for (;;) {
        const { rows } = await pool.query<{ available: number; version: number }>({
          name: 'read',
          text: 'SELECT available, version FROM stock WHERE sku = $1',
          values: [SKU],
        });
        const { available, version } = rows[0]!;
        if (available < 1) throw new Error(`${orderId}: out of stock.`);
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          const { rowCount } = await client.query({
            name: 'take',
            text: `UPDATE stock SET available = available - 1, reserved = reserved + 1, version = version + 1
                   WHERE sku = $1 AND version = $2`,
            values: [SKU, version],
          });
          if (rowCount === 1) {
            await client.query({
              name: 'record',
              text: 'INSERT INTO reservations (order_id, sku, quantity, metadata) VALUES ($1, $2, 1, $3)',
              values: [orderId, SKU, JSON.stringify(cause())],
            });
          }
          await client.query(rowCount === 1 ? 'COMMIT' : 'ROLLBACK');
          if (rowCount === 1) return;
        } finally {
          client.release();
        }
      }
    },
    async update(orderId: string) {
      const { rowCount } = await pool.query({
        name: 'reserve',
        text: `WITH taken AS (
                 UPDATE stock SET available = available - 1, reserved = reserved + 1
                 WHERE sku = $1 AND available >= 1
                 RETURNING sku)
               INSERT INTO reservations (order_id, sku, quantity, metadata) SELECT $2, sku, 1, $3 FROM taken`,
        values: [SKU, orderId, JSON.stringify(cause())],
      });
      if (rowCount !== 1) throw new Error(`${orderId} was not reserved.`);
    },
    /** @throws when the reservations do not add up to the stock */
    async reserved() {
      const { rows } = await pool.query<{ reserved: number; recorded: number }>(
        'SELECT reserved, (SELECT count(*)::int FROM reservations) AS recorded FROM stock',
      );
      const { reserved, recorded } = rows[0]!;
      if (reserved !== recorded) throw new Error(`${recorded} reservations hold ${reserved} units.`);
      return reserved;
    },
    close: () => pool.end(),
  };
}
