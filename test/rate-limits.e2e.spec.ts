/** A caller who floods a shop is refused, at all instances together, and another one does not notice. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PostgresConnection } from '#runtime/postgres';
import { atConstantRate } from './support/constant-rate.js';
import { openShop, type Shop } from './support/shop.js';

const LIMIT = 200;
const FLOOD = 1_000;

let shop: Shop;
beforeAll(async () => {
  const limits = { RATE_LIMIT_PER_CALLER: `${LIMIT}/1h`, RATE_LIMIT_PER_ADDRESS: '50/1h' };
  shop = await openShop({ instances: { order: 2, inventory: 0, payment: 0 }, env: { order: limits } });
});
afterAll(() => shop?.close());

type Headers = Readonly<Record<string, string>>;

const get = async (instance: number, headers: Headers, path = '/prices') => {
  const answer = await fetch(`${shop.order[instance]}${path}`, { headers });
  await answer.arrayBuffer();
  return answer;
};

/** So many requests, 8 at a time, to the instances in turn: how often each status was answered. */
async function flood(requests: number, headers: Headers): Promise<Record<number, number>> {
  const found: Record<number, number> = {};
  let next = 0;
  const client = async () => {
    while (next < requests) {
      const { status } = await get(next++ % 2, headers);
      found[status] = (found[status] ?? 0) + 1;
    }
  };
  await Promise.all(Array.from({ length: 8 }, client));
  return found;
}

test('a caller who floods two instances gets the limit from both together, and others do not notice', async () => {
  let asked = 0;
  const others = Array.from({ length: 50 }, (_, n) => shop.as(`customer-${n}`, 'customer'));
  const reading = async () => expect((await get(0, others[asked++ % others.length]!)).status).toBe(200);
  const beside = atConstantRate(10, reading);
  const mallory = shop.as('mallory', 'customer');
  const statuses = await flood(FLOOD, mallory);
  const { failures, count } = await beside.stop();
  expect([failures, count > 0]).toEqual([[], true]);

  const passed = statuses[200]!;
  expect(passed + statuses[429]!).toBe(FLOOD);
  // Twice the limit, if they did not share it: each lets pass a tenth before it tells the other, and what comes meanwhile.
  expect([passed >= LIMIT, passed <= LIMIT * 1.5]).toEqual([true, true]);
});

test('requests that are refused cost no statement', async () => {
  const before = await toldOf('mallory');
  expect(await flood(200, shop.as('mallory', 'customer'))).toEqual({ 429: 200 });
  expect(await toldOf('mallory')).toEqual(before);
  expect(await toldOf('customer-0')).toBeUndefined(); // And neither do those of somebody who sends few.
});

test('who guesses tokens at one instance is refused at the other, and those go on whose tokens are known', async () => {
  const known = shop.as('cleo', 'customer');
  expect((await get(0, known)).status).toBe(200);
  const forged = { authorization: `${known['authorization']!.slice(0, -4)}AAAA` };
  const { 401: refused, 429: limited } = await flood(200, forged);
  expect([refused! >= 50, refused! <= 75, refused! + limited!]).toEqual([true, true, 200]);
  const stranger = await get(1, shop.as('dora', 'customer'));
  expect(stranger.status).toBe(429);
  expect(Number(stranger.headers.get('retry-after'))).toBeGreaterThan(3_000);
  expect((await get(0, known)).status).toBe(200);
  expect((await get(1, {}, '/health/ready')).status).toBe(200);
});

/** What the instances have told of a caller, and by which transaction. */
async function toldOf(caller: string): Promise<object | undefined> {
  const client = new PostgresConnection({ connectionString: shop.databases.order });
  await client.connect();
  const found = await client.query('SELECT points, xmin FROM rate_limits WHERE key = $1', [`caller:${caller}`]);
  await client.end();
  return found.rows[0];
}
