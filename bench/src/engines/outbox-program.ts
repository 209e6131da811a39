/**
 * A service of the shop as many teams write it by hand, with `pg` and Fastify. What a service decides and the messages
 * about it are written in one transaction; a loop looks into the outbox every 100 ms and posts what it finds to the other
 * services, whose inbox remembers what they have handled.
 *
 *   order ──Reserve──▶ inventory ──Reserved──▶ order ──Authorize──▶ payment ──Authorized──▶ order (confirmed)
 *   order ──Ship, Capture──▶ inventory, payment ──Shipped, Captured──▶ order (completed)
 */
import { EventEmitter, once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { openPool } from '../pool.js';
import { newServer, openProvider, post, ready, serveOrders, settingsOf } from './program.js';
import { isCompleted, markAs, type Order, place, type Queryable, reserve, ship } from './tables.js';

const CONNECTIONS = 16;
const POLL_MS = 100;
const BATCH = 100;

interface Message {
  readonly id: string;
  readonly type: string;
  readonly order: Order;
}

const { role, port, databases, urls, unitMinor } = settingsOf(process.argv);
const pool = openPool(databases[role]!, CONNECTIONS);
const app = newServer();

async function inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch((failure: Error) => (broken = failure));
    throw error;
  } finally {
    client.release(broken);
  }
}

async function send(db: Queryable, destination: string, type: string, order: Order): Promise<void> {
  await db.query({
    name: 'send',
    text: 'INSERT INTO outbox (destination, type, data) VALUES ($1, $2, $3)',
    values: [destination, type, JSON.stringify(order)],
  });
}

/** Posts the oldest messages and deletes them: all of them or, when one is not accepted, none. Returns how many. */
function publish(): Promise<number> {
  return inTransaction(async (client) => {
    // Another instance of the service skips them meanwhile.
    const { rows } = await client.query<{ seq: string; id: string; destination: string; type: string; data: Order }>({
      name: 'publish',
      text: `DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox ORDER BY seq LIMIT ${BATCH} FOR UPDATE SKIP LOCKED)
             RETURNING seq, id, destination, type, data`,
    });
    const byDestination = new Map<string, Message[]>();
    for (const { id, destination, type, data } of rows.sort((a, b) => Number(a.seq) - Number(b.seq))) {
      const messages = byDestination.get(destination) ?? [];
      byDestination.set(destination, [...messages, { id, type, order: data }]);
    }
    await Promise.all(
      [...byDestination].map(([destination, messages]) => post(`${urls[destination]}/messages`, messages)),
    );
    return rows.length;
  });
}

async function publishing(): Promise<void> {
  for (;;) {
    const published = await publish().catch(() => 0); // It is tried again after the pause.
    if (published < BATCH) await sleep(POLL_MS);
  }
}

/** Handles a message in one transaction with the note that it was handled. */
async function handled(id: string, work: (client: pg.PoolClient) => Promise<void>): Promise<void> {
  await inTransaction(async (client) => {
    const { rowCount } = await client.query({
      name: 'receive',
      text: 'INSERT INTO inbox (id) VALUES ($1) ON CONFLICT DO NOTHING',
      values: [id],
    });
    if (rowCount === 1) await work(client);
  });
}

function receive(handle: (message: Message) => Promise<void>): void {
  app.post<{ Body: Message[] }>('/messages', async ({ body }) => {
    await Promise.all(body.map(handle));
    return {};
  });
}

function serveOrder(): void {
  /** An event for each order that is completed, named by its id: clients wait for theirs. */
  const completions = new EventEmitter().setMaxListeners(0);
  serveOrders(app, unitMinor, async (order) => {
    const completed = once(completions, order.orderId);
    const isNew = await inTransaction(async (client) => {
      const isNew = await place(client, order);
      if (isNew) await send(client, 'inventory', 'Reserve', order);
      return isNew;
    });
    if (isNew || !(await isCompleted(pool, order.orderId))) await completed;
  });

  receive(async ({ id, type, order }) => {
    let isLast = false;
    await handled(id, async (client) => {
      if (type === 'Reserved') await send(client, 'payment', 'Authorize', order);
      if (type === 'Authorized') {
        await markAs(client, order.orderId, 'confirmed');
        await send(client, 'inventory', 'Ship', order);
        await send(client, 'payment', 'Capture', order);
      }
      if (type === 'Shipped' || type === 'Captured') {
        const { rows } = await client.query<{ both: boolean }>({
          name: 'fulfil',
          text: `UPDATE orders SET shipped = shipped OR $2, captured = captured OR NOT $2 WHERE order_id = $1
                 RETURNING shipped AND captured AS both`,
          values: [order.orderId, type === 'Shipped'],
        });
        isLast = rows[0]!.both;
        if (isLast) await markAs(client, order.orderId, 'completed');
      }
    });
    if (isLast) completions.emit(order.orderId);
  });
}

function serveInventory(): void {
  receive(({ id, type, order }) =>
    handled(id, async (client) => {
      if (type === 'Reserve') await reserve(client, order);
      else await ship(client, order.orderId);
      await send(client, 'order', type === 'Reserve' ? 'Reserved' : 'Shipped', order);
    }),
  );
}

function servePayment(): void {
  const provider = openProvider(databases['provider']!);
  receive(async ({ id, type, order }) => {
    // Before the transaction, which would be open for as long: asked twice, the provider gives the same answer.
    const hold = type === 'Authorize' ? await provider.authorize(order) : null;
    const capture = type === 'Capture' ? await provider.capture(order) : null;
    await handled(id, async (client) => {
      await client.query({
        name: 'pay',
        text: `INSERT INTO payments (order_id, authorization_id, capture_id) VALUES ($1, $2, $3)
               ON CONFLICT (order_id) DO UPDATE SET capture_id = EXCLUDED.capture_id`,
        values: [order.orderId, hold, capture],
      });
      await send(client, 'order', type === 'Authorize' ? 'Authorized' : 'Captured', order);
    });
  });
}

({ order: serveOrder, inventory: serveInventory, payment: servePayment })[role]!();
await app.listen({ port, host: '127.0.0.1' });
void publishing();
ready();
