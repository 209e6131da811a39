/** What docs/operations.md promises to those who move a shop or restore it. The services run as they were compiled. */
import pg from 'pg';
import { test } from 'vitest';
import { call } from '../scripts/lib/api.js';
import { perService, services, shop as definitions } from '../apps/shop.js';
import { freshDatabase } from './support/database.js';
import { expectInvariants } from './support/invariants.js';
import { openShop, type OrderView, type Shop } from './support/shop.js';

test.for([
  ['on another bus, with everything sent again', false],
  ['on another bus, with read models emptied and everything rebuilt', true],
] as const)(
  '%s, orders under way still end, and ended orders stay as they were',
  { timeout: 60_000 },
  async ([, afresh]) => {
    const env = perService((): Record<string, string> => ({}));
    await using shop = await openShop({ env });
    await shop.setPrices({ 'olive-oil': 1299 });
    await shop.stockUp({ 'olive-oil': 100 });
    const place = (token: string) => shop.place({ token, lines: [{ sku: 'olive-oil', quantity: 2 }] });
    const ended = await Promise.all(['tok_approved', 'tok_declined', 'tok_capture_fails_twice'].map(place));
    await Promise.all(ended.map((orderId) => shop.settled(orderId)));

    shop.kill('payment'); // So that what the others publish stays behind on the bus that is left.
    const underWay = await Promise.all(['tok_approved', 'tok_slow', 'tok_declined'].map(place));
    await shop.until('their stock is reserved', async () => {
      const found = await Promise.all(
        underWay.map((id) => call<OrderView>('GET', `${shop.order[0]}/orders/${id}`, undefined, shop.anybody)),
      );
      return { done: found.every(({ status }) => status === 'stock-reserved'), found };
    });
    services.forEach((service) => shop.kill(service));

    const bus = await freshDatabase();
    for (const service of services) {
      env[service]['MESSAGE_BUS_URL'] = bus;
      const tables = definitions[service].projections.map(({ table }) => table);
      const statement = afresh
        ? `TRUNCATE ${tables.join(', ')}; DELETE FROM checkpoints`
        : `DELETE FROM checkpoints WHERE name = '${service}'`;
      await query(shop.databases[service], statement);
    }
    await Promise.all(services.map((service) => shop.restart(service)));

    await Promise.all(underWay.map((orderId) => shop.settled(orderId)));
    await everythingHeard(shop, bus);
    await expectInvariants(shop, [...ended, ...underWay], { 'olive-oil': 100 });
  },
);

/** Waits until every group is done with everything on the bus, and nothing of it had to be parked. */
async function everythingHeard(shop: Shop, bus: string): Promise<void> {
  const unheard = `
    SELECT count(*)::int AS count FROM message_bus.messages AS m JOIN message_bus.subscriptions AS s USING (topic)
    LEFT JOIN message_bus.offsets AS o ON o.subscription = s.id AND o.partition = m.partition
    WHERE m."offset" > coalesce(o.done, 0)`;
  const parked = 'SELECT count(*)::int AS count FROM parked_messages';
  await shop.until('everything is handled', async () => {
    const counts = [query(bus, unheard), ...services.map((service) => query(shop.databases[service], parked))];
    const found = (await Promise.all(counts)).map(([row]) => row?.['count']);
    return { done: found.every((count) => count === 0), found };
  });
}

async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(sql)).rows ?? [];
  } finally {
    await client.end();
  }
}
