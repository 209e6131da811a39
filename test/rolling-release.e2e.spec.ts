/**
 * Two releases side by side on the same databases and the same bus, under load: a newer one joins an older one and replaces
 * it, and has the older one beside it again. The newer one stores OrderPlaced in a shape that the older one cannot read.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { perService, services } from '../apps/shop.js';
import { buildWith } from '../proof/edited-build.js';
import type { Deeds, Inspection } from '../proof/shop/inspect.js';
import { Customers } from './support/customers.js';
import { openShop, refuseOldBuild, type Shop } from './support/shop.js';

const NEWER = {
  name: 'an order has a channel',
  edits: [
    {
      file: 'apps/order/src/upcasters.ts',
      replace: "OrderPlaced: [(data) => ({ ...data, tokenDigest: data['paymentToken'] })],",
      by: "OrderPlaced: [(data) => ({ ...data, tokenDigest: data['paymentToken'] }), (data) => ({ ...data, channel: 'web' })],",
    },
    {
      file: 'apps/order/src/domain/order.ts',
      replace: 'const data = { customerId, lines, total,',
      by: "const data = { channel: 'web', customerId, lines, total,",
    },
    {
      file: 'apps/order/src/messaging/messages.ts',
      replace: "{ type: 'OrderPlaced', data: { orderId, lines } }",
      by: "{ type: 'OrderPlaced', data: { orderId, lines, channel: 'web' } }",
    },
  ],
};
/** The places of the releases among the instances of each service. */
const OLDER = 0;
const NEWER_ONE = 1;

/** Orders are taken all the time: nobody tries for longer, in turn at each instance that there is. */
const TAKEN_WITHIN_MS = 10_000;
const received = { honey: 100_000 };

const folder = mkdtempSync(join(tmpdir(), 'larder-newer-'));
let shop: Shop;
let customers: Customers;
beforeAll(async () => {
  refuseOldBuild();
  buildWith(NEWER, folder);
  shop = await openShop();
  await shop.setPrices({ honey: 895 });
  await shop.stockUp(received);
  customers = new Customers(shop, [OLDER]);
});
afterAll(async () => {
  await shop?.close();
  await customers?.leave();
  rmSync(folder, { recursive: true, force: true });
});

test(
  'a newer release joins an older one and replaces it: orders are taken all the time, and every order becomes final',
  { timeout: 120_000 },
  async () => {
    const programOf = (name: string) => join(folder, `dist/apps/${name}/src/main.js`);
    await Promise.all(services.map((service) => shop.add(service, {}, programOf(service))));
    customers.known = [OLDER, NEWER_ONE];
    await sideBySide();
    await olderLeaves();
    await allFinal();
  },
);

test(
  'an older release joins a newer one, and leaves again: the same, and nothing was lost or done twice',
  { timeout: 120_000 },
  async () => {
    await Promise.all(services.map((service) => shop.restart(service, OLDER)));
    customers.known = [OLDER, NEWER_ONE];
    await sideBySide();
    await olderLeaves();
    await customers.leave();
    await allFinal();

    await shop.caughtUp();
    const { wrong, ends } = await inspectByTheNewer({
      orderIds: customers.taken.map(({ orderId }) => orderId),
      received,
    });
    expect(wrong).toEqual([]);
    expect(ends).toEqual({ completed: customers.taken.length, rejected: 0, cancelled: 0 });
  },
);

/** Both take orders. Those that the older one can read come to their end while it is there; nothing else is refused for good. */
async function sideBySide(): Promise<void> {
  const before = customers.taken.length;
  const by = (instance: number) => customers.takenBy(instance, before);
  await shop.until('both have taken fifteen orders', async () => {
    const found = [by(OLDER).length, by(NEWER_ONE).length];
    return { done: Math.min(...found) >= 15, found };
  });
  for (const { orderId } of by(OLDER)) await shop.settled(orderId);

  const cancel = `${shop.order[OLDER]}/orders/${by(NEWER_ONE)[0]!.orderId}/cancel`;
  const refused = await fetch(cancel, { method: 'POST', headers: shop.anybody });
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1']);
  expect(await refused.json()).toMatchObject({ code: 'unavailable', detail: expect.stringContaining('newer release') });
}

async function olderLeaves(): Promise<void> {
  customers.known = [NEWER_ONE];
  await Promise.all(services.map((service) => shop.stop(service, OLDER)));
}

async function allFinal(): Promise<void> {
  const beganMs = performance.now();
  const orders = [...customers.taken];
  for (const { orderId } of orders) expect(await shop.settled(orderId)).toMatchObject({ status: 'completed' });
  const seconds = Math.round((performance.now() - beganMs) / 100) / 10;
  const slowestMs = Math.round(Math.max(...orders.map(({ tookMs }) => tookMs)));
  console.log(`${orders.length} orders: final ${seconds} s after the older left; slowest taken in ${slowestMs} ms.`);
  for (const service of services) {
    const answer = await fetch(`${shop.urls[service][NEWER_ONE]}/admin/dead-letters`, { headers: shop.anybody });
    expect(await answer.json()).toMatchObject({ items: [] });
  }
  expect(customers.complaints).toEqual([]);
  expect(slowestMs).toBeLessThan(TAKEN_WITHIN_MS);
}

/** What is wrong, as proof/shop/inspect.ts of the newer release sees it: this one cannot read the events. */
async function inspectByTheNewer(deeds: Deeds): Promise<Inspection> {
  const script = `
    import { inspect } from './dist/proof/shop/inspect.js';
    const { deeds, ...given } = JSON.parse(process.argv[1]);
    const shop = { ...given, caughtUp: async () => {} };
    console.log(JSON.stringify(await inspect(shop, deeds, { alone: true })));`;
  const urls = perService((service) => [shop.urls[service][NEWER_ONE]]);
  const given = JSON.stringify({ databases: shop.databases, urls, anybody: shop.anybody, deeds });
  const flags = ['--input-type=module', '--eval', script, given];
  const env = { ...process.env, NODE_OPTIONS: '' }; // Those of this run lead to sources, which the copy does not have.
  const { stdout } = await promisify(execFile)(process.execPath, flags, { cwd: folder, env });
  return JSON.parse(stdout) as Inspection;
}
