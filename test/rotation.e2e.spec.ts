/**
 * Every secret of the shop is replaced while customers order, as docs/operations.md says: instance by instance, with
 * requests that are repeated at the other one. Meanwhile the issuer of tokens is away, and comes back with a new key.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeSealKeys } from '#service';
import { inspect } from '../proof/shop/inspect.js';
import { Customers } from './support/customers.js';
import { openShop, type Shop } from './support/shop.js';

const received = { honey: 100_000 };
const keys = { old: makeSealKeys('old'), new: makeSealKeys('new') };
const openingBoth = JSON.stringify({
  keys: [keys.old, keys.new].flatMap(({ opening }) => JSON.parse(opening).keys as unknown[]),
});
const secret = (...ages: string[]) => ages.map((age) => `a-secret-that-is-${age}`).join(',');

/** What the instances are given, one stage after the other. */
const STAGES = [
  {
    payment: { WEBHOOK_SECRET: secret('old'), PAYMENT_TOKEN_KEYS: keys.old.opening },
    order: { TOKEN_DIGEST_SECRET: secret('old'), PAYMENT_TOKEN_KEY: keys.old.sealing },
  },
  {
    payment: { WEBHOOK_SECRET: secret('old', 'new'), PAYMENT_TOKEN_KEYS: openingBoth },
    order: { TOKEN_DIGEST_SECRET: secret('old', 'new'), PAYMENT_TOKEN_KEY: keys.old.sealing },
  },
  {
    payment: { WEBHOOK_SECRET: secret('new', 'old'), PAYMENT_TOKEN_KEYS: openingBoth },
    order: { TOKEN_DIGEST_SECRET: secret('new', 'old'), PAYMENT_TOKEN_KEY: keys.new.sealing },
  },
  {
    payment: { WEBHOOK_SECRET: secret('new'), PAYMENT_TOKEN_KEYS: openingBoth },
    order: { TOKEN_DIGEST_SECRET: secret('new', 'old'), PAYMENT_TOKEN_KEY: keys.new.sealing },
  },
] as const;
const [FIRST, ...LATER] = STAGES;
const INSTANCES = [0, 1] as const;

let shop: Shop;
let customers: Customers;
beforeAll(async () => {
  shop = await openShop({ env: FIRST });
  await Promise.all([shop.add('order'), shop.add('payment')]);
  await shop.setPrices({ honey: 895 });
  await shop.stockUp(received);
  customers = new Customers(shop, INSTANCES);
});
afterAll(async () => {
  await shop?.close();
  await customers?.leave();
});

test('new secrets and keys refuse no request, no repetition and no webhook', { timeout: 180_000 }, async () => {
  await eachTakesOrders();
  for (const stage of LATER) {
    for (const instance of INSTANCES) {
      await giveSecrets(instance, stage);
      await eachTakesOrders();
    }
  }
  expect(shop.logs('payment')).not.toContain('signature-');
});

test('an issuer that is away, and comes back with a new key, refuses nobody', async () => {
  shop.issuer.silent = true;
  shop.issuer.rotate();
  await eachTakesOrders();
  shop.issuer.silent = false;
  await shop.until('a token by the new key is accepted everywhere', async () => {
    const answers = INSTANCES.map((i) => fetch(`${shop.order[i]}/orders`, { headers: shop.as('bea', 'customer') }));
    const found = (await Promise.all(answers)).map(({ status }) => status);
    return { done: found.every((status) => status === 200), found };
  });
  await customers.leave();
  expect(customers.complaints).toEqual([]);

  const orderIds = customers.taken.map(({ orderId }) => orderId);
  for (const orderId of orderIds) expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
  const { wrong, ends } = await inspect(shop, { orderIds, received }, { alone: true });
  expect(wrong).toEqual([]);
  expect(ends).toEqual({ completed: orderIds.length, rejected: 0, cancelled: 0 });
});

/** The simulated provider in one instance of payment posts its webhooks to the other: what one signs the other accepts. */
async function giveSecrets(instance: number, { payment, order }: (typeof STAGES)[number]): Promise<void> {
  const WEBHOOK_URL = `${shop.payment[1 - instance]}/webhooks/payments`;
  await Promise.all([
    shop.reconfigure('payment', instance, { ...payment, WEBHOOK_URL }),
    shop.reconfigure('order', instance, order),
  ]);
}

/** Each instance takes an order; sent again to either, it is the same one. */
async function eachTakesOrders(): Promise<void> {
  const before = customers.taken.length;
  await shop.until('each instance has taken an order', async () => {
    const found = INSTANCES.map((instance) => customers.takenBy(instance, before).length);
    return { done: Math.min(...found) > 0, found };
  });
  for (const by of INSTANCES) {
    const { orderId, key } = customers.takenBy(by, before)[0]!;
    for (const instance of INSTANCES) {
      const again = await shop.until(`the order is sent again to ${instance}`, async () => {
        const answer = await customers.order(key, instance);
        return { done: answer !== undefined && answer.status !== 503, found: answer };
      });
      expect([again!.status, await again!.json()]).toMatchObject([202, { orderId }]);
    }
  }
}
