/** What each service tells of an order, in a shop in one process. */
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MemoryMessageBus } from '#message-bus';
import { MemoryTables, type TableChange } from '#projections';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { storyOf, withoutSealed } from '#service';
import { services, shop as definitions } from '../apps/shop.js';
import { openMemoryShop } from './support/memory-shop.js';

const ORDER = '0190a8c0-0000-7000-8000-000000000001';
const OTHER = '0190a8c0-0000-7000-8000-000000000002';
const cause = { correlationId: 'request', causationId: 'request', actor: 'ada' };

let clock: ManualClock;
let shop: ReturnType<typeof openMemoryShop>;

beforeEach(async () => {
  clock = new ManualClock();
  const bus = new MemoryMessageBus({ clock });
  shop = openMemoryShop({ clock, ids: new SequentialIds(), bus, deadlineMs: 60_000, providerTimeoutMs: 300 });
  await shop.order.setPrice('honey', { amountMinor: 895, currency: 'EUR' }, cause);
  const stocked = shop.inventory.bookStock(
    { entryId: ORDER, sku: 'honey', kind: 'receipt', quantity: 9 } as never,
    cause,
  );
  for (let i = 0; i < 20; i++) await clock.advance(50);
  await stocked;
  const lines = [{ sku: 'honey', quantity: 1 }];
  await shop.order.place({ orderId: ORDER, customerId: OTHER, lines, paymentToken: 'tok_approved' }, cause);
  for (let i = 0; i < 100; i++) await clock.advance(50);
});
afterEach(async () => {
  const stopped = shop.stop();
  for (let i = 0; i < 40; i++) await clock.advance(250);
  await stopped;
});

const storyIn = (service: keyof typeof definitions, tables = shop.ports[service].tables, orderId = ORDER) =>
  storyOf(definitions[service], { ...shop.ports[service], tables }, orderId);

test('each service tells its facts, with the messages that led to them', async () => {
  const [order, inventory, payment] = await Promise.all(services.map((service) => storyIn(service)));
  const typesOf = (story: typeof order) => story!.facts.map(({ type }) => type).join(' ');
  expect(typesOf(order)).toMatch(/^OrderPlaced OrderStockReserved OrderConfirmed \w+ \w+ OrderCompleted$/);
  expect(typesOf(inventory)).toBe('ReservationMade ReservationShipped');
  expect(typesOf(payment)).toBe('PaymentRequested PaymentAuthorized PaymentCaptureRequested PaymentCaptured');
  const [placed, reserved] = order!.facts;
  expect(placed).toMatchObject({ service: 'order', stream: `order-${ORDER}`, revision: 0, ...cause });
  expect(placed).not.toHaveProperty('message');
  const topic = definitions.inventory.publishes.name;
  const made = inventory!.facts[0]!;
  expect(reserved).toMatchObject({ causationId: made.id, message: { topic, partition: expect.any(Number) } });
  expect(reserved!.message!.offset).toMatch(/^\d+$/);
  expect(payment!.facts.map(({ message }) => message !== undefined)).toEqual([true, false, true, false]);
});

test('payment tells what it asked the provider and how the answers came, and nobody else does', async () => {
  const [order, inventory, payment] = await Promise.all(services.map((service) => storyIn(service)));
  const [requested, authorized, asked, captured] = payment!.facts.map(({ id }) => id);
  expect(payment!.exchanges).toEqual([
    { what: 'authorize', asked: requested, answer: authorized, by: 'call' },
    { what: 'capture', asked, answer: captured, by: 'call' },
  ]);
  for (const story of [order, inventory]) expect(story).not.toHaveProperty('exchanges');
});

test('since when a read model shows a fact is told of those that are about it, and lies after the fact', async () => {
  const { facts } = await storyIn('order');
  for (const { recordedAt, shown } of facts) {
    expect(Object.keys(shown).sort()).toEqual(['order-summary', 'order-todo']);
    for (const at of Object.values(shown)) {
      const lateMs = Date.parse(at!) - Date.parse(recordedAt);
      expect(lateMs).toBeGreaterThanOrEqual(0);
      expect(lateMs).toBeLessThan(500);
    }
  }
});

test('a read model that has not come to a fact does not show it, and one whose instant is not kept is not named', async () => {
  const tables = new MemoryTables(clock);
  const [placed, , third] = (await storyIn('order')).facts.map(({ position }) => BigInt(position));
  const [summary] = definitions.order.projections;
  const change = { projection: summary!, upserts: [], deletes: [] } satisfies Partial<TableChange>;
  await tables.commit({ ...change, from: 0n, to: placed! });
  await tables.commit({ ...change, from: placed!, to: third! - 1n, shows: true });
  const { facts } = await storyIn('order', tables);
  expect(facts.map(({ shown }) => shown['order-summary'])).toEqual([
    undefined,
    clock.now().toISOString(),
    ...facts.slice(2).map(() => null),
  ]);
  // Nor is one named that is not about orders, however far behind it is, or not about this fact.
  expect(facts.at(-1)!.shown).toEqual({ 'order-summary': null, 'order-todo': null });
  const aboutNone = { ...definitions.order, projections: [{ ...summary!, key: () => undefined }] };
  expect((await storyOf(aboutNone, { ...shop.ports.order, tables }, ORDER)).facts.at(-1)!.shown).toEqual({});
});

test('what is sealed stands in no story, in whatever shape an event was ever stored', () => {
  const sealed = services.flatMap((service) =>
    readdirSync(`apps/${service}/src/golden`).flatMap((file) => {
      const { data } = JSON.parse(readFileSync(`apps/${service}/src/golden/${file}`, 'utf8')) as { data: object };
      return Object.keys(withoutSealed(data)).filter((name) => /token|digest|recipient/i.test(name));
    }),
  );
  expect(sealed).toEqual([]);
});

test('of an order that does not exist, order says so, and the others know nothing', async () => {
  await expect(storyIn('order', undefined, OTHER)).rejects.toMatchObject({ code: 'order-not-found' });
  expect(await storyIn('inventory', undefined, OTHER)).toEqual({ orderId: OTHER, facts: [] });
  expect((await storyIn('order')).ahead).toMatchObject({ awaits: [] });
});
