/** Recipients and their end, in the order service on memory: every moment at which something can come in between. */
import { afterEach, expect, test } from 'vitest';
import { ServerUnavailable, silentLog } from '#runtime';
import { ManualClock, SequentialIds } from '#runtime/testing';
import { MemoryMessageBus } from '#message-bus';
import { LateStore } from '#test/late-store';
import { openMemoryShop } from '#test/memory-shop';
import { developmentKeys } from '../../../proof/token-keys.js';
import { MemoryCustomerKeys } from './customer-keys/memory.js';
import type { CustomerKey } from './customer-keys/port.js';
import type { CustomerEvent } from './domain/customer.js';
import { customerErasure } from './read-models/customer-erasure.js';
import type { Recipient } from './recipient.js';
import { orderService } from './service.js';

const ADA = 'ada00000-0000-4000-8000-000000000000';
const ada: Recipient = {
  name: 'Ada Lovelace',
  email: 'ada@example.com',
  address: { street: "St. James's Square 12", postalCode: 'SW1Y 4JH', city: 'London', country: 'GB' },
};
const cause = { correlationId: 'c', causationId: 'c', actor: ADA };
const MINUTE_MS = 60_000;

/** A key store that can be away, and that can be restored from a backup. */
class UnreliableKeys extends MemoryCustomerKeys {
  away = false;
  /** Fails the erasure of keys after it is done: the process ends before it can record it. */
  dies = false;
  asked = 0;
  private readonly everMade = new Map<string, CustomerKey>();
  private restored = false;

  restoreBackup(): void {
    this.restored = true;
  }

  override async current(customerId: string) {
    this.ask();
    const key = await super.current(customerId);
    this.everMade.set(key.kid, key);
    return key;
  }

  override async find(kid: string) {
    this.ask();
    return (await super.find(kid)) ?? (this.restored ? this.everMade.get(kid) : undefined);
  }

  override async close(kids: readonly string[]) {
    this.ask();
    return super.close(kids);
  }

  override async erase(kids: readonly string[]) {
    this.ask();
    const restored = this.restored ? kids.filter((kid) => this.everMade.delete(kid)).length : 0;
    const erased = await super.erase(kids);
    if (this.dies) throw new Error('The process has ended.');
    return Math.max(erased, restored);
  }

  private ask() {
    this.asked++;
    if (this.away) throw new ServerUnavailable('The key store does not answer.');
  }
}

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

async function openShop({ retentionMs = 0 } = {}) {
  const clock = new ManualClock();
  const store = new LateStore(clock);
  const customerKeys = new UnreliableKeys();
  const warnings: string[] = [];
  const log = { ...silentLog, warn: (_: object, text: string) => warnings.push(text) };
  const shop = openMemoryShop({
    clock,
    ids: new SequentialIds(),
    bus: new MemoryMessageBus({ clock }),
    deadlineMs: 60_000,
    providerTimeoutMs: 300,
    store,
    customerKeys,
    retentionMs,
    log,
  });
  closing.push(() => shop.stop());
  // Another instance on the same servers.
  const { order: one, orderPorts } = shop;
  const other = orderService(orderPorts, { deadlineMs: 60_000, openOrders: 20, retentionMs, ...developmentKeys });
  const running = other.run(shop.signal);
  closing.push(() => running);
  await clock.advance(1_000);
  await one.setPrice('tea', { amountMinor: 300, currency: 'EUR' }, cause);
  await shop.inventory.bookStock({ entryId: 'e', kind: 'receipt', sku: 'tea', quantity: 50 }, cause);

  let orders = 0;
  const nextId = () => `0190a8c0-0000-7000-8000-${String(++orders).padStart(12, '0')}`;
  const request = (orderId: string, recipient: Recipient | undefined = ada) => ({
    orderId,
    customerId: ADA,
    lines: [{ sku: 'tea', quantity: 1 }],
    paymentToken: 'tok_approved',
    recipient,
  });
  const place = async (service = one, orderId = nextId(), recipient?: Recipient) => {
    const { order } = await service.place(request(orderId, recipient), cause);
    return { orderId, sealed: order.terms.recipient! };
  };
  const read = ({ orderId, sealed }: { orderId: string; sealed: string }, service = one, since?: bigint) =>
    service.personalData.open(sealed, { orderId, customerId: ADA }, since);
  const settle = async () => {
    for (let i = 0; i < 40; i++) await clock.advance(250);
  };
  const events = async () => {
    const found: CustomerEvent[] = [];
    for await (const { type, data } of store.read(`customer-${ADA}`)) found.push({ type, data } as CustomerEvent);
    return found;
  };
  return { clock, store, shop, customerKeys, warnings, one, other, place, request, read, settle, events, nextId };
}

test('a recipient is sealed in the event and opens again, at every instance', async () => {
  const { place, read, other, one } = await openShop();
  const placed = await place();
  const history = (await one.history(placed.orderId)).map(({ data, metadata }) => ({ data, metadata }));
  expect(JSON.stringify(history)).not.toMatch(/Ada|London|SW1Y/);
  expect(await read(placed)).toEqual(ada);
  expect(await read(placed, other)).toEqual(ada);
});

test('the same request is the same order, and one with another recipient is refused', async () => {
  const { place, one, request } = await openShop();
  const { orderId, sealed } = await place();
  const again = await one.place(request(orderId), cause);
  expect(again.order.terms.recipient).toBe(sealed);
  const other = { ...ada, address: { ...ada.address, city: 'Ockham' } };
  const refused = { code: 'idempotency-key-reused' };
  await expect(one.place(request(orderId, other), cause)).rejects.toMatchObject(refused);
  await expect(one.place({ ...request(orderId), recipient: undefined }, cause)).rejects.toMatchObject(refused);
});

test('a request that is repeated under a new key is compared by the old one, and by nothing when that is erased', async () => {
  const { place, one, other, request, settle } = await openShop();
  const first = await place();
  await one.personalData.requestErasure(ADA, cause); // It waits: the order is open.
  const second = await place();
  expect(second.sealed.split('.')[1]).not.toBe(first.sealed.split('.')[1]);
  const bob = { ...ada, name: 'Bob' };
  for (const service of [one, other]) {
    expect((await service.place(request(first.orderId), cause)).order.terms.recipient).toBe(first.sealed);
    await expect(service.place(request(first.orderId, bob), cause)).rejects.toMatchObject({
      code: 'idempotency-key-reused',
    });
  }
  await settle();
  expect((await one.place(request(first.orderId, bob), cause)).order.terms.recipient).toBe(first.sealed);
  await expect(one.place(request(second.orderId, bob), cause)).rejects.toMatchObject({
    code: 'idempotency-key-reused',
  });
});

test('when all is settled, an erasure is done at once, everywhere; who orders again gets a new key', async () => {
  const { place, read, settle, one, other, events, customerKeys } = await openShop();
  const placed = await place();
  await settle();
  expect(await read(placed, other)).toEqual(ada); // It is cached there.
  const { status, position } = await one.personalData.requestErasure(ADA, { ...cause, reason: 'I leave.' });
  expect(status).toBe('erased');
  expect(await read(placed)).toBeNull();
  expect(await read(placed, other, position)).toBeNull();
  const kid = placed.sealed.split('.')[1]!;
  expect(await customerKeys.find(kid)).toBeUndefined();
  expect((await events()).slice(1)).toEqual([
    { type: 'CustomerErasureRequested', data: { kids: [kid] } },
    { type: 'CustomerErased', data: { kids: [kid] } },
  ]);
  const next = await place(other);
  expect(await read(next)).toEqual(ada);
  expect(await read(placed)).toBeNull();
  expect(await one.personalData.erasureOf(ADA)).toMatchObject({ status: 'kept' });
});

test('requested again, or of somebody of whom there is nothing, an erasure changes nothing', async () => {
  const { place, settle, one, other, events } = await openShop();
  expect(await one.personalData.requestErasure(ADA, cause)).toMatchObject({ status: 'none' });
  await place();
  await settle();
  await Promise.all([one, other, one].map((each) => each.personalData.requestErasure(ADA, cause)));
  expect((await events()).map(({ type }) => type)).toEqual([
    'CustomerRecipientKept',
    'CustomerErasureRequested',
    'CustomerErased',
  ]);
});

test('while an order is open its recipient is kept, and erased when it is settled', async () => {
  const { place, read, settle, one, clock } = await openShop();
  const placed = await place();
  expect(await one.personalData.requestErasure(ADA, cause)).toMatchObject({ status: 'requested' });
  expect(await read(placed)).toEqual(ada);
  await settle();
  await clock.advance(5_000);
  expect(await read(placed)).toBeNull();
  expect(await one.personalData.erasureOf(ADA)).toMatchObject({ status: 'erased' });
});

test('within the retention the recipient is kept, counted from the last order under that key', async () => {
  const { place, read, settle, one, clock } = await openShop({ retentionMs: 60 * MINUTE_MS });
  const first = await place();
  await clock.advance(MINUTE_MS);
  const last = await place();
  const notBefore = new Date(clock.now().getTime() + 60 * MINUTE_MS).toISOString();
  await settle();
  expect(await one.personalData.requestErasure(ADA, cause)).toMatchObject({ status: 'requested', notBefore });
  await clock.advance(59 * MINUTE_MS);
  expect(await read(first)).toEqual(ada);
  await clock.advance(MINUTE_MS);
  expect(await read(first)).toBeNull();
  expect(await read(last)).toBeNull();
});

test('an order under a key that another instance has closed a moment ago is sealed with the next', async () => {
  const { place, read, settle, store, one, other } = await openShop();
  await place(other); // Its key is cached there.
  await settle();
  store.news.shut();
  expect(await one.personalData.requestErasure(ADA, cause)).toMatchObject({ status: 'erased' });
  const placed = await place(other);
  store.news.open();
  expect(await read(placed, other)).toEqual(ada);
  expect(await read(placed)).toEqual(ada);
});

test('a read that has seen the erasure finds it erased, also where the news is late', async () => {
  const { place, read, settle, store, one, other } = await openShop();
  const placed = await place();
  await settle();
  expect(await read(placed, other)).toEqual(ada); // Its key is cached there.
  store.news.shut();
  const { position } = await one.personalData.requestErasure(ADA, cause);
  expect(await read(placed, other, position)).toBeNull();
  store.news.open();
});

test('orders and an erasure at the same moment: each order is erased with the key, or kept under the next', async () => {
  const { place, read, settle, one, other, clock } = await openShop();
  const placing = Array.from({ length: 20 }, (_, i) => place(i % 2 ? one : other));
  const erasing = [one, other].map((each) => each.personalData.requestErasure(ADA, cause));
  await settle(); // Those who lost to another wait a moment.
  const [placed] = await Promise.all([Promise.all(placing), Promise.all(erasing)]);
  await settle();
  await clock.advance(10_000);
  const { status } = await one.personalData.erasureOf(ADA);
  const shown = await Promise.all(placed.map((each) => read(each)));
  expect(shown.filter((each) => each !== null).every((each) => each.name === ada.name)).toBe(true);
  expect(['kept', 'erased']).toContain(status);
  expect(shown.some((each) => each !== null)).toBe(status === 'kept');
});

test('a process that ends between the key and the event has erased it; the next records it', async () => {
  const { place, read, settle, other, customerKeys, events, clock } = await openShop();
  const placed = await place();
  await settle();
  customerKeys.dies = true;
  await expect(other.personalData.requestErasure(ADA, cause)).rejects.toThrow('has ended');
  expect(await read(placed)).toBeNull();
  expect((await events()).at(-1)).toMatchObject({ type: 'CustomerErasureRequested' });
  customerKeys.dies = false;
  await clock.advance(10_000);
  await settle();
  expect(await read(placed)).toBeNull();
  expect((await events()).at(-1)).toMatchObject({ type: 'CustomerErased' });
});

test('the key store is away: orders without a recipient go on, and of the others nothing is written', async () => {
  const { place, read, one, request, customerKeys, nextId, clock } = await openShop();
  const placed = await place();
  customerKeys.away = true;
  await clock.advance(60_001); // Nothing is cached any more.
  const orderId = nextId();
  await expect(one.place(request(orderId), cause)).rejects.toThrow(ServerUnavailable);
  expect(await one.history(orderId)).toEqual([]);
  await expect(read(placed)).rejects.toThrow(ServerUnavailable);
  expect((await one.place({ ...request(nextId()), recipient: undefined }, cause)).order.status).toBe('placed');
  customerKeys.away = false;
  expect(await read(placed)).toEqual(ada);
});

test('an erasure that is requested while the key store is away is carried out when it is back', async () => {
  const { place, read, settle, one, customerKeys, clock, warnings } = await openShop();
  const placed = await place();
  await settle();
  customerKeys.away = true;
  expect(await one.personalData.requestErasure(ADA, cause)).toMatchObject({ status: 'requested' });
  await clock.advance(20_000);
  expect(warnings).toContain('Personal data could not be erased; retrying.');
  customerKeys.away = false;
  await clock.advance(20_000);
  await settle();
  expect(await read(placed)).toBeNull();
  expect(await one.personalData.erasureOf(ADA)).toMatchObject({ status: 'erased' });
});

test('a key store that was restored from a backup brings no name back, and is cleared of it', async () => {
  const { place, read, settle, one, other, customerKeys, clock, warnings } = await openShop();
  const placed = await place();
  const kid = placed.sealed.split('.')[1]!;
  await settle();
  await one.personalData.requestErasure(ADA, cause);
  await clock.advance(1_000);
  customerKeys.restoreBackup();
  expect(await customerKeys.find(kid)).toBeDefined();
  for (const service of [one, other]) expect(await read(placed, service)).toBeNull();
  await clock.advance(11 * MINUTE_MS);
  expect(await customerKeys.find(kid)).toBeUndefined();
  expect(warnings).toContain('Keys that were erased were there again, and are erased again.');
});

test('a cached key costs the key store nothing, and is asked for again after a minute', async () => {
  const { place, read, customerKeys, clock } = await openShop();
  const placed = await place();
  await read(placed);
  const { asked } = customerKeys;
  await place();
  await read(placed);
  expect(customerKeys.asked).toBe(asked);
  await clock.advance(60_001);
  await place();
  await read(placed);
  expect(customerKeys.asked).toBe(asked + 2);
});

test('an instance that does not hear of erasures caches no key', async () => {
  const { place, read, shop, customerKeys } = await openShop();
  const deaf = orderService(
    { ...shop.orderPorts, customerKeys },
    { deadlineMs: 60_000, openOrders: 20, ...developmentKeys },
  );
  const placed = await place(deaf);
  const { asked } = customerKeys;
  await read(placed, deaf);
  await read(placed, deaf);
  expect(customerKeys.asked).toBe(asked + 2);
});

test('the to-do list holds the names of keys, and no person', async () => {
  const { place, settle, one, shop } = await openShop();
  await place();
  await settle();
  await one.personalData.requestErasure(ADA, cause);
  await settle();
  const rows = shop.orderPorts.tables.rows(customerErasure);
  expect(rows).toMatchObject([{ customer_id: ADA, pending: [], due_at: null }]);
  expect(JSON.stringify(rows)).not.toContain('Ada Lovelace');
});
