/**
 * A read model is rebuilt in an open shop: killed in the middle, resumed, compared, rolled back and forward, while
 * customers order and read at a constant rate. No request fails, and in the end the table is what the events say.
 *
 * `REBUILD_ORDERS=170000 npx vitest run test/rebuild-under-load.e2e.spec.ts` does it with a million events of order. Then it
 * measures customers' latencies with and without a rebuild, in turn, and prints them as a line of JSON.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, expect, inject, test } from 'vitest';
import { perService } from '../apps/shop.js';
import { call } from '../scripts/lib/api.js';
import { freshDatabases, openShop, type Shop } from '../proof/shop/open-shop.js';
import { atConstantRate } from './support/constant-rate.js';
import { manyOrders } from './support/many-orders.js';
import { refuseOldBuild } from './support/shop.js';

const MEASURED = process.env['REBUILD_ORDERS'] !== undefined;
const ORDERS = Number(process.env['REBUILD_ORDERS'] ?? 12_000);
const ROUNDS = 3;
/** How long each round measures without a rebuild. */
const QUIET_MS = 15_000;
const READS_PER_SECOND = 40;
const ORDERS_PER_SECOND = 10;

let shop: Shop;
afterAll(() => shop?.close());

function replay(...argv: string[]): { child: ChildProcess; ended: Promise<{ code: number | null; output: string }> } {
  const child = spawn(process.execPath, ['scripts/run.mjs', 'replay', 'order-summary', ...argv], {
    env: { ...process.env, ...shop.replayEnv },
  });
  let output = '';
  child.stdout.on('data', (text) => (output += text));
  child.stderr.on('data', (text) => (output += text));
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, output }))) };
}

/** Kills a rebuild when some of it is written, and keeps it from writing on before that. */
async function killInTheMiddle(client: pg.Client): Promise<number> {
  const { child, ended } = replay();
  const position = async () => {
    const { rows } = await client.query<{ position: string }>(
      `SELECT position FROM checkpoints WHERE name = 'projection:order-summary:rebuild'`,
    );
    return Number(rows[0]?.position ?? 0);
  };
  while ((await position()) === 0) {
    if (child.exitCode !== null) throw new Error((await ended).output);
    await sleep(1);
  }
  await client.query('BEGIN; LOCK TABLE order_summary_rebuild IN EXCLUSIVE MODE');
  child.kill('SIGKILL');
  await ended;
  await client.query('COMMIT');
  return position();
}

/** Runs one that the end of another may keep out for a moment: its last statement is still being done. */
async function replayed(...argv: string[]): Promise<{ code: number | null; output: string; seconds: number }> {
  for (;;) {
    const begun = performance.now();
    const { code, output } = await replay(...argv).ended;
    if (!output.includes('is being rebuilt already')) {
      return { code, output, seconds: (performance.now() - begun) / 1_000 };
    }
  }
}

const headOf = async (client: pg.Client) =>
  Number((await client.query('SELECT max(position) AS head FROM event_store.events')).rows[0].head);

const hashOf = async (client: pg.Client, table: string) =>
  (await client.query(`SELECT count(*), md5(string_agg(t::text, '|' ORDER BY order_id)) AS hash FROM ${table} AS t`))
    .rows[0];

test(
  'a rebuild under load survives kill -9, can be rolled back and forward, equals the fold of all events, and no request fails',
  { timeout: 120_000 + ORDERS * 8 },
  async () => {
    refuseOldBuild();
    const databases = await freshDatabases(inject('postgresUrl'));
    await manyOrders(databases, ORDERS);
    // Only locks may hold up a request here: a busy machine must not make it take longer than it may.
    shop = await openShop({ databases, env: perService(() => ({ REQUEST_TIMEOUT: '10s' })) });
    const client = new pg.Client({ connectionString: databases.order });
    await client.connect();
    try {
      /** Latencies of customers while `work` is under way. */
      const measured = async <T>(work: () => Promise<T>) => {
        const reads = atConstantRate(READS_PER_SECOND, () =>
          call('GET', `${shop.order[0]}/orders?limit=5`, undefined, shop.anybody),
        );
        const orders = atConstantRate(ORDERS_PER_SECOND, () =>
          shop.place({ lines: [{ sku: 'sku-1', quantity: 1 }], patient: false }),
        );
        const stopped = () => Promise.all([reads.stop(), orders.stop()]);
        const done = await work().catch(async (error: unknown) => {
          await stopped();
          throw error;
        });
        const [{ failures: unread, ...read }, { failures: refused, ...place }] = await stopped();
        expect([...unread, ...refused]).toEqual([]);
        return { done, read, place };
      };

      await measured(async () => {
        const killedAt = await killInTheMiddle(client);
        expect(killedAt).toBeGreaterThan(0);
        const resumed = await replayed();
        expect(resumed.output).toContain('order-summary resumes where the last run ended.\n');
        expect(resumed.output).toContain('; 0 rows differ from the previous table.');
        const events = Number(/rows from ([\d,]+) event/.exec(resumed.output)![1]!.replaceAll(',', ''));
        expect(killedAt + events).toBeLessThanOrEqual(await headOf(client)); // It read no event again.
        expect(await replayed('--compare')).toMatchObject({
          code: 0,
          output: expect.stringContaining('; 0 rows differ from the live table'),
        });
        const back = await replayed('--rollback');
        expect(back).toMatchObject({ code: 0, output: expect.stringContaining('back to the previous table') });
        const forward = await replayed('--rollback');
        expect(forward).toMatchObject({ code: 0, output: expect.stringContaining('back to the previous table') });
      });

      await shop.until('every order is settled', async () => {
        // In one statement: an order that the read model does not show yet would not be missed.
        const [found] = (
          await client.query(
            `SELECT (SELECT count(*) FROM order_summary WHERE NOT settled)::int AS unsettled,
               (SELECT max(position) FROM event_store.events) - (SELECT position FROM checkpoints
                WHERE name = 'projection:order-summary') AS behind`,
          )
        ).rows;
        return { done: found.unsettled === 0 && found.behind === '0', found };
      });
      const head = await headOf(client);
      expect(await replayed('--until', `${head}`)).toMatchObject({ code: 0 });
      const live = await hashOf(client, 'order_summary');
      expect(Number(live.count)).toBeGreaterThan(ORDERS);
      expect(await hashOf(client, `order_summary_at_${head}`)).toEqual(live);

      if (MEASURED) {
        const rounds = [];
        for (let i = 0; i < ROUNDS; i++) {
          const { done: _, ...without } = await measured(() => sleep(QUIET_MS));
          const { done, ...during } = await measured(() => replayed());
          expect(done.output).toContain('; 0 rows differ from the previous table.');
          rounds.push({ without, during, seconds: done.seconds });
        }
        const rates = { readsPerSecond: READS_PER_SECOND, ordersPerSecond: ORDERS_PER_SECOND };
        console.log(JSON.stringify({ orders: ORDERS, events: head, ...rates, rounds }));
      }
    } finally {
      await client.end();
    }
  },
);
