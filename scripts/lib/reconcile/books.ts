/**
 * The books that are compared: each service's events and tables, and the provider's ledger. They can only be read: the
 * types have no other methods, and every connection that reads refuses writes.
 */
import type { Ledger } from '../../../apps/payment/src/simulator/ledger.js';
import type { Service } from '../../../apps/shop.js';
import type { EventStore } from '#event-store';
import type { AnyProjection, MemoryTables, Row, Tables } from '#projections';

export interface ServiceBooks {
  /** Its events are lifted to their current shapes. */
  readonly store: Pick<EventStore, 'read' | 'subscribe' | 'head'>;
  readonly tables: Pick<Tables, 'checkpoint' | 'load'>;
  /** Every row's primary key, in pages that fit into memory. */
  readonly keys: (projection: AnyProjection) => AsyncIterable<readonly string[]>;
}

export interface Books extends Readonly<Record<Service, ServiceBooks>> {
  readonly ledger: Pick<Ledger, 'entries'>;
}

/** `ServiceBooks.keys` of tables in memory. */
export async function* keysInMemory(tables: MemoryTables, projection: AnyProjection): AsyncIterable<string[]> {
  yield tables.rows(projection).map((row) => keyOf(projection, row));
}

/** The primary key of a row, which is one column: the id of the stream that the row is about. */
export function keyOf(projection: AnyProjection, row: Row): string {
  return String(row[projection.keyColumns[0]!]);
}
