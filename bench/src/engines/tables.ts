/**
 * The tables of a shop that keeps its state in rows: orders and stock. Every statement may be repeated, so it changes
 * something once for each order, whoever retries it.
 */
import type pg from 'pg';
import { openPool } from '../pool.js';

export interface Order {
  readonly orderId: string;
  readonly customerId: string;
  readonly sku: string;
  readonly quantity: number;
  readonly totalMinor: number;
  readonly token: string;
}

/** A pool or a client: one statement, or one of a transaction. */
export type Queryable = Pick<pg.ClientBase, 'query'>;

export const ORDERS = `
  CREATE TABLE orders (
    order_id    uuid PRIMARY KEY,
    customer_id uuid NOT NULL,
    sku         text NOT NULL,
    quantity    int NOT NULL,
    total_minor bigint NOT NULL,
    status      text NOT NULL DEFAULT 'placed',
    shipped     bool NOT NULL DEFAULT false,
    captured    bool NOT NULL DEFAULT false,
    placed_at   timestamptz NOT NULL DEFAULT now()
  )`;

/** Rows of stock are changed all the time, and leave room on their pages for that. */
export const STOCK = `
  CREATE TABLE stock (
    sku       text PRIMARY KEY,
    available int NOT NULL CHECK (available >= 0),
    reserved  int NOT NULL DEFAULT 0 CHECK (reserved >= 0)
  ) WITH (fillfactor = 50);
  CREATE TABLE reservations (
    order_id uuid PRIMARY KEY,
    sku      text NOT NULL,
    quantity int NOT NULL,
    status   text NOT NULL DEFAULT 'reserved'
  )`;

/** Creates these tables in a database. */
export async function createTables(url: string, ...tables: string[]): Promise<void> {
  const pool = openPool(url, 1);
  await pool.query(tables.join(';'));
  await pool.end();
}

/** Puts so many units of each SKU on the shelf. */
export async function stockUp(url: string, skus: readonly string[], units: number): Promise<void> {
  const pool = openPool(url, 1);
  await pool.query('INSERT INTO stock (sku, available) SELECT unnest($1::text[]), $2', [skus, units]);
  await pool.end();
}

/** Returns whether the order is new. */
export async function place(db: Queryable, order: Order): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'place',
    text: `INSERT INTO orders (order_id, customer_id, sku, quantity, total_minor) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING`,
    values: [order.orderId, order.customerId, order.sku, order.quantity, order.totalMinor],
  });
  return rowCount === 1;
}

export async function markAs(db: Queryable, orderId: string, status: 'confirmed' | 'completed'): Promise<void> {
  await db.query({
    name: 'mark-as',
    text: 'UPDATE orders SET status = $2 WHERE order_id = $1',
    values: [orderId, status],
  });
}

export async function isCompleted(db: Queryable, orderId: string): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'is-completed',
    text: `SELECT FROM orders WHERE order_id = $1 AND status = 'completed'`,
    values: [orderId],
  });
  return rowCount === 1;
}

/** @throws when there is not enough of it */
export async function reserve(db: Queryable, { orderId, sku, quantity }: Order): Promise<void> {
  const { rowCount } = await db.query({
    name: 'reserve',
    // Two at once for one order: the second finds the row of the first, and fails as a whole.
    text: `WITH taken AS (
             UPDATE stock SET available = available - $3, reserved = reserved + $3
             WHERE sku = $2 AND available >= $3 AND NOT EXISTS (SELECT FROM reservations WHERE order_id = $1)
             RETURNING sku)
           INSERT INTO reservations (order_id, sku, quantity) SELECT $1, sku, $3 FROM taken`,
    values: [orderId, sku, quantity],
  });
  if (rowCount === 1) return;
  const before = await db.query({
    name: 'reserved',
    text: 'SELECT FROM reservations WHERE order_id = $1',
    values: [orderId],
  });
  if (before.rowCount === 0) throw new Error(`There is not enough of ${sku} for ${orderId}.`);
}

export async function ship(db: Queryable, orderId: string): Promise<void> {
  await db.query({
    name: 'ship',
    text: `WITH shipped AS (
             UPDATE reservations SET status = 'shipped' WHERE order_id = $1 AND status = 'reserved'
             RETURNING sku, quantity)
           UPDATE stock SET reserved = reserved - quantity FROM shipped WHERE stock.sku = shipped.sku`,
    values: [orderId],
  });
}
