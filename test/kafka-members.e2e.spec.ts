/** Instances of the services join and leave their Kafka consumer groups, in every way there is, while orders are on their way. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KafkaBroker } from '../scripts/lib/kafka-broker.js';
import { createTopics } from '../scripts/topics.js';
import { expectInvariants } from './support/invariants.js';
import { KAFKA_STARTS_MS, kafkaForTests, kafkaMissing } from './support/kafka.js';
import { openShop, type Shop } from './support/shop.js';

const CUSTOMERS = 4;
const received = { coffee: 1_000_000, tea: 1_000_000 };

describe.skipIf(kafkaMissing)('consumer groups on Kafka', () => {
  let kafka: KafkaBroker;
  let shop: Shop;
  const orderIds: string[] = [];
  let [asked, approved] = [0, 0];
  beforeAll(async () => {
    kafka = await kafkaForTests();
    await createTopics(kafka.url);
    shop = await openShop({ busUrl: kafka.url, instances: { inventory: 2 } });
    await shop.setPrices({ coffee: 500, tea: 300 });
    await shop.stockUp(received);
  }, KAFKA_STARTS_MS);
  afterAll(async () => {
    await shop?.close();
    await kafka?.stop();
  });

  /** Every third card is declined. */
  async function place(): Promise<string> {
    const isApproved = asked++ % 3 > 0;
    const lines = ['coffee', 'tea'].map((sku) => ({ sku, quantity: 1 }));
    const orderId = await shop.place({ token: isApproved ? 'tok_approved' : 'tok_declined', lines });
    orderIds.push(orderId);
    if (isApproved) approved++;
    return orderId;
  }

  async function expectAllIsWell(): Promise<void> {
    const { completed } = await expectInvariants(shop, orderIds, received);
    expect(completed).toBe(approved);
  }

  test('the batch of a consumer that dies is handled by the other consumers', { timeout: 90_000 }, async () => {
    // Every append waits for this lock, on one connection: batches under way cannot finish.
    const blocker = new pg.Client({ connectionString: shop.databases.inventory });
    await blocker.connect();
    await blocker.query(`SELECT pg_advisory_lock(hashtextextended('event_store.append', 0))`);
    await Promise.all(Array.from({ length: 40 }, place));
    const waiting = `FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'`;
    await shop.until('both instances are in the middle of a batch', async () => {
      const { rowCount } = await blocker.query(`SELECT ${waiting}`);
      return { done: rowCount === 2, found: rowCount };
    });
    shop.kill('inventory', 0);
    // Postgres would still do what a dead client asked for.
    await blocker.query(`SELECT pg_terminate_backend(pid) ${waiting}`);
    await blocker.end();
    for (const orderId of orderIds) await shop.settled(orderId);
    await shop.restart('inventory', 0);
    await expectAllIsWell();
  });

  test('no order is lost when instances start, stop and crash under load', { timeout: 180_000 }, async () => {
    let [changing, settled] = [true, 0];
    const customer = async () => {
      while (changing) {
        await shop.settled(await place());
        settled++;
      }
    };
    const goesOn = async () => {
      const already = settled;
      await shop.until('the remaining members continue the work', async () => ({
        done: settled >= already + 3 * CUSTOMERS,
        found: settled,
      }));
    };
    const changes = async () => {
      try {
        await goesOn();
        await Promise.all([shop.add('payment'), shop.add('order')]);
        await goesOn();
        await shop.stop('inventory', 1);
        await goesOn();
        shop.kill('payment', 0);
        await shop.add('inventory');
        await goesOn();
        shop.kill('order', 1);
        await shop.restart('payment', 0);
        await goesOn();
      } finally {
        changing = false;
      }
    };
    await Promise.all([changes(), ...Array.from({ length: CUSTOMERS }, customer)]);
    await expectAllIsWell();
  });
});
