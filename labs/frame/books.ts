/**
 * The books of a participant: its streams, each with its present state, and every event that led there. A way brings the
 * connection, and with it the transaction; what is decided is up to the shop's own deciders.
 */
import type pg from 'pg';
import type { Decider } from '#decider';
import { entry, type EntryEvent } from '../../apps/inventory/src/domain/entry.js';
import { stock } from '../../apps/inventory/src/domain/stock.js';
import { PostgresConnection } from '#runtime/postgres';
import { type Databases, type Participant, participants } from './way.js';

/** How a transaction is kept from deciding on what another one has changed since. */
export interface Guard {
  /** Rows are locked when they are read. */
  readonly lock: boolean;
  /** A write names the revision that it was decided on. */
  readonly check: boolean;
}

/** Another transaction was faster: nothing counts, and all is done again. */
export class Outrun extends Error {}

/** A decider, of which only the beginning is needed. */
type Begun<S> = Pick<Decider<never, unknown, S>, 'initialState'>;

interface Known {
  readonly revision: number;
  readonly state: unknown;
}

export class Books {
  private readonly known = new Map<string, Known>();

  constructor(
    private readonly client: pg.ClientBase,
    private readonly schema: 'order' | 'inventory' | 'payment',
    private readonly guard: Guard,
  ) {}

  async state<S>(decider: Begun<S>, stream: string): Promise<S> {
    return (await this.load(decider, stream)).state as S;
  }

  /**
   * Decides on what is stored, and writes the events and the new state.
   * @throws Outrun when the guard checks, and the stream has moved on
   */
  async decide<C, E extends { type: string; data: object }, S>(
    decider: Decider<C, E, S>,
    stream: string,
    command: C,
  ): Promise<readonly E[]> {
    const { revision, state } = await this.load(decider, stream);
    const events = decider.decide(command, state as S);
    if (events.length === 0) return events;
    const next = { revision: revision + events.length, state: events.reduce(decider.evolve, state as S) };
    const { rowCount } = await this.client.query(
      `WITH moved AS (
         INSERT INTO "${this.schema}".streams AS s VALUES ($1, $2, $3)
         ON CONFLICT (stream) DO UPDATE SET revision = $2, state = $3 WHERE s.revision = $4 OR NOT $5
         RETURNING stream)
       INSERT INTO "${this.schema}".events (stream, revision, type, data)
       SELECT stream, $4 + n, event ->> 'type', event -> 'data'
       FROM moved, jsonb_array_elements($6) WITH ORDINALITY AS _(event, n)`,
      [stream, next.revision, next.state, revision, this.guard.check, JSON.stringify(events)],
    );
    if (rowCount === 0) throw new Outrun(stream);
    this.known.set(stream, next);
    return events;
  }

  private async load(decider: Begun<unknown>, stream: string): Promise<Known> {
    const known = this.known.get(stream);
    if (known) return known;
    const { rows } = await this.client.query<Known>(
      `SELECT revision, state FROM "${this.schema}".streams WHERE stream = $1 ${this.guard.lock ? 'FOR UPDATE' : ''}`,
      [stream],
    );
    const found = rows[0] ?? { revision: -1, state: decider.initialState };
    this.known.set(stream, found);
    return found;
  }
}

const STREAMS = (schema: string) => `
  CREATE TABLE "${schema}".streams (stream text PRIMARY KEY, revision int NOT NULL, state jsonb NOT NULL);
  CREATE TABLE "${schema}".events (position bigserial PRIMARY KEY, stream text NOT NULL, revision int NOT NULL,
    type text NOT NULL, data jsonb NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp());`;

/** The provider's books know an order's steps once each: asked again, it answers the same. */
const LEDGER = `
  CREATE TABLE provider.ledger (position bigserial PRIMARY KEY, order_id uuid NOT NULL, type text NOT NULL,
    held_minor int NOT NULL, charged_minor int NOT NULL, at timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (order_id, type));`;

/** What a coordinator has written down for itself, in transactions of its own. */
const LOG = `
  DROP SCHEMA IF EXISTS coordinator CASCADE; CREATE SCHEMA coordinator;
  CREATE TABLE coordinator.log (name text PRIMARY KEY);`;

/** Opens new books for every participant, in place of those that were there, and of what is prepared to be written. */
export async function openBooks(databases: Databases): Promise<void> {
  for (const { at, gid } of await preparedAt(databases))
    await connected(databases[at], (client) => client.query(`ROLLBACK PREPARED '${gid}'`));
  for (const schema of participants) {
    const tables = schema === 'provider' ? LEDGER : STREAMS(schema);
    await connected(databases[schema], (client) =>
      client.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE; CREATE SCHEMA "${schema}"; ${tables}`),
    );
  }
  await connected(databases.order, (client) => client.query(LOG));
}

/** The transactions that are prepared, and wait for somebody to decide: where, and by which name. */
export async function preparedAt(
  databases: Databases,
): Promise<readonly { readonly at: Participant; readonly gid: string }[]> {
  const found = [];
  for (const at of new Map(participants.map((each) => [databases[each], each])).values()) {
    const { rows } = await connected(databases[at], (client) =>
      client.query<{ gid: string }>('SELECT gid FROM pg_prepared_xacts WHERE database = current_database()'),
    );
    found.push(...rows.map(({ gid }) => ({ at, gid })));
  }
  return found;
}

/** Enters what came in, as the shop does: the stock and its entry together. */
export async function receive(databases: Databases, goods: Readonly<Record<string, number>>): Promise<void> {
  await connected(databases.inventory, async (client) => {
    const books = new Books(client, 'inventory', { lock: false, check: true });
    await client.query('BEGIN');
    for (const [sku, quantity] of Object.entries(goods)) {
      await books.decide(stock, `stock-${sku}`, { type: 'Receive', quantity });
      const booking: EntryEvent['data'] = { kind: 'receipt', sku, quantity };
      const answer = await books.state(stock, `stock-${sku}`);
      await books.decide(entry, `entry-${sku}`, { type: 'Make', booking, answer });
    }
    await client.query('COMMIT');
  });
}

/** Runs `work` on a connection of its own. */
export async function connected<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new PostgresConnection({ connectionString: url });
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
