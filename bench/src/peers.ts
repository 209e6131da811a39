/** The peers that several rows know, set up as their own documentation advises. */
import { getPostgreSQLEventStore, type PostgresEventStore } from '@event-driven-io/emmett-postgresql';
import { openPool } from './pool.js';

export { openPool };

/**
 * Emmett's store, its schema migrated ahead. The pool is ours, so that it can be as wide as there are clients, which is
 * faster than its own of ten; it takes one in `connectionOptions`.
 */
export async function openEmmett(
  url: string,
  connections: number,
): Promise<{ store: PostgresEventStore; close(): Promise<void> }> {
  const pool = openPool(url, connections);
  const store = getPostgreSQLEventStore(url, { connectionOptions: { pool } });
  await store.schema.migrate();
  return {
    store,
    async close() {
      await store.close();
      await pool.end();
    },
  };
}

/** What an event store needs of a table at least: a global order, and each stream's revisions once. */
const EVENTS = `CREATE TABLE events (
  position    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  stream      text NOT NULL,
  revision    int NOT NULL,
  id          uuid NOT NULL,
  type        text NOT NULL,
  data        json NOT NULL,
  metadata    json NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (stream, revision)
)`;

/** A table of events that is written one row at a time, each in a transaction of its own. */
export async function openBareEvents(url: string, connections: number) {
  const pool = openPool(url, connections);
  await pool.query(EVENTS);
  return {
    /** Appends one event to a new stream. */
    insert(stream: string, { id, type, data, metadata }: { id: string; type: string; data: object; metadata: object }) {
      return pool.query({
        name: 'insert',
        text: 'INSERT INTO events (stream, revision, id, type, data, metadata) VALUES ($1, 0, $2, $3, $4, $5) RETURNING position',
        values: [stream, id, type, JSON.stringify(data), JSON.stringify(metadata)],
      });
    },
    close: () => pool.end(),
  };
}
