/** The broker is killed twice amid 140 checkouts: nobody outside notices, and nothing is lost or out of order. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inventoryEvents, orderEvents, paymentEvents } from '#contracts';
import { toMessages } from '#message-bus';
import { PostgresEventStore } from '#event-store/postgres';
import { SystemClock } from '#runtime';
import { inventoryMessageOf as tellInventory } from '../apps/inventory/src/messaging/messages.js';
import { orderMessageOf as tellOrder } from '../apps/order/src/messaging/messages.js';
import { paymentMessageOf as tellPayment } from '../apps/payment/src/messaging/messages.js';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { services } from '../apps/shop.js';
import { createTopics } from '../scripts/topics.js';
import request from './support/http.js';
import { expectInvariants } from './support/invariants.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing, recordsOf } from './support/kafka.js';
import { openShop, type Shop } from './support/shop.js';

/** What each service publishes, of which streams. */
const published = [
  { service: 'order', topic: orderEvents.name, category: 'order', toMessage: toMessages(orderEvents, tellOrder) },
  {
    service: 'inventory',
    topic: inventoryEvents.name,
    category: 'reservation',
    toMessage: toMessages(inventoryEvents, tellInventory),
  },
  {
    service: 'payment',
    topic: paymentEvents.name,
    category: 'payment',
    toMessage: toMessages(paymentEvents, tellPayment),
  },
] as const;

const tokens = ['tok_approved', 'tok_approved', 'tok_slow', 'tok_declined', 'tok_capture_fails_twice'];
const received = { 'olive-oil': 120, honey: 1_000 };

describe.skipIf(kafkaMissing)('kill -9 of the broker, twice amid 140 checkouts', () => {
  let kafka: KafkaBroker;
  let shop: Shop;
  const orderIds: string[] = [];
  beforeAll(async () => {
    kafka = await kafkaForTests();
    await createTopics(kafka.url);
    shop = await openShop({ busUrl: kafka.url });
    await shop.setPrices({ 'olive-oil': 1299, honey: 895 });
    await shop.stockUp(received);
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await shop?.close();
    await kafka?.stop();
  });

  /** Places orders, eight at a time. A request that fails is not repeated: it fails the test. */
  async function place(count: number): Promise<void> {
    const lines = [
      { sku: 'olive-oil', quantity: 1 },
      { sku: 'honey', quantity: 2 },
    ];
    let left = count;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        while (left-- > 0) orderIds.push(await shop.place({ token: tokens[left % tokens.length]!, lines }));
      }),
    );
  }

  /** Every service is ready for requests all the time, and says whether it reaches the bus. */
  async function everyServiceIs(state: 'degraded' | 'ready'): Promise<void> {
    const bus = { degraded: 'down', ready: 'up' }[state];
    for (const service of services) {
      await shop.until(`${service} is ${state}`, async () => {
        const { body } = await request(shop.urls[service][0]!, shop).get('/health/ready').expect(200);
        return { done: body.status === state && body.checks.bus.status === bus, found: body };
      });
    }
  }

  test('orders are accepted throughout, and every order becomes final', { timeout: 180_000 }, async () => {
    for (let outage = 1; outage <= 2; outage++) {
      const already = orderIds.length;
      const placing = place(30);
      await shop.until('some orders are on their way', async () => ({
        done: orderIds.length >= already + 10,
        found: orderIds.length,
      }));
      await kafka.kill();
      await placing;
      await everyServiceIs('degraded');
      await place(30);
      for (const service of services) await request(shop.urls[service][0]!, shop).get('/health/live').expect(200);
      await kafka.start();
      await everyServiceIs('ready');
    }
    await place(20);
    expect(new Set(orderIds).size).toBe(140);
    for (const orderId of orderIds) await shop.settled(orderId);
    await expectInvariants(shop, orderIds, received);
  });

  test('each service published all events of its streams at least once, and the first time in order', async () => {
    const records = await recordsOf(
      kafka.url,
      published.map(({ topic }) => topic),
    );
    for (const { service, topic, category, toMessage } of published) {
      const partitions = new Map<string, Set<number>>();
      const firstTold = new Map<string, Set<string>>();
      for (const { partition, key, id } of records.filter((record) => record.topic === topic)) {
        partitions.set(key, (partitions.get(key) ?? new Set()).add(partition));
        firstTold.set(key, (firstTold.get(key) ?? new Set()).add(id)); // A set keeps the order of first occurrence.
      }
      expect([...partitions.values()].every(({ size }) => size === 1)).toBe(true);

      const store = await PostgresEventStore.open({ url: shop.databases[service], clock: new SystemClock() });
      for (const orderId of orderIds) {
        const toTell: string[] = [];
        for await (const event of store.read(`${category}-${orderId}`)) {
          if (toMessage(event)) toTell.push(event.id);
        }
        expect([...(firstTold.get(orderId) ?? [])], `${service} about ${orderId}`).toEqual(toTell);
      }
      await store.close();
    }
  });
});
