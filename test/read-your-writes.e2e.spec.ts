/** What docs/consistency.md promises, on two instances of the order service. */
import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Response } from 'supertest';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readThroughGateways, writeThenRead } from '../proof/consistency.js';
import { checkInstants } from '../proof/shown.js';
import request from './support/http.js';
import { openShop, type Shop } from './support/shop.js';

const POSITION = 'Larder-Position';

let shop: Shop;
let database: pg.Client;
beforeAll(async () => {
  shop = await openShop({ instances: { order: 2 }, env: { order: { READ_TIMEOUT: '20s', REQUEST_TIMEOUT: '30s' } } });
  await shop.setPrices({ coffee: 799 });
  await shop.stockUp({ coffee: 100_000 });
  database = new pg.Client({ connectionString: shop.databases.order });
  await database.connect();
});
afterAll(async () => {
  await database?.end();
  await shop?.close();
});

const order = (instance = 0) => request(shop.order[instance]!, shop);
const positionOf = (answer: Response): string => {
  expect(answer.headers['larder-position']).toMatch(/^(order|inventory|payment):\d+$/);
  return answer.headers['larder-position']!;
};

function place({
  instance = 0,
  token = 'tok_approved',
  customerId = randomUUID(),
  key = randomUUID(),
  sku = 'coffee',
  wait,
  position,
}: {
  instance?: number;
  token?: string;
  customerId?: string;
  key?: string;
  sku?: string;
  wait?: number;
  position?: string;
} = {}) {
  const post = order(instance).post('/orders').set('Idempotency-Key', key);
  if (wait !== undefined) void post.set('Prefer', `wait=${wait}`);
  if (position !== undefined) void post.set(POSITION, position);
  return post.send({ customerId, lines: [{ sku, quantity: 1 }], payment: { token } });
}

/** Does something while no projector of the order service can move on. */
async function whileProjectorsStandStill<T>(work: () => Promise<T>): Promise<T> {
  await database.query('BEGIN');
  try {
    await database.query("SELECT FROM checkpoints WHERE name LIKE 'projection:%' FOR UPDATE");
    return await work();
  } finally {
    await database.query('ROLLBACK');
  }
}

test('through two gateways, nobody with a cookie jar reads anything stale, also from a cache; without one, some do', async () => {
  const gateways = await Promise.all([shop.addGateway(), shop.addGateway()]);
  const { withJar, bare, hits } = await readThroughGateways(shop, gateways, 40);
  expect([withJar.ms.length, withJar.stale]).toEqual([400, 0]);
  expect(bare.stale).toBeGreaterThan(0);
  expect(hits).toBeGreaterThan(0);
});

test('read models show facts since when their services say, as polls from outside find, also while they wait for a lock', async () => {
  const { facts, wrong } = await checkInstants(shop, 16);
  expect(wrong).toEqual([]);
  expect(facts).toBe(160);
});

describe('a read at another instance', () => {
  test('shows the write whose position it sends: none of 200 reads is stale, and without the position some are', async () => {
    const { positioned, bare } = await writeThenRead(shop, 200);
    expect([positioned.ms.length, positioned.stale]).toEqual([200, 0]);
    expect(bare.ms.length).toBe(200);
    expect(bare.stale).toBeGreaterThan(0);
  });

  test('waits until its read model has caught up; without the position it returns the current state', async () => {
    let waiting: Promise<Response> | undefined;
    let answered = false;
    const orderId = await whileProjectorsStandStill(async () => {
      const placed = await place({ instance: 0 });
      const { orderId } = placed.body;
      waiting = order(1)
        .get(`/orders/${orderId}`)
        .set(POSITION, positionOf(placed))
        .then((answer) => {
          answered = true;
          return answer;
        });
      for (let looks = 0; looks < 5; looks++) {
        expect((await order(1).get(`/orders/${orderId}`)).status).toBe(404);
      }
      expect(answered).toBe(false);
      return orderId;
    });
    expect(await waiting).toMatchObject({ status: 200, body: { orderId } });
  });

  test('gets 503 after READ_TIMEOUT, with the lag and when to retry', async () => {
    await shop.add('order', { READ_TIMEOUT: '200ms' });
    await whileProjectorsStandStill(async () => {
      const placed = await place();
      const read = await order(2).get('/orders').set(POSITION, positionOf(placed)).expect(503);
      expect(read.headers['retry-after']).toBe('1');
      expect(read.body).toMatchObject({ code: 'read-model-behind', lag: expect.any(Number) });
      expect(read.body.lag).toBeGreaterThan(0);
    });
  });

  test('shows no less than an earlier read of the history whose position it sends; without it, it may', async () => {
    const { orderId } = (await place({ token: 'tok_slow' }).expect(202)).body;
    await shop.until('the order is shown', async () => {
      const { status } = await order(1).get(`/orders/${orderId}`);
      return { done: status === 200, found: status };
    });
    let waiting: Promise<Response> | undefined;
    await whileProjectorsStandStill(async () => {
      const stale = (await order(1).get(`/orders/${orderId}`)).body.status;
      expect(stale).not.toBe('completed');
      const completed = await shop.until('the order is completed', async () => {
        const found = await order(0).get(`/orders/${orderId}/history`);
        return { done: found.body.order.status === 'completed', found };
      });
      expect((await order(1).get(`/orders/${orderId}`)).body.status).toBe(stale);
      const read = order(1).get(`/orders/${orderId}`).set(POSITION, positionOf(completed));
      waiting = read.then((answer) => answer);
    });
    expect(await waiting).toMatchObject({ status: 200, body: { status: 'completed' } });
  });

  test('is never older than an earlier read of the history or the read model whose position it sends', async () => {
    const ranks = ['placed', 'stock-reserved', 'confirmed', 'completed'];
    const rankOf = ({ body }: Response, status: string) => {
      expect(ranks, JSON.stringify(body)).toContain(status);
      return ranks.indexOf(status);
    };
    const follow = async () => {
      const { orderId } = (await place()).body;
      let rank = 0;
      while (rank < ranks.length - 1) {
        const history = await order(0).get(`/orders/${orderId}/history`).expect(200);
        rank = rankOf(history, history.body.order.status);
        const read = await order(1).get(`/orders/${orderId}`).set(POSITION, positionOf(history)).expect(200);
        expect(rankOf(read, read.body.status)).toBeGreaterThanOrEqual(rank);
        const again = await order(0).get(`/orders?limit=200`).set(POSITION, positionOf(read)).expect(200);
        const found = again.body.items.find((each: { orderId: string }) => each.orderId === orderId);
        expect(rankOf(again, found.status)).toBeGreaterThanOrEqual(rankOf(read, read.body.status));
      }
    };
    await Promise.all(Array.from({ length: 8 }, follow));
  });

  test('returns a position, also when it finds nothing', async () => {
    const newest = positionOf(await place());
    const missing = await order(1).get(`/orders/${randomUUID()}`).set(POSITION, newest).expect(404);
    const number = (position: string) => Number(position.split(':')[1]);
    expect(number(positionOf(missing))).toBeGreaterThanOrEqual(number(newest));
  });
});

test('every write, and every repetition of it, returns the position at which a read sees it', async () => {
  const [key, customerId] = [randomUUID(), randomUUID()];
  const first = await place({ key, customerId, instance: 0 }).expect(202);
  const again = await place({ key, customerId, instance: 1 }).expect(202);
  expect(again.body).toEqual(first.body);
  const read = await order(1).get(`/orders/${first.body.orderId}`).set(POSITION, positionOf(again)).expect(200);
  expect(read.body).toMatchObject({ orderId: first.body.orderId });

  const priced = await order(0).put('/prices/saffron').send({ amountMinor: 4999, currency: 'EUR' }).expect(200);
  const { body } = await order(1).get('/prices').set(POSITION, positionOf(priced)).expect(200);
  expect(body.items).toContainEqual(expect.objectContaining({ sku: 'saffron' }));
  positionOf(await order(1).put('/prices/saffron').send({ amountMinor: 4999, currency: 'EUR' }).expect(200));

  const cancelled = await order(0).post(`/orders/${first.body.orderId}/cancel`);
  if (cancelled.status === 202) {
    const { body } = await order(1).get(`/orders/${first.body.orderId}`).set(POSITION, positionOf(cancelled));
    expect(body.status).toBe('cancelled');
  } else expect(cancelled.body.code).toBe('order-confirmed');

  const inventory = request(shop.inventory[0]!, shop);
  for (const [kind, units] of Object.entries({ receipts: { quantity: 3 }, recounts: { counted: 2 } })) {
    const entered = await inventory
      .post(`/stock/saffron/${kind}`)
      .set('Idempotency-Key', randomUUID())
      .send(units)
      .expect(201);
    const stock = await inventory.get('/stock/saffron').set(POSITION, positionOf(entered)).expect(200);
    expect(entered.body).toMatchObject(stock.body);
  }
});

test("an operator's decision returns its position", async () => {
  const { orderId } = (await place({ token: 'tok_capture_refused' })).body;
  await shop.until(`order ${orderId} needs attention`, async () => {
    const { items } = (await order().get('/admin/attention')).body;
    return { done: items.some((each: { orderId: string }) => each.orderId === orderId), found: items };
  });
  const decided = await order(0)
    .post(`/admin/attention/${orderId}`)
    .send({ decision: 'call-off', reason: 'The customer called.' })
    .expect(200);
  const { body } = await order(1).get(`/orders/${orderId}`).set(POSITION, positionOf(decided)).expect(200);
  expect(body).toMatchObject({ status: 'cancelled', reason: 'operator' });
});

describe('a position', () => {
  const reads = [`/orders`, '/prices', `/orders/${randomUUID()}`, `/orders/${randomUUID()}/history`];

  test.each([
    ['order:abc', 'invalid-position'],
    ['order', 'invalid-position'],
    ['order:1;inventory:2', 'invalid-position'],
    ['basket:7', 'unknown-position'],
    ['order:9007199254740993', 'unknown-position'],
  ])('%s is refused as %s by every read, at once', async (position, code) => {
    for (const path of reads) {
      const { body } = await order().get(path).set(POSITION, position).expect(400);
      expect(body).toMatchObject({ code, detail: expect.stringContaining(POSITION) });
    }
  });

  test('of another service is ignored, and of several each service uses its own', async () => {
    const placed = await place({ wait: 20 }).expect(200);
    const several = `inventory:9007199254740993, ${positionOf(placed)}, payment:9007199254740993`;
    await order(1).get(`/orders/${placed.body.orderId}`).set(POSITION, several).expect(200);
  });

  test('that another instance returned a moment ago is never rejected as unknown', async () => {
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        for (let i = 0; i < 10; i++) {
          const placed = await place({ instance: i % 2, sku: 'coffee' }).expect(202);
          const path = `/orders/${placed.body.orderId}${i % 3 === 0 ? '/history' : ''}`;
          await order((i + 1) % 2)
            .get(path)
            .set(POSITION, positionOf(placed))
            .expect(200);
        }
      }),
    );
  });
});

describe('Prefer: wait', () => {
  test('returns the wait that was granted, whether the order is final or not', async () => {
    const final = await place({ wait: 20 }).expect(200);
    expect(final.headers['preference-applied']).toBe('wait=20');
    expect(final.body.settled).toBe(true);
    const read = await order(1).get(`/orders/${final.body.orderId}`).set(POSITION, positionOf(final)).expect(200);
    expect(read.body).toEqual(final.body);
    expect(read.headers['preference-applied']).toBeUndefined();

    const early = await place({ token: 'tok_slow', wait: 0 }).expect(202);
    expect(early.headers['preference-applied']).toBe('wait=0');
    expect(early.body.status).toBe('placed');
    const later = await order(1)
      .get(`/orders/${early.body.orderId}`)
      .set({ [POSITION]: positionOf(early), Prefer: 'wait=3600' })
      .expect(200);
    expect(later.headers['preference-applied']).toBe('wait=30');
    expect(later.body).toMatchObject({ status: 'completed', settled: true });
    const settled = await order(0)
      .get(`/orders/${early.body.orderId}`)
      .set({ [POSITION]: positionOf(later), Prefer: 'wait=1' })
      .expect(200);
    expect(settled.headers['preference-applied']).toBe('wait=1');
    expect(settled.body).toEqual(later.body);
  });
});

describe('an order as of a moment', () => {
  interface Event {
    readonly revision: number;
    readonly type: string;
    readonly at: string;
    readonly data: { readonly reason?: string };
  }
  const STATUS: Record<string, string> = {
    OrderPlaced: 'placed',
    OrderStockReserved: 'stock-reserved',
    OrderConfirmed: 'confirmed',
    OrderCompleted: 'completed',
    OrderRejected: 'rejected',
    OrderCancelled: 'cancelled',
  };

  /** How events leave an order, worked out here and not by the code of the service. */
  function foldByHand(events: readonly Event[]) {
    const decisive = events.filter(({ type }) => STATUS[type]);
    const { type, data } = decisive.at(-1)!;
    const owed = { OrderRejected: ['OrderStockReleased'], OrderCompleted: [] as string[] }[type];
    const settled = owed?.every((each) => events.some((event) => event.type === each)) ?? false;
    return { status: STATUS[type], ...(data.reason && { reason: data.reason }), settled };
  }

  test.each(['tok_approved', 'tok_declined'])('is the fold of its events up to then (%s)', async (token) => {
    const { orderId } = (await place({ token, wait: 20 }).expect(200)).body;
    const at = async (asOf: string | number) =>
      (await order(1).get(`/orders/${orderId}/history`).query({ asOf }).expect(200)).body;
    const { events }: { events: Event[] } = (await order().get(`/orders/${orderId}/history`).expect(200)).body;
    expect(events.length).toBeGreaterThanOrEqual(4);
    for (const { revision, at: time } of events) {
      const past = events.slice(0, revision + 1);
      expect(await at(revision)).toEqual({ order: expect.objectContaining(foldByHand(past)), events: past });
      // Events of one moment come together.
      const then = events.filter((event) => Date.parse(event.at) <= Date.parse(time));
      expect(await at(time)).toEqual({ order: expect.objectContaining(foldByHand(then)), events: then });
    }
    const now = { order: expect.objectContaining(foldByHand(events)), events };
    expect(await at(events.length + 5)).toEqual(now);
    expect(await at('2199-01-01T00:00:00Z')).toEqual(now);
    expect(await at('2199-01-01T00:00:00+01:00')).toEqual(now);
  });

  test('before its first event is 404, with another code than an unknown order', async () => {
    const { orderId, placedAt } = (await place()).body;
    const before = new Date(Date.parse(placedAt) - 60_000).toISOString();
    const early = await order().get(`/orders/${orderId}/history`).query({ asOf: before }).expect(404);
    expect(early.body).toMatchObject({ code: 'order-not-placed-yet', detail: expect.stringContaining('20') });
    const unknown = await order().get(`/orders/${randomUUID()}/history`).query({ asOf: before }).expect(404);
    expect(unknown.body.code).toBe('order-not-found');
  });

  test.each(['yesterday', '-1', '1.5', '2026-02-30T00:00:00Z', '2026-11-21', '2026-11-21T12:00:00', ''])(
    '%j is 422',
    async (asOf) => {
      const { body } = await order().get(`/orders/${randomUUID()}/history`).query({ asOf }).expect(422);
      expect(body).toMatchObject({ code: 'invalid-request', errors: [{ parameter: 'asOf' }] });
    },
  );
});

describe('an order at another instance', () => {
  test('is sold at the price whose position it sends, however often that changes', async () => {
    for (let amountMinor = 1; amountMinor <= 100; amountMinor++) {
      const priced = await order(0).put('/prices/vanilla').send({ amountMinor, currency: 'EUR' }).expect(200);
      const placed = await place({ instance: 1, sku: 'vanilla', position: positionOf(priced) }).expect(202);
      expect(placed.body.total).toEqual({ amountMinor, currency: 'EUR' });
    }
  });

  test('is refused with a position that does not exist', async () => {
    const refused = await place({ position: 'order:999999999' }).expect(400);
    expect(refused.body).toMatchObject({ code: 'unknown-position' });
  });
});
