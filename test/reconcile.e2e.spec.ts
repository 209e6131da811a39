/** `npm run reconcile` on a real shop: silent while it is healthy, also under load, and not when somebody tampers with it. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest';
import { call } from '../scripts/lib/api.js';
import { openBooks } from '../scripts/lib/reconcile/open-books.js';
import { run } from '../scripts/reconcile.js';
import type { Finding } from '../scripts/lib/reconcile/finding.js';
import { perService, type Service, services } from '../apps/shop.js';
import type { EventStore } from '#event-store';
import { SystemClock } from '#runtime';
import { freshDatabases } from '../proof/shop/open-shop.js';
import { manyOrders } from './support/many-orders.js';
import { openShop, type Shop, spawnCommand } from './support/shop.js';

let shop: Shop;
/** One settled order of each ending. */
const endings: Record<string, string> = {};
const lines = [
  { sku: 'olive-oil', quantity: 2 },
  { sku: 'honey', quantity: 1 },
];

beforeAll(async () => {
  shop = await openShop();
  await shop.setPrices({ 'olive-oil': 1299, honey: 895, truffle: 9900 });
  await shop.stockUp({ 'olive-oil': 1_000, honey: 1_000, truffle: 1 });
  const tokens = ['tok_approved', 'tok_declined', 'tok_insufficient_funds', 'tok_capture_fails_twice', 'tok_slow'];
  const placed = [
    ...Array.from({ length: 20 }, (_, i) => ({ token: tokens[i % tokens.length]!, lines })),
    { token: 'tok_charged_after_timeout', lines },
    ...Array.from({ length: 3 }, () => ({ token: 'tok_approved', lines: [{ sku: 'truffle', quantity: 2 }] })),
  ];
  const orderIds = await Promise.all(placed.map((order) => shop.place(order)));
  const cancelled = await Promise.all(Array.from({ length: 5 }, () => shop.place({ token: 'tok_slow', lines })));
  await Promise.all(
    cancelled.map((orderId) => call('POST', `${shop.order[0]}/orders/${orderId}/cancel`, undefined, shop.anybody)),
  );
  for (const orderId of [...orderIds, ...cancelled]) {
    const { status, reason } = await shop.settled(orderId);
    endings[reason ?? status] = orderId;
  }
  expect(Object.keys(endings).sort()).toEqual(['completed', 'customer', 'out-of-stock', 'payment-declined']);
}, 60_000);
afterAll(() => shop?.close());

/** Runs the command, as one does who has servers of his own. */
function reconcileAsCommand(args: readonly string[] = [], env: Record<string, string> = shop.replayEnv) {
  const child = spawnCommand('reconcile', args, env);
  const written = { stdout: '', stderr: '' };
  child.stdout!.on('data', (text) => (written.stdout += text));
  child.stderr!.on('data', (text) => (written.stderr += text));
  return new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...written })),
  );
}

/** What the command does, without its process: that takes longer than to look at the few orders here. */
async function reconcile(args: readonly string[] = []) {
  const written = { stdout: '', stderr: '' };
  const stream = (name: keyof typeof written) => ({ write: (text: string) => (written[name] += text) });
  const open = () => openBooks(urlsOf(shop.databases), new SystemClock());
  const code = await run(args, open, { stdout: stream('stdout'), stderr: stream('stderr') });
  return { code, ...written };
}

const urlsOf = (databases: Shop['databases']) =>
  perService((service) => ({ databaseUrl: databases[service], storeUrl: databases[service] }));

const HEALTHY = { code: 0, stdout: '', stderr: '' };

async function sql<R extends pg.QueryResultRow>(service: Service, text: string, values: unknown[] = []): Promise<R[]> {
  const client = new pg.Client({ connectionString: shop.databases[service] });
  await client.connect();
  try {
    return (await client.query<R>(text, values)).rows;
  } finally {
    await client.end();
  }
}

test('for a healthy shop it prints nothing', async () => {
  expect(await reconcileAsCommand()).toEqual(HEALTHY);
});

test('wrong flags are answered with the usage', async () => {
  const { code, stdout, stderr } = await reconcile(['--fix']);
  expect({ code, stdout, lines: stderr.split('\n').length }).toEqual({ code: 2, stdout: '', lines: 2 });
  expect(stderr).toContain('--json');
});

describe('it only reads', () => {
  test('a read-only role is sufficient', async () => {
    const role = `reader_${randomUUID().slice(0, 8)}`;
    const env: Record<string, string> = {};
    await sql('order', `CREATE ROLE ${role} LOGIN PASSWORD 'reader'`);
    for (const service of services) {
      await sql(service, `GRANT USAGE ON SCHEMA public, event_store TO ${role}`);
      await sql(service, `GRANT SELECT ON ALL TABLES IN SCHEMA public, event_store TO ${role}`);
      const url = new URL(shop.databases[service]);
      [url.username, url.password] = [role, 'reader'];
      env[`${service.toUpperCase()}_DATABASE_URL`] = env[`${service.toUpperCase()}_EVENT_STORE_URL`] = url.href;
    }
    expect(await reconcileAsCommand([], env)).toEqual(HEALTHY);
  });

  test('its connections refuse to write, also with a role that could', async () => {
    const { books, close } = await openBooks(urlsOf(shop.databases), new SystemClock());
    const metadata = { correlationId: 'c', causationId: 'c', schema: 1 };
    const event = { id: randomUUID(), type: 'PriceSet', data: {}, metadata };
    const append = (books.order.store as EventStore).append([
      { stream: 'price-gold', expected: 'none', events: [event] },
    ]);
    await expect(append).rejects.toThrow('read-only transaction');
    await close();
  });
});

describe('somebody tampers with the databases', () => {
  /** Does a damage, lets reconcile find it, and makes it good. Returns the findings. */
  async function damaged(service: Service, damage: string, repair: (rows: object[]) => Promise<unknown>) {
    const rows = await sql(service, damage);
    expect(rows.length).toBeGreaterThan(0);
    try {
      const { code, stdout } = await reconcile(['--json']);
      expect(code).toBe(1);
      return stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Finding);
    } finally {
      await repair(rows);
    }
  }

  const putBack = (rows: object[], service: Service, table: string) =>
    sql(service, `INSERT INTO ${table} SELECT * FROM json_populate_recordset(null::${table}, $1)`, [
      JSON.stringify(rows),
    ]);
  const deleteEvents = (where: string) => `DELETE FROM event_store.events WHERE ${where} RETURNING *`;
  const kindsOf = (findings: Finding[], orderId: string) =>
    findings.filter((finding) => finding.orderId === orderId).map(({ kind }) => kind);

  test('a lost release: the reservation still holds', async () => {
    const orderId = endings['payment-declined']!;
    const findings = await damaged(
      'inventory',
      deleteEvents(`stream = 'reservation-${orderId}' AND type = 'ReservationReleased'`),
      (rows) => putBack(rows, 'inventory', 'event_store.events'),
    );
    expect(kindsOf(findings, orderId)).toContain('lost-release');
    expect(findings.find(({ kind }) => kind === 'lost-release')!.message).toBe(
      `Order ${orderId} is rejected (payment-declined) and settled: 2 × olive-oil, 1 × honey. ` +
        `But reservation-${orderId} still holds 2 × olive-oil, 1 × honey.`,
    );
  });

  test('a lost release: the stock never got it back', async () => {
    const orderId = endings['customer']!;
    const findings = await damaged(
      'inventory',
      deleteEvents(`stream = 'stock-honey' AND type = 'StockReleased' AND data ->> 'orderId' = '${orderId}'`),
      (rows) => putBack(rows, 'inventory', 'event_store.events'),
    );
    expect(kindsOf(findings, orderId)).toEqual(['stock-and-reservation-differ']);
  });

  test('a double capture', async () => {
    const orderId = endings['completed']!;
    const findings = await damaged(
      'payment',
      `INSERT INTO simulated_ledger (order_id, type, currency, held_minor, charged_minor, at)
       VALUES ('${orderId}', 'captured', 'EUR', 0, 3493, now()) RETURNING *`,
      ([row]) =>
        sql('payment', `DELETE FROM simulated_ledger WHERE position = ${(row as { position: string }).position}`),
    );
    expect(findings.map(({ kind, orderId }) => [kind, orderId])).toEqual([['double-capture', orderId]]);
    expect(findings[0]!.message).toContain('the ledger took EUR 69.86 in 2 captures');
  });

  test('a row of a read model was changed', async () => {
    const orderId = endings['completed']!;
    const add = (n: number) =>
      `UPDATE order_summary SET total_minor = total_minor + ${n} WHERE order_id = '${orderId}'`;
    const findings = await damaged('order', `${add(1)} RETURNING *`, () => sql('order', add(-1)));
    expect(findings).toEqual([
      {
        kind: 'row-differs',
        orderId,
        books: ['order_summary', `order-${orderId}`],
        message: `Order ${orderId}: order_summary says total_minor 3494, but order-${orderId} gives total_minor 3493.`,
      },
    ]);
  });

  test('an order without its stream', async () => {
    const orderId = endings['completed']!;
    const findings = await damaged('order', deleteEvents(`stream = 'order-${orderId}'`), (rows) =>
      putBack(rows, 'order', 'event_store.events'),
    );
    expect(findings.map(({ kind, orderId }) => [kind, orderId])).toEqual([['order-without-stream', orderId]]);
    expect(findings[0]!.books).toContain('ledger');
    expect(findings[0]!.books).toContain('order_summary');
  });

  test('a ledger entry without an order', async () => {
    const orderId = randomUUID();
    const findings = await damaged(
      'payment',
      `INSERT INTO simulated_ledger (order_id, type, currency, held_minor, charged_minor, at)
       VALUES ('${orderId}', 'authorized', 'EUR', 100, 0, now()) RETURNING *`,
      () => sql('payment', `DELETE FROM simulated_ledger WHERE order_id = '${orderId}'`),
    );
    expect(findings.map(({ kind, orderId }) => [kind, orderId])).toEqual([['ledger-without-order', orderId]]);
  });

  test('what was corrected is no longer reported', async () => {
    expect(await reconcile()).toEqual(HEALTHY);
  });
});

test('while orders come in, those under way are not reported', { timeout: 240_000 }, async () => {
  let open = true;
  const tokens = ['tok_approved', 'tok_declined', 'tok_slow', 'tok_capture_fails_twice'];
  const orderIds: string[] = [];
  const customers = Array.from({ length: 3 }, async (_, customer) => {
    for (let i = customer; open; i++) {
      const orderId = await shop.place({ token: tokens[i % tokens.length]!, lines });
      if (i % 5 === 0)
        await call('POST', `${shop.order[0]}/orders/${orderId}/cancel`, undefined, shop.anybody).catch(() => {});
      orderIds.push(orderId);
      await sleep(200); // What is under way is looked at, and not how much of it a shop can do.
    }
  });
  try {
    for (let round = 0; round < 2 || orderIds.length <= 50; round++) expect(await reconcile()).toEqual(HEALTHY);
  } finally {
    open = false;
    await Promise.all(customers);
  }
  for (const orderId of orderIds) await shop.settled(orderId);
  expect(await reconcile()).toEqual(HEALTHY);
});

test('memory does not grow with the orders', { timeout: 180_000 }, async () => {
  const postgres = inject('postgresUrl');
  const databases = await freshDatabases(postgres);
  // Their 170,000 events would take more than 150 MB.
  await manyOrders(databases, 10_000);
  const env = Object.fromEntries(
    services.map((service) => [`${service.toUpperCase()}_DATABASE_URL`, databases[service]]),
  );
  expect(await reconcileAsCommand([], { ...env, NODE_OPTIONS: '--max-old-space-size=80' })).toEqual(HEALTHY);
});
