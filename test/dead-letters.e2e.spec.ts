/** A poison message in an open shop: its key waits, everything else passes, and a person decides. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { orderEvents } from '#contracts';
import { PostgresMessageBus } from '#message-bus/postgres';
import { SystemClock } from '#runtime';
import { ADA } from '../proof/shop/open-shop.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type Shop } from './support/shop.js';

const OTHERS = 1_000;
const CUSTOMERS = 16;

let shop: Shop;
beforeAll(async () => {
  shop = await openShop();
  await shop.setPrices({ honey: 895 });
  await shop.stockUp({ honey: OTHERS, tea: 10 });
});
afterAll(() => shop?.close());

const inventory = () => request(shop.inventory[0]!, shop);
const decide = (id: string, action: string, body: object) =>
  inventory().post(`/admin/dead-letters/${id}/${action}`).send(body);
const letters = async () => (await inventory().get('/admin/dead-letters').expect(200)).body.items;
const reservation = async (orderId: string) => (await inventory().get(`/reservations/${orderId}`)).body.status;

/** Writes to the orders' topic as order would: the messages of one key, in this order. */
function publish(key: string, ...messages: { type: string; data: object }[]): Promise<string[]> {
  return publishAll(messages.map((message) => ({ key, ...message })));
}

async function publishAll(messages: readonly { key: string; type: string; data: object }[]): Promise<string[]> {
  const bus = await PostgresMessageBus.open({ url: shop.databases.bus, clock: new SystemClock() });
  const envelope = { source: '/elsewhere', time: new Date().toISOString(), correlationId: 'a test' };
  const sent = messages.map((message) => ({ ...envelope, id: randomUUID(), ...message }));
  await bus.publish(orderEvents.name, sent);
  await bus.close();
  return sent.map(({ id }) => id);
}

/** The one dead letter that there is. */
function deadLetter(): Promise<{ id: string; key: string; error: string; message: { id: string } }> {
  return shop.until('there is one dead letter', async () => {
    const found = await letters();
    return { done: found.length === 1, found: found[0] };
  });
}

const poisonOf = (orderId: string) => ({ type: 'OrderPlaced', data: { orderId, lines: 'many' } });
const placed = (orderId: string) => ({
  type: 'OrderPlaced',
  data: { orderId, lines: [{ sku: 'tea', quantity: 2 }] },
});
const cancelled = (orderId: string) => ({ type: 'OrderCancelled', data: { orderId, reason: 'customer' } });

test(
  'a poison message holds up its key while 1,000 checkouts pass; a retry fails again, a skip lets its key continue in order',
  { timeout: 180_000 },
  async () => {
    const poisoned = randomUUID();
    const [poisonId] = await publish(poisoned, poisonOf(poisoned));
    const letter = await deadLetter();
    expect(letter).toMatchObject({ key: poisoned, message: { id: poisonId } });
    expect(letter.error).toContain('lines');
    // Done in this order, there is a reservation that was released. The other way round, it would be blocked.
    await publish(poisoned, placed(poisoned), cancelled(poisoned));

    const orderIds: string[] = [];
    const lines = [{ sku: 'honey', quantity: 1 }];
    await Promise.all(
      Array.from({ length: CUSTOMERS }, async () => {
        while (orderIds.length < OTHERS) {
          const place = orderIds.push('') - 1;
          orderIds[place] = await shop.place({ lines });
        }
      }),
    );
    for (const orderId of orderIds) expect((await shop.settled(orderId)).status).toBe('completed');
    expect(await reservation(poisoned), 'its key waits').toBe(404);
    expect(await letters()).toHaveLength(1);

    const retried = { reason: 'Perhaps it was the weather.' };
    await decide(letter.id, 'retry', retried).expect(200);
    const again = await shop.until('it is dead again', async () => {
      const found = (await letters())[0];
      return { done: found !== undefined, found };
    });
    expect(again).toMatchObject({ id: letter.id, key: poisoned });
    expect(await reservation(poisoned)).toBe(404);

    const skipped = { reason: 'No order has a text for its lines.' };
    await decide(letter.id, 'skip', skipped).expect(200);
    await shop.until('its key has drained', async () => {
      const found = await reservation(poisoned);
      return { done: found === 'released', found };
    });
    expect(await letters()).toEqual([]);

    const { body: audit } = await inventory().get('/admin/dead-letters/decisions').expect(200);
    const kept = { deadLetterId: letter.id, consumer: 'inventory', key: poisoned, message: { id: poisonId } };
    expect(audit).toMatchObject({
      items: [
        { action: 'skip', actor: ADA, ...skipped, ...kept, attempts: 1, error: letter.error, outcome: 'skipped' },
        { action: 'retry', actor: ADA, ...retried, ...kept, attempts: 1, error: letter.error, outcome: 'dead-again' },
      ],
    });
    const { body: first } = await inventory().get('/admin/dead-letters/decisions?limit=1').expect(200);
    expect(first).toEqual({ items: [audit.items[0]], next: expect.any(String) });
    const { body: second } = await inventory().get(`/admin/dead-letters/decisions?limit=1&cursor=${first.next}`);
    expect(second).toEqual({ items: [audit.items[1]] });

    // Payment listens to the same topic, and has decisions of its own to take.
    const [other] = (await request(shop.payment[0]!, shop).get('/admin/dead-letters').expect(200)).body.items;
    expect(other).toMatchObject({ consumer: 'payment', key: poisoned });
    await request(shop.payment[0]!, shop).post(`/admin/dead-letters/${other.id}/skip`).send(skipped).expect(200);
    await expectInvariants(shop, orderIds, { honey: OTHERS, tea: 10 });
  },
);

test('the log names a dead letter and where to decide about it, and the metrics count it', async () => {
  const key = randomUUID();
  const metric = async (name: string) => {
    const { text } = await inventory().get('/metrics').expect(200);
    return Number(new RegExp(`^${name}\\{.*service="inventory"\\} (\\d+)$`, 'm').exec(text)?.[1]);
  };
  const before = await metric('larder_dead_letters_total');
  const [id] = await publish(key, poisonOf(key));
  const letter = await deadLetter();
  expect(await metric('larder_dead_letters_total')).toBe(before + 1);
  expect(await metric('larder_dead_letters')).toBe(1);
  const line = shop
    .logs('inventory')
    .split('\n')
    .find((it) => it.includes(id!) && it.includes('dead letter'))!;
  expect(JSON.parse(line)).toMatchObject({
    level: 50,
    topic: orderEvents.name,
    key,
    messageId: id,
    attempts: 1,
    err: { message: expect.stringContaining('lines') },
    msg: expect.stringContaining('/admin/dead-letters'),
  });
  await decide(letter.id, 'skip', { reason: 'a test' }).expect(200);
  expect(await metric('larder_dead_letters')).toBe(0);
});

test('a decision needs a reason and an existing dead letter, and counts once', async () => {
  const key = randomUUID();
  await publish(key, poisonOf(key));
  const { id } = await deadLetter();
  const person = { reason: 'a test' };

  for (const action of ['retry', 'skip']) {
    for (const reason of [undefined, '', '  ', 'a\u0000b']) {
      const { status, body } = await decide(id, action, { reason });
      expect([status, body.code]).toEqual([422, 'invalid-request']);
      expect(body.errors.map(({ pointer }: { pointer: string }) => pointer)).toEqual(['/reason']);
    }
    const named = await decide(id, action, { ...person, actor: 'the CFO' });
    expect([named.status, named.body.code]).toEqual([422, 'invalid-request']); // Who decides is in the token.
    const unknown = await decide('999999999', action, person);
    expect([unknown.status, unknown.body.code]).toEqual([404, 'dead-letter-not-found']);
  }
  expect(await letters()).toHaveLength(1);

  const both = await Promise.all([
    decide(id, 'skip', person),
    decide(id, 'skip', person).set(shop.as('bob', 'operator')),
  ]);
  const [first, second] = both.toSorted((a, b) => a.status - b.status);
  expect([first!.status, second!.status]).toEqual([200, 409]);
  for (const action of ['skip', 'retry']) {
    const { status, body } = await decide(id, action, { reason: 'late' });
    const { decision } = body;
    expect([status, body.code, decision.action, decision.reason]).toEqual([
      409,
      'dead-letter-decided',
      'skip',
      'a test',
    ]);
    expect([ADA, 'bob']).toContain(decision.actor);
    expect(body.detail).toContain(`${decision.actor} skipped it at ${decision.decidedAt}`);
  }
  const { body: audit } = await inventory().get('/admin/dead-letters/decisions').expect(200);
  expect(audit.items.filter((item: { deadLetterId: string }) => item.deadLetterId === id)).toHaveLength(1);
});

test('dead letters page, and all of them are retried with one request, each as a decision', async () => {
  const keys = [randomUUID(), randomUUID(), randomUUID()];
  for (const key of keys) await publish(key, poisonOf(key));
  const three = () =>
    shop.until('there are three dead letters', async () => {
      const found: { id: string }[] = await letters();
      return { done: found.length === 3, found };
    });
  const dead = await three();
  const { body: first } = await inventory().get('/admin/dead-letters?limit=2').expect(200);
  const { body: second } = await inventory().get(`/admin/dead-letters?limit=2&cursor=${first.next}`).expect(200);
  expect([...first.items, ...second.items]).toEqual(dead);
  expect(second.next).toBeUndefined();

  const { body } = await inventory()
    .post('/admin/dead-letters/retry')
    .send({ reason: 'The outage is over.' })
    .expect(200);
  expect(body).toMatchObject({ retried: 3, left: expect.any(Number) });
  const { body: audit } = await inventory().get('/admin/dead-letters/decisions?limit=3').expect(200);
  expect(audit.items.map((item: { deadLetterId: string }) => item.deadLetterId).toSorted()).toEqual(
    dead.map(({ id }) => id).toSorted(),
  );
  // A message that breaks its contract is dead again at once.
  for (const { id } of await three()) await decide(id, 'skip', { reason: 'a test' }).expect(200);
});

test('of many dead letters a loop reaches each, although all die again, and those of one kind are skipped together', async () => {
  const [PLACED, CANCELLED] = [240, 10];
  const poison = Array.from({ length: PLACED + CANCELLED }, (_, n) => {
    const key = randomUUID();
    return { key, ...(n < PLACED ? poisonOf(key) : { type: 'OrderCancelled', data: { orderId: key, reason: n } }) };
  });
  await publishAll(poison);
  const metricOfDead = async () => {
    const { text } = await inventory().get('/metrics').expect(200);
    return Number(/^larder_dead_letters\{.*\} (\d+)$/m.exec(text)?.[1]);
  };
  const allDead = () =>
    shop.until('all are dead letters', async () => {
      const found = await metricOfDead();
      return { done: found === poison.length, found };
    });
  await allDead();

  const person = { reason: 'a test' };
  type Rest = { retried: number; skipped: number; left: number; next?: string };
  async function decideAll(action: string, body: object, correlationId: string): Promise<Rest[]> {
    const answers: Rest[] = [];
    for (let cursor: string | undefined, n = 0; n === 0 || cursor !== undefined; n++) {
      const decision = { ...person, ...body, cursor };
      const path = `/admin/dead-letters/${action}`;
      const answer = await inventory().post(path).set('X-Correlation-Id', correlationId).send(decision).expect(200);
      answers.push(answer.body);
      cursor = answer.body.next;
    }
    return answers;
  }
  interface Decision {
    deadLetterId: string;
    action: string;
    correlationId: string;
    message: { id: string; type: string };
  }
  async function latestDecisions(count: number): Promise<Decision[]> {
    const items: Decision[] = [];
    for (let cursor = ''; items.length < count;) {
      const { body } = await inventory().get(`/admin/dead-letters/decisions?limit=200${cursor}`).expect(200);
      items.push(...body.items);
      cursor = `&cursor=${body.next}`;
    }
    return items.slice(0, count);
  }

  const retries = await decideAll('retry', {}, 'retry-all');
  const retriedOnce = new Set((await latestDecisions(poison.length)).map(({ deadLetterId }) => deadLetterId));
  expect([retriedOnce.size, retries.map(({ retried }) => retried)]).toEqual([poison.length, [200, 50]]);
  await allDead();

  const { body: kinds } = await inventory().get('/admin/dead-letters/kinds').expect(200);
  const topic = orderEvents.name;
  const [most, others] = kinds.items;
  expect(kinds).toEqual({
    items: [
      { topic, type: 'OrderPlaced', error: expect.stringContaining('lines'), count: PLACED },
      { topic, type: 'OrderCancelled', error: expect.stringContaining('reason'), count: CANCELLED },
    ],
    others: 0,
  });
  const { body: page } = await inventory().get('/admin/dead-letters').query({ error: others.error, limit: 7 });
  expect(page.items.map(({ message }: Decision) => message.type)).toEqual(Array(7).fill('OrderCancelled'));
  const { body: last } = await inventory().get('/admin/dead-letters').query({ type: others.type, cursor: page.next });
  expect(last.items).toHaveLength(CANCELLED - 7);

  const { body: refusal } = await inventory().post('/admin/dead-letters/skip').send(person).expect(422);
  expect(refusal).toMatchObject({
    code: 'invalid-request',
    errors: [{ pointer: '', detail: expect.stringContaining('a topic, a type or an error') }],
  });
  await inventory()
    .post('/admin/dead-letters/skip')
    .send({ ...person, typ: 'OrderPlaced' })
    .expect(422);
  await inventory()
    .post('/admin/dead-letters/skip')
    .send({ ...person, type: '' })
    .expect(422);

  expect(await decideAll('skip', { topic, type: 'OrderCancelled' }, 'skip-cancelled')).toEqual([
    { skipped: CANCELLED, left: 0 },
  ]);
  expect(await decideAll('skip', { error: most.error }, 'skip-placed')).toEqual([
    { skipped: 200, left: 40, next: expect.any(String) },
    { skipped: 40, left: 0 },
  ]);
  const skipped = await latestDecisions(poison.length);
  for (const { message, action, correlationId } of skipped) {
    const expected = message.type === 'OrderPlaced' ? 'skip-placed' : 'skip-cancelled';
    expect([action, correlationId]).toEqual(['skip', expected]);
  }
  expect(new Set(skipped.map(({ deadLetterId }) => deadLetterId))).toEqual(retriedOnce);
  expect(await letters()).toEqual([]);
  // Sent again, when the answer was lost: nothing is left to be decided about.
  expect(await decideAll('skip', { error: most.error }, 'again')).toEqual([{ skipped: 0, left: 0 }]);
});
